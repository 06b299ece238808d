package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// took is how long something lasted, for people; now for what has not ended.
func took(from, to, now time.Time) string {
	if from.IsZero() {
		return ""
	}
	if to.IsZero() {
		to = now
	}
	return lasted(to.Sub(from))
}

// lasted is a duration for people.
func lasted(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// age is how long ago something was, in one unit.
func age(at, now time.Time) string {
	d := max(0, now.Sub(at))
	switch {
	case at.IsZero():
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// zone is the user's. It is a variable for tests.
var zone = time.Local

// shownTime is a time in the user's zone, which it names, as flags such as --since take it; empty for none.
func shownTime(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.In(zone).Format(time.RFC3339)
}

// serverTime is a time as texts of the cluster have it.
var serverTime = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)

// inZone is a text of the cluster with its times in the user's zone, as all others are shown.
func inZone(text string) string {
	return serverTime.ReplaceAllStringFunc(text, func(moment string) string {
		at, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			return moment
		}
		return shownTime(at)
	})
}

// moment is a time, and how long ago it was; empty for none.
func moment(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s ago)", shownTime(at), age(at, now))
}

// timeFlag is a time on the command line: a duration before now, or a date, with or without a time of day, of the user's zone unless it
// names another.
type timeFlag struct {
	at   time.Time
	text string
}

// Set implements [pflag.Value].
func (f *timeFlag) Set(text string) (err error) {
	f.text = text
	f.at, err = parseTime(text, time.Now())
	return err
}

// String implements [pflag.Value].
func (f *timeFlag) String() string { return f.text }

// Type implements [pflag.Value]; help shows it.
func (f *timeFlag) Type() string { return "time" }

func parseTime(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days+".", "%d.", &n); err == nil && n >= 0 && n <= 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("takes a duration before now, such as 90m, 24h or 7d, or a time, such as 2026-01-31 or 2026-01-31T12:00:00Z, not %q", text)
}
