// Package tasks checks the conditions of tasks that are submitted.
//
// It owns which keys of a task are conditions, and how their faults are told among those of its tree. It must not know where tasks come from, or
// how conditions are evaluated.
package tasks

import (
	"cmp"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/condition"
)

// Check adds to a task what is wrong with its conditions, and notes the dependencies that they name, which are checked where the tree is whole. index
// is the task's place in the tree.
func Check(index int, t *dag.Task) {
	if t.Control == nil {
		return
	}
	t.Calls = nil
	check(index, t, "when", condition.When, t.Control.When)
	if r := t.Control.Repeat; r != nil {
		check(index, t, "repeat.until", condition.Until, r.Until)
	}
}

// check looks at one expression. One that is empty or too long is a fault of the task already.
func check(index int, t *dag.Task, field string, kind condition.Kind, text string) {
	if text == "" || len(text) > dag.MaxWhenBytes {
		return
	}
	program, err := condition.Compile(kind, text)
	for _, f := range condition.AsFaults(err) {
		t.Faults = append(t.Faults, fault(index, t, field, f))
	}
	if err != nil {
		return
	}
	for _, n := range program.Names() {
		t.Calls = append(t.Calls, dag.Call{Name: n.Name, Field: field, At: fmt.Sprintf("line %d, column %d", n.Line, n.Column)})
	}
}

// fault puts a fault of an expression into the words of one of a tree.
func fault(index int, t *dag.Task, field string, f *condition.Fault) *dag.InvalidTaskError {
	e := &dag.InvalidTaskError{Code: dag.InvalidField, Index: index, Task: cmp.Or(t.ID, t.Name), Field: field}
	e.Reason = fmt.Sprintf("tasks[%d].%s: %s (of task '%s')", index, field, f, treedoc.Short(e.Task))
	return e
}
