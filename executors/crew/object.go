package crew

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// faults collects all that is wrong with a crew.
type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// object is one of a crew's document. Reading a field that is null is like reading one that is not there.
type object struct {
	path   string
	faults *faults
	fields map[string]json.RawMessage
	names  []string // in the order of the document
	read   map[string]bool
}

// objectAt reads an object, or says that the value is none.
func objectAt(path string, value json.RawMessage, f *faults) (*object, bool) {
	o := &object{path: path, faults: f, fields: map[string]json.RawMessage{}, read: map[string]bool{}}
	if kindOf(value) != "object" {
		f.add("%s must be an object, not %s", path, kindOf(value))
		return o, false
	}
	for name, member := range members(value) {
		o.names = append(o.names, name)
		if string(member) != "null" {
			o.fields[name] = member
		}
	}
	return o, true
}

// members are those of an object in the order of the document; of names that repeat, all.
func members(value json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for quoted, member := range rawjson.Members(value) {
			name, _ := rawjson.Unquote(quoted)
			if !yield(name, member) {
				return
			}
		}
	}
}

// kindOf is what a value is, in words for people.
func kindOf(value json.RawMessage) string {
	text := strings.TrimSpace(string(value))
	if text == "" {
		return "null"
	}
	switch text[0] {
	case '{':
		return "object"
	case '[':
		return "list"
	case '"':
		return "text"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

func (o *object) at(name string) string { return o.path + "." + name }

// raw is a field's value; nil: there is none.
func (o *object) raw(name string) json.RawMessage {
	o.read[name] = true
	return o.fields[name]
}

func (o *object) wrong(name, want string) {
	o.faults.add("%s must be %s, not %s", o.at(name), want, kindOf(o.fields[name]))
}

// text is a field's text.
func (o *object) text(name string) (text string) {
	raw := o.raw(name)
	if raw == nil {
		return ""
	}
	if kindOf(raw) != "text" {
		o.wrong(name, "a text")
		return ""
	}
	text, _ = rawjson.Unquote(raw)
	return strings.TrimSpace(text)
}

// needed is a text that must be there.
func (o *object) needed(name string) string {
	text := o.text(name)
	if text == "" && (o.fields[name] == nil || kindOf(o.fields[name]) == "text") {
		o.faults.add("%s is required", o.at(name))
	}
	return text
}

// flag is a boolean field.
func (o *object) flag(name string) bool {
	raw := o.raw(name)
	if raw != nil && kindOf(raw) != "boolean" {
		o.wrong(name, "true or false")
	}
	return string(raw) == "true"
}

// whole is a number from least to most; 0: there is none.
func (o *object) whole(name string, least, most int) int {
	raw := o.raw(name)
	if raw == nil {
		return 0
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < least || n > most {
		o.faults.add("%s must be a whole number from %d to %d", o.at(name), least, most)
		return 0
	}
	return n
}

// number is a number from least to most; nil: there is none.
func (o *object) number(name string, least, most float64) *float64 {
	raw := o.raw(name)
	if raw == nil {
		return nil
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || n < least || n > most {
		o.faults.add("%s must be a number from %g to %g", o.at(name), least, most)
		return nil
	}
	return &n
}

// texts is a list of texts, or a single text; nil: there is none.
func (o *object) texts(name string) []string {
	raw := o.raw(name)
	switch {
	case raw == nil:
		return nil
	case kindOf(raw) == "text":
		return []string{o.text(name)}
	case kindOf(raw) != "list":
		o.wrong(name, "a text or a list of texts")
		return nil
	}
	all := []string{}
	for one := range rawjson.Elements(raw) {
		text, _ := rawjson.Unquote(quoted(one))
		if text = strings.TrimSpace(text); text == "" {
			o.faults.add("%s must be a list of texts", o.at(name))
			return all
		}
		all = append(all, text)
	}
	return all
}

func quoted(value []byte) []byte {
	if kindOf(value) != "text" {
		return []byte(`""`)
	}
	return value
}

// empty reports whether a value asks for nothing: null, false, "", 0, [] or {}.
func empty(value json.RawMessage) bool {
	switch strings.Join(strings.Fields(string(value)), "") {
	case "", "null", "false", `""`, "0", "[]", "{}":
		return true
	}
	return false
}

// done is called when all known fields were read. It tells of unknown ones, and of those that can't be done here, unless they ask for
// nothing. ignored are those of the reference's that change nothing of what is done.
func (o *object) done(ignored []string, refused map[string]string) {
	known := slices.Collect(func(yield func(string) bool) {
		for name := range o.read {
			if !yield(name) {
				return
			}
		}
	})
	slices.Sort(known)
	for _, name := range o.names {
		why, no := refused[name]
		switch {
		case o.read[name] || slices.Contains(ignored, name):
		case no:
			if !empty(o.fields[name]) {
				o.faults.add("%s: %s", o.at(name), why)
			}
		default:
			hint := ""
			if meant := nearest(name, known); meant != "" {
				hint = ": did you mean " + meant + "?"
			}
			o.faults.add("%s is unknown%s", o.at(cut(name, 60)), hint)
		}
	}
}

// nearest is the known word that a misspelt one is likely to mean; empty: none is near.
func nearest(word string, known []string) (best string) {
	least := min(len(word)/2, max(2, len(word)/4)) + 1
	for _, k := range known {
		if n := edits(strings.ToLower(word), k); n < least {
			best, least = k, n
		}
	}
	return best
}

// edits is how many letters must be changed, added or left out to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// cut is at most max bytes of a text, and says what is missing.
func cut(text string, max int) string {
	if len(text) <= max {
		return text
	}
	kept := strings.ToValidUTF8(text[:max], "")
	return fmt.Sprintf("%s [cut: %d of %d bytes]", kept, len(kept), len(text))
}
