package cron

import (
	"fmt"
	"strings"
	"time"
)

// Bounds of [Period].
const (
	MinEvery = time.Second
	MaxEvery = 366 * 24 * time.Hour
)

// Period is an instant every so often, as far before From as after it. It never drifts: each instant is a whole number of times Every from From.
type Period struct {
	From  time.Time
	Every time.Duration // whole seconds, [MinEvery] to [MaxEvery]
}

// ParseEvery reads how often: seconds as 90, or 1h30m. A *[Fault] says what is wrong.
func ParseEvery(text string) (time.Duration, error) {
	d, err := ParseTime("every", text)
	switch {
	case err != nil:
		return 0, err
	case d < MinEvery || d > MaxEvery || d%time.Second != 0:
		return 0, &Fault{"every", "must be whole seconds, from 1 to 366 days (8784h)"}
	}
	return d, nil
}

// ParseTime reads a time of a field that is not negative: seconds as 90, or 1h30m.
func ParseTime(field, text string) (time.Duration, error) {
	wrong := &Fault{field, fmt.Sprintf("%q is not a time as 90 (seconds), 90s or 1h30m", printable(text))}
	if len(text) > 32 {
		return 0, wrong
	}
	if text != "" && strings.Trim(text, "0123456789") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, wrong
	}
	return d, nil
}

// Next is the first instant after a moment.
func (p Period) Next(after time.Time) time.Time {
	t := p.floor(after)
	return t.Add(p.Every)
}

// Prev is the last instant before a moment.
func (p Period) Prev(before time.Time) time.Time {
	t := p.floor(before)
	if t.Equal(before) {
		return t.Add(-p.Every)
	}
	return t
}

// floor is the last instant that is not after a moment. Seconds are counted, as a Duration ends after 292 years.
func (p Period) floor(t time.Time) time.Time {
	every := int64(p.Every / time.Second)
	seconds := t.Unix() - p.From.Unix()
	if t.Nanosecond() < p.From.Nanosecond() {
		seconds--
	}
	rest := seconds % every
	if rest < 0 {
		rest += every
	}
	return time.Unix(p.From.Unix()+seconds-rest, int64(p.From.Nanosecond())).In(p.From.Location())
}
