package cron

import (
	"math/bits"
	"time"

	library "github.com/netresearch/go-cron"
)

// star marks the days that are not set: their field begins with *.
const star = 1 << 63

// clockSpec is which readings of a wall clock fit, that is never changed: bits of the values of each field.
type clockSpec struct {
	minute, hour, day, month, weekday uint64
}

// specOf takes what the library has read. It says only of a * without a step that a field begins with one.
func specOf(read *library.SpecSchedule, day, weekday string) clockSpec {
	mark := func(bits uint64, text string) uint64 {
		if text[0] == '*' {
			return bits | star
		}
		return bits &^ star
	}
	return clockSpec{minute: read.Minute &^ star, hour: read.Hour &^ star, month: read.Month, day: mark(read.Dom, day), weekday: mark(read.Dow, weekday)}
}

// onDay reports whether a day fits: by either field if both are set, else by both.
func (s clockSpec) onDay(day int, weekday time.Weekday) bool {
	byDay, byWeekday := s.day>>day&1 == 1, s.weekday>>weekday&1 == 1
	if (s.day|s.weekday)&star == 0 {
		return byDay || byWeekday
	}
	return byDay && byWeekday
}

// inDay is the first minute of a day, from one of its minutes on, that fits; -1: none.
func (s clockSpec) inDay(from int) int {
	hour, minute := from/60, from%60
	if s.hour>>hour&1 == 1 {
		if rest := s.minute >> minute; rest != 0 {
			return from + bits.TrailingZeros64(rest)
		}
	}
	rest := s.hour >> (hour + 1)
	if rest == 0 {
		return -1
	}
	return (hour+1+bits.TrailingZeros64(rest))*60 + bits.TrailingZeros64(s.minute)
}

// next is the first reading after another that fits; zero if none comes within the years that are looked at. Readings are in UTC.
func (s clockSpec) next(after time.Time) time.Time {
	w := after.Truncate(time.Minute).Add(time.Minute)
	year, month, day := w.Date()
	from, last := w.Hour()*60+w.Minute(), year+maxYears
	for weekday := w.Weekday(); year <= last; {
		days := daysOf(year, month)
		if s.month>>month&1 == 0 {
			weekday = (weekday + time.Weekday(days-day+1)) % 7
			day, from = days+1, 0
		}
		for ; day <= days; day++ {
			if s.onDay(day, weekday) {
				if at := s.inDay(from); at >= 0 {
					return time.Date(year, month, day, at/60, at%60, 0, 0, time.UTC)
				}
			}
			weekday, from = (weekday+1)%7, 0
		}
		day = 1
		if month++; month > time.December {
			year, month = year+1, time.January
		}
	}
	return time.Time{}
}

// daysOf is how many days a month has.
func daysOf(year int, month time.Month) int {
	switch month {
	case time.April, time.June, time.September, time.November:
		return 30
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
