package condition

import (
	"fmt"
	"strings"
)

// Fault is what is wrong at a place of an expression. Its text is safe to show: it holds parts of the expression and of what is wrong with a value's
// type, never a value itself, but for keys that are missing.
type Fault struct {
	Line, Column int // from 1, in characters
	Reason       string
}

// Error is such as "line 1, column 6: there is no key \"count\"".
func (f *Fault) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Reason)
}

// Faults are all that were found in an expression, in the order of their places.
type Faults []*Fault

// Error has the texts of all.
func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i, one := range f {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// faultAt is a fault at a character of a text.
func faultAt(text []rune, at int, reason string) *Fault {
	f := &Fault{1, 1, reason}
	for _, c := range text[:min(at, len(text))] {
		if f.Column++; c == '\n' {
			f.Line, f.Column = f.Line+1, 1
		}
	}
	return f
}
