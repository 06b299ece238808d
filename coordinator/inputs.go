package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	conditions "github.com/taskgrove/taskgrove/internal/condition/tasks"
)

// InputFault is a fault of a task's inputs that is known before a worker is asked. Its texts show no value.
type InputFault struct {
	Field   string // path within the inputs; empty: the inputs as a whole
	Reason  string
	Missing bool // Field, which the inputs as a whole must have, is not there
	Own     bool // it violates schemas.input_schema, not the schema of the executor
}

// inputCheck adds the faults of inputs to those of the tasks of one submission.
type inputCheck struct {
	c      *Coordinator
	faults func(*dag.Task) []InputFault
	others map[string]bool // of an executor: whether live workers describe other inputs than this coordinator
}

// checkInputs looks at tasks on their way. What is only demonstrated has inputs that nobody reads.
func (c *Coordinator) checkInputs(ctx context.Context, tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	if c.cfg.InputFaults == nil {
		return tasks
	}
	check := inputCheck{c: c, faults: c.cfg.InputFaults(), others: map[string]bool{}}
	return func(yield func(*dag.Task, error) bool) {
		index := 0
		for t, err := range tasks {
			if err == nil && t.Executor != "" && !t.Demo && len(t.Faults) == 0 {
				check.look(ctx, index, t)
				if t.Executor == dag.MapExecutor {
					check.maps(ctx, index, t)
				}
			}
			index++
			if !yield(t, err) {
				return
			}
		}
	}
}

func (k *inputCheck) look(ctx context.Context, index int, t *dag.Task) {
	for _, f := range k.faults(t) {
		if !f.Own && k.described(ctx, t.Executor) {
			continue
		}
		t.Faults = append(t.Faults, k.fault(index, t, f))
	}
}

// maps looks at what a map is to make, as far as it is known now.
func (k *inputCheck) maps(ctx context.Context, index int, t *dag.Task) {
	if k.described(ctx, t.Executor) {
		return
	}
	opts := expansion.Options{Limits: k.c.cfg.Limits, Executors: k.c.cfg.Known, Check: func(index int, made *dag.Task) {
		conditions.Check(index, made)
		if made.Executor != "" {
			k.look(ctx, index, made)
		}
	}}
	for _, f := range expansion.InputFaults(t, opts) {
		t.Faults = append(t.Faults, k.fault(index, t, InputFault{Field: f.Field, Reason: f.Reason}))
	}
}

// described reports whether a live worker describes other inputs of an executor than this coordinator, which then can't judge.
func (k *inputCheck) described(ctx context.Context, executor string) bool {
	other, asked := k.others[executor]
	if !asked {
		other = k.c.catalogue.otherInputs(ctx, executor)
		k.others[executor] = other
	}
	return other
}

// fault puts a fault into the words of one of a tree.
func (k *inputCheck) fault(index int, t *dag.Task, f InputFault) *dag.InvalidTaskError {
	e := &dag.InvalidTaskError{Code: dag.InvalidField, Index: index, Task: t.ID, Field: "inputs"}
	if e.Task == "" {
		e.Task = t.Name
	}
	if f.Field != "" {
		e.Field += "." + treedoc.Short(f.Field)
	}
	by := t.Executor
	if f.Own {
		by = "schemas.input_schema"
	}
	e.Reason = fmt.Sprintf("tasks[%d].%s: %s (%s of task '%s')", index, e.Field, f.Reason, by, treedoc.Short(e.Task))
	if f.Missing && !f.Own {
		if likely := dag.Closest(f.Field, k.odd(t)); likely != "" {
			e.Reason += fmt.Sprintf("; is '%s' meant to be it?", treedoc.Short(likely))
		}
	}
	return e
}

// maxOdd is how many unknown inputs of a task are compared with one that is missing.
const maxOdd = 16

// odd are inputs that the task's executor does not know.
func (k *inputCheck) odd(t *dag.Task) (odd []string) {
	keys := k.c.cfg.InputKeys[t.Executor]
	for name := range t.InputNames() {
		if !slices.Contains(keys.Names, name) && len(odd) < maxOdd {
			odd = append(odd, name)
		}
	}
	return odd
}

// otherInputs reports whether a live worker describes other inputs of a built-in executor than this process does. What can't be read differs
// from nothing.
func (c *catalogue) otherInputs(ctx context.Context, executor string) bool {
	list, err := c.read(ctx)
	if err != nil || list.by[executor] == nil || list.by[executor].builtIn == nil {
		return false
	}
	one := list.by[executor]
	var hashes [][]byte
	for hash := range one.having {
		hashes = append(hashes, []byte(hash))
	}
	bodies, err := list.store.DescriptionBodies(ctx, hashes)
	if err != nil {
		return false
	}
	for _, body := range bodies {
		if e, ok := executorOf(body); ok && !bytes.Equal(e.Inputs, one.builtIn.Inputs) {
			return true
		}
	}
	return false
}
