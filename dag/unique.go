package dag

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Unique lets one tree at a time have a key, of those of its user in its namespace (control 12).
type Unique struct {
	Key string
	// For is how long the key is taken from when the tree is stored, whatever becomes of the tree as long as it is there; 0: until the tree has ended.
	For time.Duration
	// Return has who submits a further tree told which one is there, as if it had been stored just now. Else that is refused.
	Return bool
}

// Bounds of [Unique].
const (
	MaxUniqueKeyChars = 255
	MaxUniqueFor      = 366 * 24 * time.Hour
)

// String is a text of u, for comparing; empty for nil.
func (u *Unique) String() string {
	if u == nil {
		return ""
	}
	return fmt.Sprintf("%q %d %t", u.Key, u.For, u.Return)
}

// Faults are what is wrong with u, each with the field: ".key".
func (u *Unique) Faults() (faults []FieldFault) {
	fault := func(field, format string, args ...any) {
		faults = append(faults, FieldFault{field, fmt.Sprintf(format, args...)})
	}
	switch n := utf8.RuneCountInString(u.Key); {
	case strings.TrimSpace(u.Key) == "":
		fault(".key", "must not be empty")
	case n > MaxUniqueKeyChars:
		fault(".key", "must be at most %d characters, got %d", MaxUniqueKeyChars, n)
	case !Storable(u.Key) || strings.IndexFunc(u.Key, unicode.IsControl) >= 0:
		fault(".key", "must be a text without control characters")
	}
	if u.For != 0 && (u.For < MinLimit || u.For > MaxUniqueFor) {
		fault(".for", "must be %g to %.0f seconds", MinLimit.Seconds(), MaxUniqueFor.Seconds())
	}
	return faults
}

// FieldFault is what is wrong with a field.
type FieldFault struct {
	Field, Reason string
}

// unique checks the key of a root.
func (c *check) unique() {
	t := c.task
	if t.Unique == nil {
		return
	}
	if t.ParentRef != "" {
		c.field("unique", "only the root task may have it: it is the tree's")
		return
	}
	for _, f := range t.Unique.Faults() {
		c.field("unique"+f.Field, "%s", f.Reason)
	}
}
