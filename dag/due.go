package dag

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxDue is the longest time after which a tree may be due.
const MaxDue = 366 * 24 * time.Hour

// DuePattern is what [ParseDue] takes, but for days that a month has not.
const DuePattern = `^([0-9]{1,8}|([0-9]{1,5}[hms])+|([01][0-9]|2[0-3]):[0-5][0-9]|` +
	`\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))$`

var dueText = regexp.MustCompile(DuePattern)

const maxDueText = 64

// DueForm says what [ParseDue] takes.
const DueForm = `a time such as "2h" or "90s", a time of the day in UTC as "06:00", or an instant with its zone as "2030-01-02T06:00:00+01:00"`

// Due is by when a tree is to have ended, after which it is late. One of the fields is set.
type Due struct {
	After time.Duration // from when the tree is stored on
	Clock string        // the next time that clocks read so in UTC: "06:00"
	At    time.Time
}

// ParseDue reads by when a tree is to have ended; empty: nil. A time without a unit is in seconds. Whether it can be is for [Due.Fault] to say.
func ParseDue(text string) (d *Due, ok bool) {
	if text == "" {
		return nil, true
	}
	switch {
	case len(text) > maxDueText || !dueText.MatchString(text):
		return nil, false
	case strings.Contains(text, "T"):
		at, err := time.Parse(time.RFC3339Nano, text)
		return &Due{At: at.UTC()}, err == nil
	case strings.Contains(text, ":"):
		return &Due{Clock: text}, true
	case strings.Trim(text, "0123456789") == "":
		text += "s"
	}
	after, err := time.ParseDuration(text)
	return &Due{After: max(after, 1)}, err == nil // 0 would mean none
}

// Fault is why a tree can't be due then; empty: it can.
func (d *Due) Fault() string {
	switch {
	case d == nil || d.Clock != "":
		return ""
	case d.At.IsZero() && (d.After < time.Second || d.After > MaxDue):
		return fmt.Sprintf("must be from 1 second to %d days", int(MaxDue.Hours())/24)
	case !d.At.IsZero() && (d.At.Year() < 1970 || d.At.Year() > 9999):
		return "must be in the years 1970 to 9999"
	}
	return ""
}

// Moment is when a tree is due that is stored at a time.
func (d *Due) Moment(stored time.Time) time.Time {
	switch {
	case !d.At.IsZero():
		return d.At
	case d.Clock == "":
		return stored.Add(d.After)
	}
	clock, err := time.Parse("15:04", d.Clock)
	if err != nil { // ParseDue has read it
		return stored
	}
	stored = stored.UTC()
	at := time.Date(stored.Year(), stored.Month(), stored.Day(), clock.Hour(), clock.Minute(), 0, 0, time.UTC)
	if !at.After(stored) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}

// String is as [ParseDue] reads it; of nil: empty.
func (d *Due) String() string {
	switch {
	case d == nil:
		return ""
	case d.Clock != "":
		return d.Clock
	case !d.At.IsZero():
		return d.At.Format(time.RFC3339Nano)
	}
	if d.After%time.Second == 0 {
		return strconv.FormatInt(int64(d.After/time.Second), 10)
	}
	return d.After.String()
}

// due checks what a root says of when its tree is due.
func (c *check) due() {
	if t := c.task; t.Due != nil && t.ParentRef != "" {
		c.field("due", "only the root task may have one")
	} else if fault := t.Due.Fault(); fault != "" {
		c.field("due", "%s", fault)
	}
}
