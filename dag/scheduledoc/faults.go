package scheduledoc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/taskgrove/taskgrove/dag"
)

// Fault is what is wrong with a schedule.
type Fault = dag.ScheduleFault

// oneBegins is the fault of a schedule that nothing begins, or several things.
const oneBegins = "one of cron, every and on must be there, and no more"

// Read reads a schedule that is to be made, or changed, now; created is when it was made. The faults are those of its keys and of what they say, each told once, and none that
// is there only because of another one. The schedule is never nil.
func Read(raw []byte, created, now time.Time) (*Spec, []Fault) {
	s, ofKeys, whole := decode(raw)
	if !whole {
		return s, ofKeys
	}
	_, ofValues := s.Check(created, now)
	return s, join(ofKeys, ofValues)
}

// join puts faults of keys and of what they say together, without those of values that the faults of keys bring about.
func join(ofKeys, ofValues []Fault) []Fault {
	bad := map[string]bool{}
	for _, f := range ofKeys {
		key, _, _ := strings.Cut(f.Field, ".")
		bad[key], bad[meantBy(f.Field)] = true, true
	}
	begins := bad["cron"] || bad["every"] || bad["on"]
	out := slices.Clone(ofKeys)
	for _, f := range ofValues {
		key, _, _ := strings.Cut(f.Field, ".")
		switch {
		case f.Reason == oneBegins:
			if begins {
				continue
			}
		case f.Reason == dag.NothingBefore:
			if begins || bad["start_at"] || bad["end_at"] || bad["timezone"] {
				continue
			}
		case bad[key]:
			continue
		}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// meantBy is the key that is meant by another word; empty: it is a key, or nothing like one.
func meantBy(name string) string {
	if slices.Contains(Keys(), name) {
		return ""
	}
	if as := meant[strings.ToLower(strings.ReplaceAll(name, "-", "_"))]; as != "" {
		return as
	}
	return dag.Nearest(name, Keys())
}

// unreadable says why JSON can't be read as a schedule.
func unreadable(err error) Fault {
	if at, twice := duplicate(err); twice {
		return Fault{Field: at, Reason: "must not be there twice"}
	}
	return Fault{Reason: "a schedule must be an object"}
}

// duplicate is the place of a key that is there twice, as faults name it; false: the error is another one.
func duplicate(err error) (string, bool) {
	bad, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok || !errors.Is(bad.Err, jsontext.ErrDuplicateName) {
		return "", false
	}
	var b strings.Builder
	for token := range bad.JSONPointer.Tokens() {
		switch {
		case token != "" && strings.Trim(token, "0123456789") == "":
			fmt.Fprintf(&b, "[%s]", token)
		case b.Len() > 0:
			b.WriteString("." + printable(token))
		default:
			b.WriteString(printable(token))
		}
		if b.Len() > 200 {
			b.WriteString("…")
			break
		}
	}
	return b.String(), true
}

// twiceIn says which key of a value is there twice.
func twiceIn(err error) string {
	if at, twice := duplicate(err); twice {
		return fmt.Sprintf("must have %s once", at)
	}
	return ""
}

// aboutInstants reports whether a fault is one of what says which instants there are.
func aboutInstants(f Fault) bool {
	key, _, _ := strings.Cut(f.Field, ".")
	return slices.Contains([]string{"cron", "every", "on", "timezone", "start_at", "end_at"}, key)
}

// visible reports whether all of a text can be seen: letters, marks, numbers, punctuation, symbols and the space.
func visible(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) && strings.TrimSpace(s) == s
}

// idFault is what is wrong with an id; empty: nothing.
func idFault(id string) string {
	switch {
	case id == "":
		return "is required"
	case len(id) > MaxIDBytes || !visible(id):
		return fmt.Sprintf("must be at most %d bytes of characters that can be seen, with no space before or behind", MaxIDBytes)
	case id == "." || id == "..":
		return fmt.Sprintf("must not be %q, which a URL takes for a folder", id)
	}
	return ""
}
