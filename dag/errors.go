package dag

import (
	"fmt"
	"strings"
)

// Code classes a fault in a submitted tree; APIs map it to their own codes (spec 12.4).
type Code int

// The codes of faults in a tree.
const (
	InvalidField      Code = iota // a field is missing, of the wrong type or above a bound
	InvalidTree                   // no root, several roots, unreachable tasks, mixed ids, empty, too large
	InvalidParent                 // parent not in the tree
	InvalidDependency             // dependency not in the tree, or without reference
	CircularDependency
	DuplicateID
	WrongOwner // tasks of more than one user
)

// InvalidTaskError is one reason why a tree can't be accepted. Its text is safe to show to users, and begins with the
// text of spec 2.1 where that has one.
type InvalidTaskError struct {
	Code   Code
	Index  int      // of the task in the submission; -1 when the tree itself is at fault
	Task   string   // id or else name, as submitted; may be empty
	Field  string   // path within the task: "inputs.url"; empty when the tree itself is at fault
	Reason string   // the whole sentence
	Cycle  []string // CircularDependency: the closed path, by name
}

// Error is the reason alone, without the field.
func (e *InvalidTaskError) Error() string { return e.Reason }

// FieldOf is the field that a fault is about, as warnings name it: "tasks[3].inputs"; empty when the tree itself is at fault.
func FieldOf(e *InvalidTaskError) string {
	switch {
	case e.Index < 0:
		return ""
	case e.Field == "":
		return fmt.Sprintf("tasks[%d]", e.Index)
	}
	return fmt.Sprintf("tasks[%d].%s", e.Index, e.Field)
}

// Warning is about something in a tree that is accepted and likely a mistake. Its texts are safe to show to users.
type Warning struct {
	Field  string // as in "tasks[3].dependecies"
	Reason string
}

// InvalidTreeError holds every reason found why a tree can't be accepted, in the order of spec 2.1, at most
// [MaxProblems].
type InvalidTreeError struct {
	Problems []*InvalidTaskError
	More     int // how many further ones were found but not kept
}

// MaxProblems is how many faults of one tree are reported.
const MaxProblems = 100

// Error joins the reasons with semicolons.
func (e *InvalidTreeError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Reason)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "; and %d more", e.More)
	}
	return b.String()
}
