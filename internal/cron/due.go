package cron

import (
	"fmt"
	"strings"
	"time"
)

// MaxDue is the longest time after which something may be due.
const MaxDue = 366 * 24 * time.Hour

// Due is by when something must have ended that began at some moment.
type Due struct {
	after time.Duration
	clock *Schedule // nil: after
}

// ParseDue reads a time after the beginning as 2h, or 7200 in seconds, or what a clock reads as 06:00: the first time after the beginning that clocks of the
// zone read so. A [Faults] or *[Fault] says what is wrong.
func ParseDue(text, zone string) (*Due, error) {
	hour, minute, isClock := strings.Cut(text, ":")
	if !isClock {
		after, err := ParseTime("due", text)
		if err == nil && (after < time.Second || after > MaxDue) {
			err = &Fault{"due", "must be from 1 second to 366 days (8784h)"}
		}
		if err != nil {
			return nil, err
		}
		return &Due{after: after}, nil
	}
	h, m := digits(hour), digits(minute)
	if len(hour) > 2 || len(minute) != 2 || h < 0 || h > 23 || m < 0 || m > 59 {
		return nil, &Fault{"due", fmt.Sprintf("%q is not a time of the day as 06:00", printable(text))}
	}
	clock, err := Parse(fmt.Sprintf("%d %d * * *", m, h), zone)
	if err != nil {
		return nil, err
	}
	return &Due{clock: clock}, nil
}

// At is by when what began at a moment must have ended.
func (d *Due) At(began time.Time) time.Time {
	if d.clock != nil {
		return d.clock.Next(began)
	}
	return began.Add(d.after)
}
