package dag

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// KeepForever is the retention of a tree that is kept until it is deleted.
const KeepForever time.Duration = -1

// MinRetention is the shortest that a tree may have of its own: old trees are looked for once a minute.
const MinRetention = time.Minute

// KeepWord is [KeepForever] as people write it.
const KeepWord = "keep"

// RetentionForm says what [ParseRetention] takes.
const RetentionForm = `a time such as "30d", "36h" or "1d12h", or "keep"`

// RetentionPattern is the regular expression of what [ParseRetention] takes, for schemas.
const RetentionPattern = `^(keep|([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?)$`

// maxRetentionDigits is how long a number in a retention may be: no sum of such parts overflows.
const maxRetentionDigits = 5

// ParseRetention reads a retention: numbers of days, hours, minutes and seconds, each unit once and in this order, or [KeepWord]; empty: 0. Whether it is too
// short or too long is not looked at.
func ParseRetention(s string) (d time.Duration, ok bool) {
	if s == KeepWord {
		return KeepForever, true
	}
	units := []struct {
		name byte
		of   time.Duration
	}{{'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}
	if s == "0" || s == "" {
		return 0, s == ""
	}
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if end < 1 || end > maxRetentionDigits {
			return 0, false
		}
		for len(units) > 0 && units[0].name != s[end] {
			units = units[1:]
		}
		if len(units) == 0 {
			return 0, false
		}
		n, _ := strconv.Atoi(s[:end]) // digits, and few
		d += time.Duration(n) * units[0].of
		s, units = s[end+1:], units[1:]
	}
	return d, true
}

// RetentionText is a retention as people write it, whole seconds; empty: 0.
func RetentionText(d time.Duration) string {
	if d == KeepForever {
		return KeepWord
	}
	var b strings.Builder
	for _, unit := range []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := d / unit.of; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d -= n * unit.of
		}
	}
	return b.String()
}

// RetentionFault is why a tree may not be kept for so long, at most being the longest that the operator lets it; 0: any. Empty: it may.
func RetentionFault(d, most time.Duration) string {
	switch {
	case d == 0:
	case d == KeepForever && most > 0:
		return fmt.Sprintf("must be at most %s, the longest that the operator lets a tree be kept: %q is more", RetentionText(most), KeepWord)
	case d == KeepForever:
	case d < MinRetention:
		return "must be at least a minute"
	case d > MaxDuration:
		return fmt.Sprintf("must be at most %s", RetentionText(MaxDuration))
	case most > 0 && d > most:
		return fmt.Sprintf("must be at most %s, the longest that the operator lets a tree be kept", RetentionText(most))
	}
	return ""
}

// retention checks what a root says of how long its tree is kept.
func (c *check) retention() {
	t := c.task
	if t.Retention != 0 && t.ParentRef != "" {
		c.field("retention", "only the root task may have one")
		return
	}
	if fault := RetentionFault(t.Retention, c.b.limits.Retention); fault != "" {
		c.field("retention", "%s", fault)
	}
}
