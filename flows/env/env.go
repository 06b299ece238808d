// Package env reads the environments of flows: files of three forms, and what goes before what (flows 4.5).
//
// It owns the forms of the files and of what names them, and the order of precedence. It must not know which names a flow uses, which of them are
// secrets, or where files lie: callers hand in a file system. It reads neither the process's environment nor a clock, and no fault shows a value.
//
// All values are texts. Later ones win: of flow.env, of the bundle's env_files in their order, of the schedule, of the submission, and of the system; see [Merge].
package env

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Bounds of what is read.
const (
	MaxBytes  = 1 << 20 // of a file, and of all files of a directory together
	MaxNames  = 10_000  // of a file
	MaxFaults = 100     // that are told of all files
	maxShown  = 80      // bytes of a name in a fault
)

// Value is a text, and where it comes from.
type Value struct {
	Text string
	File string // path of the file; empty: none
	Line int    // from 1; 0: the file as a whole, or none
}

// Values are those of an environment, by their names.
type Values map[string]Value

// Of makes values of texts that stand in no file.
func Of(texts map[string]string) Values {
	values := Values{}
	for name, text := range texts {
		values[name] = Value{Text: text}
	}
	return values
}

// Merge puts layers together, of which the later ones win.
func Merge(layers ...Values) Values {
	all := Values{}
	for _, layer := range layers {
		maps.Copy(all, layer)
	}
	return all
}

// Only are the values of names that somebody wants: of files and of a process's environment, a run keeps no others.
func (v Values) Only(wanted func(name string) bool) Values {
	kept := Values{}
	for name, value := range v {
		if wanted(name) {
			kept[name] = value
		}
	}
	return kept
}

// Texts are the values alone.
func (v Values) Texts() map[string]string {
	texts := map[string]string{}
	for name, value := range v {
		texts[name] = value.Text
	}
	return texts
}

// Fault is one thing that is wrong with a file, or with what names it.
type Fault struct {
	File   string
	Line   int    // from 1; 0: the file as a whole
	Column int    // in characters, from 1; 0: the line as a whole
	Text   string // without values
}

// String has the form of compilers: file, line and column first.
func (f Fault) String() string {
	at := f.File
	if f.Line > 0 {
		at += fmt.Sprintf(":%d", f.Line)
		if f.Column > 0 {
			at += fmt.Sprintf(":%d", f.Column)
		}
	}
	return at + ": " + f.Text
}

// Faults are all that is wrong.
type Faults []Fault

// Error has a line for each.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// err is nil if there is no fault. Faults beyond [MaxFaults] are counted.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b Fault) int { // the order of files is kept
		if a.File != b.File {
			return 0
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more := len(f) - MaxFaults; more > 0 {
		f = append(f[:MaxFaults:MaxFaults], Fault{File: f[MaxFaults].File, Text: fmt.Sprintf("and %d more faults", more)})
	}
	return f
}

// ValidName reports whether templates can name it: ASCII letters, digits and _, with no digit first.
func ValidName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// shown is a name in a fault.
func shown(name string) string {
	if len(name) > maxShown {
		name = strings.ToValidUTF8(name[:maxShown], "") + "…"
	}
	return fmt.Sprintf("%q", name)
}
