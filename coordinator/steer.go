package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Steerer changes the course of what is stored.
type Steerer interface {
	// Execute starts a held tree, or runs again what a user asks for. [ErrNotFound], *[StillStoppingError].
	Execute(ctx context.Context, taskID string, opts ExecuteOptions) (*Execution, error)
	// Cancel cancels a task, or a whole tree by its root. [ErrNotFound].
	Cancel(ctx context.Context, id string, opts CancelOptions) (*Cancellation, error)
}

func (g *guarded) Execute(ctx context.Context, taskID string, opts ExecuteOptions) (*Execution, error) {
	return ask(ctx, g, Call{RoleSteer, "Execute", taskID}, func() (*Execution, error) { return g.next.Execute(ctx, taskID, opts) })
}

func (g *guarded) Cancel(ctx context.Context, id string, opts CancelOptions) (*Cancellation, error) {
	return ask(ctx, g, Call{RoleSteer, "Cancel", id}, func() (*Cancellation, error) { return g.next.Cancel(ctx, id, opts) })
}

// Execute starts a held tree, or runs again what a user asks for; see [Steerer].
func (c *Coordinator) Execute(ctx context.Context, taskID string, opts ExecuteOptions) (*Execution, error) {
	if err := c.takesWork(); err != nil {
		return nil, err
	}
	k, err := c.keyOf(ctx, taskID)
	if err != nil {
		return nil, err
	}
	tree, err := c.store.Tree(ctx, k.Tree())
	if err != nil {
		return nil, c.internal("read tree", err)
	}
	got, err := c.store.Execute(ctx, k, dag.ExecutionOptions{Force: opts.Force, RerunDependencies: opts.RerunDependencies})
	if err != nil {
		return nil, c.internal("execute", err)
	}
	out := &Execution{TreeID: tree.ID, Tasks: got.Tasks}
	switch got.Status {
	case pg.ExecutionRunning:
		out.Outcome = AlreadyRunning
	case pg.ExecutionNothing:
		out.Outcome = NothingToDo
	case pg.ExecutionStopping:
		return nil, &StillStoppingError{TreeID: tree.ID}
	default:
		out.Outcome = Started
		c.after(ctx, got.Effects)
		wake(c.wakeTimers) // the tree's deadline
	}
	return out, nil
}

const (
	cancelAtOnce = 1000            // tasks cancelled in one transaction
	cancelWait   = 2 * time.Second // how long an answer waits for a whole tree's cancellation to be carried out
)

// Cancel cancels a task, or a whole tree by its root; see [Steerer].
func (c *Coordinator) Cancel(ctx context.Context, id string, opts CancelOptions) (*Cancellation, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	reason := DefaultCancelReason
	if opts.Reason != "" {
		reason = clean(opts.Reason)
	}
	t, err := c.store.Task(ctx, id)
	if err != nil {
		return nil, c.internal("cancel", err)
	}
	done, err := c.cancelTask(ctx, t, reason, opts.Cascade)
	if err != nil {
		return nil, c.internal("cancel", err)
	}
	if done {
		return &Cancellation{Outcome: Cancelled, Reason: reason}, nil
	}
	if t, err = c.store.Task(ctx, id); err != nil {
		return nil, c.internal("cancel", err)
	}
	return &Cancellation{Outcome: AlreadyEnded, Status: t.State.Status()}, nil
}

func (c *Coordinator) cancelTask(ctx context.Context, t *pg.Shown, reason string, cascade *bool) (bool, error) {
	root := t.ParentID == nil
	wide := root
	if cascade != nil {
		wide = *cascade
	}
	if root && wide {
		did, err := c.store.CancelTree(ctx, t.Key.Tree(), reason)
		if err == nil && did {
			c.carryOut(ctx, t.Key.Tree())
		}
		return did, err
	}
	keys := []dag.Key{t.Key}
	if wide {
		var err error
		if keys, err = c.store.Below(ctx, t.Key); err != nil {
			return false, err
		}
	}
	// What depends comes last in keys, and is cancelled first: it must not be blocked by what it depends on meanwhile.
	slices.Reverse(keys)
	did := false
	for part := range slices.Chunk(keys, cancelAtOnce) {
		done, eff, err := c.store.Cancel(ctx, part, reason, c.lanes.room)
		if err != nil {
			return did, err
		}
		c.after(ctx, eff)
		did = did || done[t.Key]
	}
	return did, nil
}

// carryOut does the followups of a tree's cancellation while the client waits, so that a small tree is cancelled when the
// answer comes. Whatever is left is done in the background.
func (c *Coordinator) carryOut(ctx context.Context, tree dag.TreeKey) {
	wake(c.wakeFollowups)
	for end := time.Now().Add(cancelWait); time.Now().Before(end) && ctx.Err() == nil; {
		st, err := c.store.Tree(ctx, tree)
		if err != nil || st.Unfinished == 0 && st.Held == 0 && st.Blocked == 0 {
			return
		}
		if more, err := c.followup(ctx); err != nil {
			return
		} else if !more && !sleep(ctx, 2*time.Millisecond) { // another coordinator is at it
			return
		}
	}
}
