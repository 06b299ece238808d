package coordinator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// Update changes fields of a stored task; see [Editor].
func (c *Coordinator) Update(ctx context.Context, taskID string, change TaskChange) (*Task, error) {
	if err := c.takesWork(); err != nil {
		return nil, err
	}
	k, err := c.keyOf(ctx, taskID)
	if err != nil {
		return nil, err
	}
	eff, err := c.store.Update(ctx, k, pg.Update{
		Change: change, Limits: c.cfg.Limits, Room: c.lanes.room,
		Known:       func(id string) bool { return c.executors.has(ctx, id) },
		Repeatable:  func(id string) bool { return slices.Contains(c.cfg.Repeatable, id) },
		InputFaults: c.inputFaultsOf(ctx), PoolFaults: c.poolFaultsOf(),
		Allowed: func(t *dag.Task) error { return mayRunFlows(ctx, t) },
	})
	if refused, ok := errors.AsType[*pg.Refused](err); ok {
		return nil, &UpdateError{Faults: refused.Faults, Transition: refused.Transition}
	}
	if errors.Is(err, pg.ErrHeld) {
		return nil, c.heldError(ctx, k.Tree())
	}
	if err != nil {
		return nil, c.editError("update", err)
	}
	failpoint.Hit("coordinator.after-edit-commit")
	c.after(ctx, eff)
	return c.Task(ctx, taskID)
}

// Delete deletes a task and all below it; see [Editor].
func (c *Coordinator) Delete(ctx context.Context, taskID string, opts DeleteOptions) (*Deletion, error) {
	k, err := c.keyOf(ctx, taskID)
	if err != nil {
		return nil, err
	}
	n, eff, err := c.store.Delete(ctx, k, pg.DeleteOptions{Force: opts.Force, Alone: opts.Alone, Room: c.lanes.room})
	if refused, ok := errors.AsType[*pg.NotDeletable](err); ok {
		return nil, &DeleteError{Reasons: refused.Reasons}
	}
	if errors.Is(err, pg.ErrHeld) {
		return nil, c.heldError(ctx, k.Tree())
	}
	if err != nil {
		return nil, c.editError("delete", err)
	}
	failpoint.Hit("coordinator.after-edit-commit")
	c.after(ctx, eff)
	return &Deletion{Tasks: n}, nil
}

// Add stores tasks below a stored one; see [Editor].
func (c *Coordinator) Add(ctx context.Context, parentID string, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if err := c.takesWork(); err != nil {
		return nil, err
	}
	k, err := c.keyOf(ctx, parentID)
	if err != nil {
		return nil, err
	}
	done, err := slot(ctx, c.submitting)
	if err != nil {
		return nil, err
	}
	defer done()
	has := func(id string) bool { return c.executors.has(ctx, id) }
	warnings := &treedoc.Warnings{Inputs: c.cfg.InputKeys, Known: has}
	out, eff, err := c.store.Add(ctx, k, parentID, pg.Submission{
		IdempotencyKey: opts.IdempotencyKey, Limits: c.cfg.Limits, Known: has,
		Repeatable: func(id string) bool { return slices.Contains(c.cfg.Repeatable, id) },
		Levels:     c.cfg.Levels, Version: c.cfg.Version, Tasks: warnings.See(c.checked(ctx, tasks)),
	})
	switch {
	case errors.Is(err, pg.ErrStarted):
		return nil, c.parentError(ctx, k, parentID)
	case errors.Is(err, pg.ErrDigest):
		return nil, &InvalidArgumentError{Field: "idempotency_key", Reason: "was used for a different submission"}
	case errors.Is(err, pg.ErrBusy):
		return nil, c.editError("add", err)
	case err != nil:
		return nil, c.submitError(err)
	}
	failpoint.Hit("coordinator.after-edit-commit")
	c.after(ctx, eff)
	answer := &Submitted{TreeID: out.RootID, Tasks: out.Tasks, Replayed: out.Replayed, IDMap: out.IDMap, Warnings: warnings.All()}
	if out.First == 0 || out.Tasks > opts.Show.Tasks {
		return answer, nil
	}
	page, err := c.store.TreeTasks(ctx, out.First, out.First+dag.Key(out.Tasks), pg.Filter{Limit: out.Tasks})
	if err != nil {
		return nil, c.internal("show what was added", err)
	}
	for _, t := range page.Tasks {
		answer.Shown = append(answer.Shown, c.show(t))
	}
	return answer, nil
}

func (c *Coordinator) parentError(ctx context.Context, k dag.Key, parentID string) error {
	tree, err := c.store.Tree(ctx, k.Tree())
	if err != nil {
		return c.internal("read tree", err)
	}
	return &ParentError{ParentID: parentID, TreeID: tree.ID}
}

// editError passes on what the client has to know.
func (c *Coordinator) editError(what string, err error) error {
	if errors.Is(err, pg.ErrBusy) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if _, ok := errors.AsType[*dag.LevelError](err); ok {
		return err
	}
	if unseen, ok := errors.AsType[*unseenError](err); ok {
		return unseen.error
	}
	if limit, ok := errors.AsType[*pg.PoolLimitError](err); ok {
		return &InvalidArgumentError{Field: "pool", Reason: limit.Reason}
	}
	if quota, ok := errors.AsType[*pg.QuotaError](err); ok {
		return quotaError(quota)
	}
	return c.internal(what, c.gone(err))
}

// inputFaultsOf finds the faults of the inputs of a task that was changed, as texts; nil: nobody looks at inputs.
func (c *Coordinator) inputFaultsOf(ctx context.Context) func(*dag.Task) []string {
	if c.cfg.InputFaults == nil {
		return nil
	}
	return func(t *dag.Task) (texts []string) {
		check := inputCheck{c: c, faults: c.cfg.InputFaults(), others: map[string]bool{}}
		for _, f := range check.faults(t) {
			if !f.Own && check.described(ctx, t.Executor) {
				continue
			}
			by, field := t.Executor, "inputs"
			if f.Own {
				by = "schemas.input_schema"
			}
			if f.Field != "" {
				field += "." + treedoc.Short(f.Field)
			}
			texts = append(texts, fmt.Sprintf("%s: %s (%s)", field, f.Reason, by))
		}
		return texts
	}
}
