package cron_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	library "github.com/netresearch/go-cron"
	"pgregory.net/rapid"

	"github.com/taskgrove/taskgrove/internal/cron"
)

// model is a schedule in the plainest form: it asks of each minute whether it is an instant. Its fields are numbers, *, a-b, and steps.
type model struct {
	fields []string
	zone   *time.Location
	known  map[[2]int]bool // whether a field has a value, once it was asked
}

// has says whether a field has a value.
func (m model) has(field, n, most int) bool {
	at := [2]int{field, n}
	is, ok := m.known[at]
	if !ok {
		is = fits(m.fields[field], n, most)
		m.known[at] = is
	}
	return is
}

// fits says whether a field has a value.
func fits(field string, n, most int) bool {
	return slices.ContainsFunc(strings.Split(field, ","), func(part string) bool {
		span, step, stepped := strings.Cut(part, "/")
		low, high := 0, most
		if first, last, ranged := strings.Cut(span, "-"); span != "*" {
			low, _ = strconv.Atoi(first)
			switch {
			case ranged:
				high, _ = strconv.Atoi(last)
			case !stepped:
				high = low
			}
		} else if most == 31 || most == 12 {
			low = 1
		}
		every, _ := strconv.Atoi(step)
		return n >= low && n <= high && (n-low)%max(every, 1) == 0
	})
}

// names says whether what a clock reads fits all fields.
func (m model) names(w time.Time) bool {
	day, weekday := m.has(2, w.Day(), 31), m.has(4, int(w.Weekday()), 7) || w.Weekday() == 0 && m.has(4, 7, 7)
	onDay := day && weekday
	if m.fields[2][0] != '*' && m.fields[4][0] != '*' {
		onDay = day || weekday
	}
	return onDay && m.has(0, w.Minute(), 59) && m.has(1, w.Hour(), 23) && m.has(3, int(w.Month()), 12)
}

// reading is what clocks of the zone read at a moment, as if that were UTC.
func (m model) reading(t time.Time) time.Time {
	w := t.In(m.zone)
	return time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, time.UTC)
}

// instants are those of the minutes from and up to, but not including, two moments.
func (m model) instants(from, to time.Time) (list []time.Time) {
	const day = 26 * time.Hour
	seen := map[time.Time]bool{}             // what clocks have read
	reads := map[time.Time]bool{}            // what they ever read around here
	offsets := map[time.Duration]time.Time{} // the last moment of each difference from UTC
	for t := from.Add(-day); t.Before(to.Add(day)); t = t.Add(time.Minute) {
		reads[m.reading(t)] = true
	}
	for t := from.Add(-day); t.Before(to); t = t.Add(time.Minute) {
		w := m.reading(t)
		is := m.names(w)
		if m.fields[1][0] != '*' {
			is = is && !seen[w]
			for offset, last := range offsets { // what clocks would read if they had not been put forward
				if missing := t.UTC().Add(offset); t.Sub(last) < day && !reads[missing] && m.names(missing) {
					is = true
				}
			}
		}
		seen[w] = true
		offsets[w.Sub(t)] = t
		if is && !t.Before(from) {
			list = append(list, t)
		}
	}
	return list
}

// changes are moments near which clocks were or will be changed, by zone.
var changes = []struct{ zone, at string }{
	{"Europe/Berlin", "2026-03-29 01:00:00 +00:00"}, {"Europe/Berlin", "2026-10-25 01:00:00 +00:00"},
	{"America/New_York", "2026-03-08 07:00:00 +00:00"}, {"America/New_York", "2026-11-01 06:00:00 +00:00"},
	{"Australia/Lord_Howe", "2026-10-03 15:30:00 +00:00"}, {"Australia/Lord_Howe", "2026-04-04 15:00:00 +00:00"},
	{"Africa/Cairo", "2026-04-23 22:00:00 +00:00"}, {"Africa/Cairo", "2026-10-29 21:00:00 +00:00"},
	{"Asia/Beirut", "2026-03-28 22:00:00 +00:00"}, {"Asia/Beirut", "2026-10-24 21:00:00 +00:00"},
	{"Pacific/Apia", "2011-12-30 10:00:00 +00:00"}, {"Pacific/Apia", "2012-03-31 14:00:00 +00:00"},
	{"Antarctica/Troll", "2026-03-29 01:00:00 +00:00"}, {"Antarctica/Troll", "2026-10-25 01:00:00 +00:00"},
	{"Africa/Casablanca", "2026-02-15 02:00:00 +00:00"}, {"Africa/Casablanca", "2026-03-22 02:00:00 +00:00"},
	{"America/Santiago", "2026-09-06 04:00:00 +00:00"}, {"America/Santiago", "2026-04-05 03:00:00 +00:00"},
	{"America/Sao_Paulo", "2018-11-04 03:00:00 +00:00"}, {"America/Sao_Paulo", "2018-02-18 02:00:00 +00:00"},
	{"Europe/Dublin", "2026-03-29 01:00:00 +00:00"}, {"Europe/Dublin", "2026-10-25 01:00:00 +00:00"},
	{"America/Caracas", "2016-05-01 07:00:00 +00:00"}, {"Asia/Pyongyang", "2018-05-04 15:00:00 +00:00"},
	{"UTC", "2026-01-01 00:00:00 +00:00"},
}

// text draws a field.
func text(t *rapid.T, name string, least, most int) string {
	part := rapid.Custom(func(t *rapid.T) string {
		a, b := rapid.IntRange(least, most).Draw(t, "a"), rapid.IntRange(least, most).Draw(t, "b")
		a, b = min(a, b), max(a, b)
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0:
			return strconv.Itoa(a)
		case 1:
			return strconv.Itoa(a) + "-" + strconv.Itoa(b)
		case 2:
			if b-a > 1 {
				return strconv.Itoa(a) + "-" + strconv.Itoa(b) + "/" + strconv.Itoa(rapid.IntRange(1, b-a).Draw(t, "step"))
			}
			return strconv.Itoa(b)
		}
		return "*/" + strconv.Itoa(rapid.IntRange(2, (most-least)/2).Draw(t, "step"))
	})
	if rapid.IntRange(0, 9).Draw(t, name+" is *") < 4 {
		return "*"
	}
	return strings.Join(rapid.SliceOfN(part, 1, 3).Draw(t, name), ",")
}

func TestInstantsAreThoseOfTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(changes).Draw(t, "change")
		m := model{fields: []string{text(t, "minute", 0, 59), text(t, "hour", 0, 23), "*", "*", "*"}, known: map[[2]int]bool{}}
		if rapid.Bool().Draw(t, "days") {
			m.fields[2], m.fields[3], m.fields[4] = text(t, "day", 1, 31), text(t, "month", 1, 12), text(t, "weekday", 0, 7)
		}
		line := strings.Join(m.fields, " ")
		s, err := cron.Parse(line, c.zone)
		if err != nil && strings.Contains(err.Error(), "never fires") {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		m.zone = s.Zone()
		at, err := time.Parse("2006-01-02 15:04:05 -07:00", c.at)
		if err != nil {
			t.Fatal(err)
		}
		from := at.Add(-time.Duration(rapid.IntRange(0, 40*60).Draw(t, "before")) * time.Minute)
		to := at.Add(time.Duration(rapid.IntRange(0, 40*60).Draw(t, "after")) * time.Minute)
		want := m.instants(from, to)
		var got []time.Time
		for next := s.Next(from.Add(-time.Nanosecond)); !next.IsZero() && next.Before(to); next = s.Next(next) {
			got = append(got, next)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%q in %s from %v to %v:\n got %v\nwant %v", line, c.zone, from, to, shown(got), shown(want))
		}
		// Any moment: the first after it is the same, whatever came before; the last before it is the one of which it is the next.
		mid := from.Add(time.Duration(rapid.Int64Range(0, int64(to.Sub(from)/time.Second)).Draw(t, "moment")) * time.Second)
		i, found := slices.BinarySearchFunc(got, mid, time.Time.Compare)
		if found {
			i++
		}
		if i < len(got) && !s.Next(mid).Equal(got[i]) {
			t.Fatalf("%q in %s after %v: %v, want %v", line, c.zone, mid, s.Next(mid), got[i])
		}
		if prev := s.Prev(mid); !prev.IsZero() {
			if next := s.Next(prev); !prev.Before(mid) || next.Before(mid) {
				t.Fatalf("%q in %s before %v: %v, whose next is %v", line, c.zone, mid, prev, next)
			}
		}
	})
}

// On a clock that is never changed, the instants are those of the library.
func TestInstantsAreThoseOfTheLibrary(t *testing.T) {
	parser := library.MustNewParser(library.Minute | library.Hour | library.Dom | library.Month | library.Dow | library.DowOrDom).WithMaxSearchYears(41)
	rapid.Check(t, func(t *rapid.T) {
		day, weekday := text(t, "day", 1, 31), text(t, "weekday", 0, 7)
		if strings.HasPrefix(day, "*/") || strings.HasPrefix(weekday, "*/") {
			return // which the library takes for a field that is set
		}
		line := strings.Join([]string{text(t, "minute", 0, 59), text(t, "hour", 0, 23), day, text(t, "month", 1, 12), weekday}, " ")
		theirs, err := parser.Parse("TZ=UTC " + line)
		if err != nil {
			t.Skip()
		}
		at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "at"), 0).UTC()
		ours, err := cron.Parse(line, "")
		if err != nil {
			if next := theirs.Next(at); !next.IsZero() {
				t.Fatalf("%q: %v, and the library has %v", line, err, next)
			}
			return
		}
		for range 5 {
			next := theirs.Next(at)
			if got := ours.Next(at); !got.Equal(next) {
				t.Fatalf("%q after %v: %v, want %v", line, at, got, next)
			}
			at = next
		}
	})
}

// Whatever text comes, it is refused with faults, or has instants that go on, each of them the last before its next.
func FuzzParse(f *testing.F) {
	for _, seed := range [][2]string{
		{"0 2 * * *", "Europe/Berlin"}, {"*/5 * * * *", ""}, {"@daily", "Asia/Beirut"}, {"0 0 13 * FRI", "Pacific/Apia"}, {"1-5/2,7 2-4 */2 JAN-MAR 0,7", "Australia/Lord_Howe"},
		{"0 0 30 2 *", "UTC"}, {"TZ=0 0 0 * * *", "Local"}, {"0 0 29 2 */7", "Africa/Cairo"}, {"@every 1s", "../UTC"}, {"5/5 0 ? L 5#3", "right/UTC"},
	} {
		f.Add(seed[0], seed[1], int64(1_774_700_000))
	}
	f.Fuzz(func(t *testing.T, text, zone string, seconds int64) {
		s, err := cron.Parse(text, zone)
		if err != nil {
			if reason := err.Error(); len(reason) > 4000 || strings.ContainsRune(reason, 0) {
				t.Errorf("%q, %q: %q", text, zone, reason)
			}
			return
		}
		if len(text) > cron.MaxTextBytes || len(zone) > cron.MaxZoneBytes {
			t.Fatalf("%q, %q: too long, and taken", text, zone)
		}
		at := time.Unix(seconds%4_000_000_000, 0)
		list := cron.List(s, at, 3)
		if len(list) != 3 {
			t.Fatalf("%q in %q after %v: %v", text, zone, at, list)
		}
		for i, next := range list {
			if !next.After(at) || next.Nanosecond() != 0 {
				t.Fatalf("%q in %q after %v: %v", text, zone, at, next)
			}
			if i > 0 && !s.Prev(next).Equal(at) {
				t.Fatalf("%q in %q before %v: %v, want %v", text, zone, next, s.Prev(next), at)
			}
			at = next
		}
	})
}

// FuzzInstants: around a change of clocks, the instants of what is drawn are those of the model, none more and none less.
func FuzzInstants(f *testing.F) {
	for i := range changes {
		f.Add(uint8(i), "30", "2", "*", "*", "*", int16(60))
		f.Add(uint8(i), "*/20", "*/2", "*", "*", "1-5", int16(1400))
		f.Add(uint8(i), "0,45", "0-3", "1", "*", "0", int16(700))
	}
	f.Fuzz(func(t *testing.T, change uint8, minute, hour, day, month, weekday string, before int16) {
		fields := []string{minute, hour, day, month, weekday}
		for _, field := range fields {
			if strings.Trim(field, "0123456789*/,-") != "" || field == "" || strings.HasPrefix(field, "@") {
				return // names, which the model does not know
			}
		}
		c := changes[int(change)%len(changes)]
		line := strings.Join(fields, " ")
		s, err := cron.Parse(line, c.zone)
		if err != nil {
			return
		}
		at, err := time.Parse("2006-01-02 15:04:05 -07:00", c.at)
		if err != nil {
			t.Fatal(err)
		}
		m := model{fields: fields, known: map[[2]int]bool{}, zone: s.Zone()}
		from := at.Add(-time.Duration(int(before)%(36*60)) * time.Minute)
		to := from.Add(36 * time.Hour)
		want := m.instants(from, to)
		var got []time.Time
		for next := s.Next(from.Add(-time.Nanosecond)); !next.IsZero() && next.Before(to); next = s.Next(next) {
			got = append(got, next)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%q in %s from %v to %v:\n got %v\nwant %v", line, c.zone, from, to, shown(got), shown(want))
		}
	})
}

func FuzzEvery(f *testing.F) {
	for _, seed := range []string{"90", "1h30m", "0", "1.5s", "-1h", "8784h", "9223372036854775807"} {
		f.Add(seed, int64(0), int64(1_774_700_000))
	}
	f.Fuzz(func(t *testing.T, text string, from, seconds int64) {
		every, err := cron.ParseEvery(text)
		if err != nil {
			return
		}
		const far = 4_000_000_000
		p, at := cron.Period{From: time.Unix(from%far, 17), Every: every}, time.Unix(seconds%far, 0)
		next, prev := p.Next(at), p.Prev(at)
		if !next.After(at) || next.Sub(at) > every || !prev.Before(at) || at.Sub(prev) > every || next.Sub(p.From)%every != 0 || !p.Prev(next.Add(time.Nanosecond)).Equal(next) {
			t.Fatalf("every %v from %v: %v < %v < %v", every, p.From, prev, at, next)
		}
	})
}

func FuzzDue(f *testing.F) {
	for _, seed := range []string{"2h", "06:00", "7200", "24:00", ":", "-1s"} {
		f.Add(seed, "Europe/Berlin", int64(1_774_700_000))
	}
	f.Fuzz(func(t *testing.T, text, zone string, seconds int64) {
		d, err := cron.ParseDue(text, zone)
		if err != nil {
			return
		}
		began := time.Unix(seconds%4_000_000_000, 0)
		if at := d.At(began); !at.After(began) || at.Sub(began) > cron.MaxDue {
			t.Fatalf("due %q in %q: %v after %v", text, zone, at, began)
		}
	})
}
