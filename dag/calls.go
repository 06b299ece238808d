package dag

import "fmt"

// Call is a dependency that a task's condition names. Who knows the language of conditions hands it in, as it sees one task after the other.
type Call struct {
	Name  string
	Field string // of the task: "when"
	At    string // within it: "line 1, column 6"
}

// calling is a call of a task of the tree.
type calling struct {
	task int32
	Call
}

// addCalls keeps what the task's condition names until all tasks are known.
func (b *Builder) addCalls(task int, calls []Call) {
	for _, c := range calls {
		b.calls = append(b.calls, calling{int32(task), c})
	}
}

// checkCalls looks up the dependencies that conditions name, as those that templates name are.
func (b *Builder) checkCalls() {
	var known *Addresses
	last := int32(-1)
	for _, c := range b.calls {
		if c.task != last {
			known, last = b.addresses(c.task), c.task
		}
		_, reason := known.Find(c.Name)
		if reason == "" || !b.faults.room(atField) {
			continue
		}
		b.faults.keep(atField, &InvalidTaskError{Code: InvalidField, Index: int(c.task), Task: b.identity(c.task), Field: c.Field,
			Reason: fmt.Sprintf("tasks[%d].%s: %s: %s (of task '%s')", c.task, c.Field, c.At, reason, cut(b.show(int(c.task)), 80))})
	}
	b.calls = nil
}
