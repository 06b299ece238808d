package coordinator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// Bounds of trees that are stored together.
const (
	MaxTogether   = 100
	togetherTasks = 10_000   // of all
	togetherBytes = 16 << 20 // that they carry
)

// TreesError is what is wrong with trees that were submitted together, of which none is stored. Its texts are safe to show to users.
type TreesError struct{ Faults []TreeFault }

// TreeFault is what is wrong with one of them: *[dag.InvalidTreeError], *[dag.InvalidTaskError] or *[InvalidArgumentError].
type TreeFault struct {
	Tree int // index among the trees, the first is 0
	Err  error
}

// Error has a line for each tree.
func (e *TreesError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = fmt.Sprintf("trees[%d]: %v", f.Tree, f.Err)
	}
	return strings.Join(lines, "\n")
}

// Problems are all faults of all trees as those of one, at most [dag.MaxProblems]: each field begins with its tree's. explain may say otherwise what is
// wrong with a tree; nil: nobody does.
func (e *TreesError) Problems(explain func(tree int, err error) error) *dag.InvalidTreeError {
	all := &dag.InvalidTreeError{}
	add := func(tree int, field, reason string, code dag.Code) {
		if len(all.Problems) == dag.MaxProblems {
			all.More++
			return
		}
		at := fmt.Sprintf("trees[%d]", tree)
		if field != "" {
			field = "." + field
		}
		all.Problems = append(all.Problems, &dag.InvalidTaskError{Code: code, Index: -1, Field: at + field, Reason: at + ": " + reason})
	}
	for _, f := range e.Faults {
		err := f.Err
		if explain != nil {
			err = explain(f.Tree, err)
		}
		bad, ok := errors.AsType[*dag.InvalidTreeError](err)
		if one, is := errors.AsType[*dag.InvalidTaskError](err); !ok && is {
			bad, ok = &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{one}}, true
		}
		if !ok {
			field := ""
			if arg, is := errors.AsType[*InvalidArgumentError](err); is {
				field = arg.Field
			}
			add(f.Tree, field, err.Error(), dag.InvalidField)
			continue
		}
		for _, p := range bad.Problems {
			field := dag.FieldOf(p)
			if p.Index < 0 {
				field = p.Field
			}
			add(f.Tree, field, p.Reason, p.Code)
		}
		all.More += bad.More
	}
	return all
}

// submitTogether stores several trees, all or none.
func (c *Coordinator) submitTogether(ctx context.Context, opts SubmitOptions, first iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	trees := append([]NewTree{{opts.IdempotencyKey, opts.Timeout, opts.Retention, opts.Due, first}}, opts.More...)
	if err := opts.validateTogether(trees); err != nil {
		return nil, err
	}
	if err := c.takesWork(); err != nil {
		return nil, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	for _, slots := range []chan struct{}{c.submitting, c.copying} { // they are in memory as a whole
		done, err := slot(ctx, slots)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	begin := time.Now()
	var room together
	intakes, subs := make([]*intake, len(trees)), make([]pg.Submission, len(trees))
	for i, t := range trees {
		t.Tasks = room.count(t.Tasks)
		intakes[i] = c.intake(ctx, opts, t)
		subs[i] = intakes[i].sub
	}
	stored, err := c.store.SubmitTogether(ctx, here, subs)
	if bad, ok := errors.AsType[*pg.TreesError](err); ok {
		faults := &TreesError{}
		for i, err := range bad.Errs {
			if err != nil {
				faults.Faults = append(faults.Faults, TreeFault{i, c.submitError(err)})
			}
		}
		return nil, faults
	}
	if err != nil {
		return nil, c.submitError(err)
	}
	failpoint.Hit("coordinator.after-submit-commit")
	answers := make([]*Submitted, len(stored))
	for i, out := range stored {
		answers[i] = c.stored(ctx, opts, intakes[i], out, begin)
	}
	answers[0].More = answers[1:]
	return answers[0], nil
}

func (o *SubmitOptions) validateTogether(trees []NewTree) error {
	switch {
	case len(trees) > MaxTogether:
		return &InvalidArgumentError{Field: "trees", Reason: fmt.Sprintf("must be at most %d, got %d", MaxTogether, len(trees))}
	case o.Unique != nil:
		return &InvalidArgumentError{Field: "unique", Reason: "is of one tree: submit it by itself"}
	case o.Webhook != nil || len(o.Attach) > 0:
		return &InvalidArgumentError{Field: "webhook", Reason: "is of one tree: submit it by itself"}
	}
	bad, seen := &TreesError{}, map[string]bool{}
	for i, t := range trees {
		err := SubmitOptions{IdempotencyKey: t.IdempotencyKey, Timeout: t.Timeout, Retention: t.Retention, Due: t.Due}.validate()
		if err == nil && t.IdempotencyKey != "" && seen[t.IdempotencyKey] {
			err = &InvalidArgumentError{Field: "idempotency_key", Reason: "is that of another tree of this submission"}
		}
		seen[t.IdempotencyKey] = true
		if err != nil {
			bad.Faults = append(bad.Faults, TreeFault{i, err})
		}
	}
	if len(bad.Faults) > 0 {
		return bad
	}
	return nil
}

// together counts what trees have together.
type together struct{ tasks, bytes int }

// count ends the submission when they have too much.
func (w *together) count(tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		for t, err := range tasks {
			if err == nil {
				w.tasks++
				w.bytes += len(t.Inputs) + len(t.Params) + len(t.Schemas) + len(t.Custom)
				if w.tasks > togetherTasks || w.bytes > togetherBytes {
					err = &InvalidArgumentError{Field: "trees", Reason: fmt.Sprintf("must have at most %d tasks together, which carry %d MiB: submit large trees by themselves", togetherTasks, togetherBytes>>20)}
					t = nil
				}
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}
