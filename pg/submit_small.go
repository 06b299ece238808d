package pg

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
)

// A small tree has fewer tasks and bytes than these. It is read whole before it is stored; larger ones flow through COPY.
const (
	smallTasks = 2000
	smallBytes = 512 << 10 // of their JSON
)

// firstTasks reads up to a small tree's tasks. small is nil when there are more, or when reading failed: then all gives
// them again, and the rest, or the error. The caller calls stop when it is done with all.
func firstTasks(tasks iter.Seq2[*dag.Task, error]) (small []*dag.Task, all iter.Seq2[*dag.Task, error], stop func()) {
	next, stop := iter.Pull2(tasks)
	var read []*dag.Task
	var fault error
	size, whole := 0, false
	for len(read) < smallTasks && size < smallBytes {
		t, err, ok := next()
		if !ok || err != nil {
			whole, fault = err == nil, err
			break
		}
		t = keep(t)
		read = append(read, t)
		size += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom)
	}
	all = func(yield func(*dag.Task, error) bool) {
		for _, t := range read {
			if !yield(t, nil) {
				return
			}
		}
		if fault != nil {
			yield(nil, fault)
			return
		}
		for !whole {
			t, err, ok := next()
			if !ok || !yield(t, err) {
				return
			}
		}
	}
	if whole && len(read) > 0 {
		small = read
	}
	return small, all, stop
}

// keep copies a task whose memory its reader may use again.
func keep(t *dag.Task) *dag.Task {
	kept := *t
	kept.Inputs, kept.Params, kept.Schemas, kept.Custom = bytes.Clone(t.Inputs), bytes.Clone(t.Params), bytes.Clone(t.Schemas), bytes.Clone(t.Custom)
	kept.Dependencies = slices.Clone(t.Dependencies)
	return &kept
}

// submitSmall validates a tree that was read whole and stores it, with others or by itself.
func (s *Store) submitSmall(ctx context.Context, sub Submission, tasks []*dag.Task) (*Submitted, error) {
	in := newIntake(sub.Limits, sub.IdempotencyKey != "")
	for _, t := range tasks {
		if _, err := in.add(t); err != nil {
			return nil, err
		}
	}
	st, err := s.build(ctx, sub, in)
	if err != nil {
		return nil, err
	}
	return s.group.submit(ctx, s, newMember(st, tasks))
}
