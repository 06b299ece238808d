package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxDuration bounds every time span of a task: timeouts and retry delays.
const MaxDuration = 10 * 365 * 24 * time.Hour

// MinLimit is the shortest time limit: limits are stored in milliseconds.
const MinLimit = time.Millisecond

// MaxPoolBytes is how long the name of a pool may be.
const MaxPoolBytes = 64

// ValidPool reports whether a pool may have the name: 1 to 64 letters, digits, - and _, so that it can be a part of a
// subject, a metric's label and a URL.
func ValidPool(name string) bool {
	if name == "" || len(name) > MaxPoolBytes {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// check looks at one task's fields and records what is wrong with them.
type check struct {
	b     *Builder
	index int
	task  *Task
}

// fault is one that names the task.
func (c *check) fault(code Code, field, format string, args ...any) *InvalidTaskError {
	label := c.task.ID
	if label == "" {
		label = c.task.Name
	}
	return &InvalidTaskError{
		Code: code, Index: c.index, Task: cut(label, c.b.limits.IDChars*utf8.UTFMax), Field: field,
		Reason: fmt.Sprintf(format, args...),
	}
}

// read passes on what a reader found.
func (c *check) read() {
	for _, f := range c.task.Faults {
		switch top, _, _ := strings.Cut(f.Field, "["); top {
		case "", "id", "name", "parent_id", "dependencies":
			c.b.unsure = true
		}
		if c.b.faults.room(atField) {
			c.b.faults.keep(atField, f)
		}
	}
}

// misread reports whether a reader could make nothing of a field.
func (c *check) misread(field string) bool {
	return slices.ContainsFunc(c.task.Faults, func(f *InvalidTaskError) bool { return f.Field == field || f.Field == "" })
}

// field records that a field's value can't be accepted.
func (c *check) field(field, format string, args ...any) {
	if c.b.faults.room(atField) {
		reason := fmt.Sprintf("tasks[%d].%s: %s", c.index, field, fmt.Sprintf(format, args...))
		c.b.faults.keep(atField, c.fault(InvalidField, field, "%s", reason))
	}
}

// text reports whether s can be stored and is within its bound, in characters.
func (c *check) text(field, s string, limit int) bool {
	reason := textFault(s, limit)
	if reason != "" {
		c.field(field, "%s", reason)
	}
	return reason == ""
}

// textFault says why a text can't be stored, or is beyond its bound in characters; empty: it is neither.
func textFault(s string, limit int) string {
	switch {
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case len(s) > limit && utf8.RuneCountInString(s) > limit:
		return fmt.Sprintf("must be at most %d characters, got %d", limit, utf8.RuneCountInString(s))
	case strings.IndexByte(s, 0) >= 0:
		return "must not hold a NUL character"
	}
	return ""
}

// id is text, too, for what stands in URLs and headers: without control characters.
func (c *check) id(field, s string) bool {
	if !c.text(field, s, c.b.limits.IDChars) {
		return false
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		c.field(field, "must not hold control characters")
		return false
	}
	if s == "." || s == ".." {
		c.field(field, "must not be %q, which a URL takes for a folder", s)
		return false
	}
	return true
}

func (c *check) dependency(k int, d Dependency) bool {
	limit := c.b.limits.IDChars
	if plain(d.Ref, limit) && plain(d.Type, limit) {
		return true
	}
	field := fmt.Sprintf("dependencies[%d]", k)
	return c.text(field, d.Ref, limit) && c.text(field+".type", d.Type, limit)
}

// plain is the quick answer for the common case; false means that [check.text] must decide.
func plain(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] == 0 || s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// fields checks all that has no bearing on the tree's shape.
func (c *check) fields() {
	t := c.task
	if t.Priority < Urgent || t.Priority > Low {
		c.field("priority", "must be %d to %d, got %d", Urgent, Low, t.Priority)
	}
	c.object("inputs", t.Inputs)
	c.object("params", t.Params)
	c.object("schemas", t.Schemas)
	c.object("custom", t.Custom)
	c.id("executor", t.Executor)
	if t.Pool != "" && !ValidPool(t.Pool) {
		c.field("pool", "must be 1 to %d letters, digits, - or _", MaxPoolBytes)
	}
	c.retry(t.Retry)
	c.labels()
	c.unique()
	if t.OnLost != RetryLost && t.OnLost != FailLost {
		c.field("on_lost", "must be retry or fail")
	}
	c.limit("timeout", t.Timeout)
	c.limit("schedule_to_start", t.ScheduleToStart)
	c.limit("tree_timeout", t.TreeTimeout)
	if t.TreeTimeout != 0 && t.ParentRef != "" {
		c.field("tree_timeout", "only the root task may have one")
	}
	c.retention()
	c.due()
	if !t.NotBefore.IsZero() && (t.NotBefore.Year() < 1970 || t.NotBefore.Year() > 9999) {
		c.field("not_before", "must be in the years 1970 to 9999")
	}
}

func (c *check) retry(p RetryPolicy) {
	if p.MaxAttempts < 0 || p.MaxAttempts > MaxRetryAttempts {
		c.field("retry.max_attempts", "must be 1 to %d, got %d", MaxRetryAttempts, p.MaxAttempts)
	}
	switch p.Backoff {
	case "", Exponential, Linear, Fixed:
	default:
		c.field("retry.backoff", "must be %s, %s or %s", Exponential, Linear, Fixed)
	}
	c.span("retry.initial_delay", p.InitialDelay)
	c.span("retry.max_delay", p.MaxDelay)
}

func (c *check) span(field string, d time.Duration) {
	if d < 0 || d > MaxDuration {
		c.field(field, "must be 0 to %.0f seconds", MaxDuration.Seconds())
	}
}

// limit is a span of which 0 means none: a shorter one than is stored must not become that.
func (c *check) limit(field string, d time.Duration) {
	if d > 0 && d < MinLimit {
		c.field(field, "must be at least %g seconds, or 0 for none", MinLimit.Seconds())
		return
	}
	c.span(field, d)
}

// object checks the size of a JSON object and that it looks like one; that it is one, its reader has to see to.
func (c *check) object(field string, raw json.RawMessage) {
	if reason := objectFault(raw, c.b.limits.PayloadBytes); reason != "" {
		c.field(field, "%s", reason)
	}
}

// objectFault says why a JSON object can't be stored; empty: it can.
func objectFault(raw json.RawMessage, limit int) string {
	switch n := len(raw); {
	case n == 0:
	case n > limit:
		return fmt.Sprintf("must be at most %d bytes, got %d", limit, n)
	case raw[0] != '{' || raw[n-1] != '}':
		return "must be an object"
	}
	return ""
}

// cut shortens what is over its bound; that was a fault already, and shall not be kept or shown at full length.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.Clone(s[:limit])
}
