package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// Steerer changes the course of what is stored.
type Steerer interface {
	// Execute starts a held tree, or runs again what a user asks for. [ErrNotFound], *[StillStoppingError]; [ErrConflict]: it is of a run of a flow, which has a later revision.
	Execute(ctx context.Context, taskID string, opts ExecuteOptions) (*Execution, error)
	// Cancel cancels a task, or a whole tree by its root. [ErrNotFound].
	Cancel(ctx context.Context, id string, opts CancelOptions) (*Cancellation, error)
	// Skip ends a task that has not begun: what depends on it goes on as after any skip. It answers the task as it is then. [ErrNotFound];
	// *[SkipError]: it has begun, has ended, or is held.
	Skip(ctx context.Context, taskID string) (*Task, error)
}

// SkipError says why a task can't be skipped. It is an [ErrConflict]. Its text is safe to show.
type SkipError struct {
	TaskID string
	State  dag.State
}

// Error tells how far the task is.
func (e *SkipError) Error() string {
	why := "it has begun"
	switch {
	case e.State.Settled():
		why = "it has ended"
	case e.State == dag.Held:
		why = "its tree has not started"
	}
	return fmt.Sprintf("conflict: task %s can't be skipped: %s (%s)", e.TaskID, why, e.State)
}

// Unwrap makes it an [ErrConflict].
func (e *SkipError) Unwrap() error { return ErrConflict }

// Execute asks for the webhooks of an execution, too: they are told of its results.
func (g *guarded) Execute(ctx context.Context, taskID string, opts ExecuteOptions) (*Execution, error) {
	return ask(ctx, g, Call{Method: "Execute", ID: taskID, Details: opts.asked()}, func() (*Execution, error) { return g.next.Execute(ctx, taskID, opts) },
		part{there: opts.hooked(), permission: policy.WebhooksWrite})
}

func (o *ExecuteOptions) hooked() bool { return o.Webhook != nil || len(o.Attach) > 0 }

func (g *guarded) Cancel(ctx context.Context, id string, opts CancelOptions) (*Cancellation, error) {
	return ask(ctx, g, Call{Method: "Cancel", ID: id, Details: detail("cascade", opts.Cascade)}, func() (*Cancellation, error) { return g.next.Cancel(ctx, id, opts) })
}

func (g *guarded) Skip(ctx context.Context, taskID string) (*Task, error) {
	return ask(ctx, g, Call{Method: "Skip", ID: taskID}, func() (*Task, error) { return g.next.Skip(ctx, taskID) })
}

// Skip ends a task that has not begun; see [Steerer].
func (c *Coordinator) Skip(ctx context.Context, taskID string) (*Task, error) {
	if !text(taskID) {
		return nil, ErrNotFound
	}
	t, err := c.shownTask(ctx, taskID)
	if err != nil {
		return nil, c.internal("skip", err)
	}
	failpoint.Hit("coordinator.before-skip-commit")
	did, state, eff, err := c.store.Skip(ctx, t.Key, c.lanes.room)
	if err != nil {
		return nil, c.internal("skip", c.gone(err))
	}
	if !did {
		return nil, &SkipError{TaskID: taskID, State: state}
	}
	failpoint.Hit("coordinator.after-skip-commit")
	c.after(ctx, eff)
	now, err := c.Task(ctx, taskID)
	if errors.Is(err, ErrNotFound) { // deleted since
		t.State = dag.Skipped
		now, err = c.show(t), nil
	}
	return now, err
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
	if opts.DryRun {
		return c.planExecution(ctx, k, tree, opts)
	}
	hooks, err := c.webhooks.attachments(ctx, opts.Webhook, opts.Attach)
	if err != nil {
		return nil, err
	}
	came := opts.ModelKey.Given() && !opts.Demo
	keyed := came || !opts.Demo && c.userKeys.Has(c.keeperOf(tree.UserID))
	failpoint.Hit("coordinator.before-execute-commit")
	got, err := c.store.Execute(ctx, k, dag.ExecutionOptions{
		Force: opts.Force, RerunCancelled: opts.RerunCancelled, RerunDependencies: opts.RerunDependencies, KeepCompleted: opts.KeepCompleted, Demo: opts.Demo, Keyed: keyed, NoCache: opts.NoCache,
	}, hooks...)
	if below, ok := errors.AsType[*dag.LevelError](err); ok {
		return nil, below
	}
	if invalid, ok := errors.AsType[*dag.InvalidTreeError](err); ok { // the rules of its pools forbid it
		return nil, invalid
	}
	if quota, ok := errors.AsType[*pg.QuotaError](err); ok {
		return nil, quotaError(quota)
	}
	if errors.Is(err, pg.ErrReplaced) {
		return nil, fmt.Errorf("%w: %w", ErrConflict, pg.ErrReplaced)
	}
	err = c.gone(err)
	if limit, ok := errors.AsType[*pg.PoolLimitError](err); ok { // its pools were closed
		return nil, &InvalidArgumentError{Field: "pool", Reason: limit.Reason}
	}
	if err != nil {
		return nil, c.internal("execute", err)
	}
	failpoint.Hit("coordinator.after-execute-commit")
	out := &Execution{TreeID: tree.ID, Tasks: got.Tasks}
	switch got.Status {
	case pg.ExecutionRunning:
		out.Outcome = AlreadyRunning
	case pg.ExecutionNothing:
		out.Outcome = NothingToDo
	case pg.ExecutionCancelled:
		return c.refuseCancelled(ctx, out, got.Cancelled)
	case pg.ExecutionStopping:
		return nil, &StillStoppingError{TreeID: tree.ID}
	default:
		out.Outcome = Started
		if came { // before a worker can have it
			c.modelKeys.Put(int64(k.Tree()), got.Number, opts.ModelKey)
		}
		c.after(ctx, got.Effects)
		wake(c.wakeTimers) // the tree's deadline
	}
	return out, nil
}

// planExecution says what an execution would start.
func (c *Coordinator) planExecution(ctx context.Context, k dag.Key, tree *pg.Tree, opts ExecuteOptions) (*Execution, error) {
	if opts.hooked() {
		return nil, &InvalidArgumentError{Field: "dry_run", Reason: "starts nothing that a webhook could be told of"}
	}
	got, err := c.store.PlanExecution(ctx, k, dag.ExecutionOptions{
		Force: opts.Force, RerunCancelled: opts.RerunCancelled, RerunDependencies: opts.RerunDependencies, KeepCompleted: opts.KeepCompleted, Demo: opts.Demo, NoCache: opts.NoCache,
	})
	if invalid, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		return nil, invalid
	}
	if errors.Is(err, pg.ErrReplaced) {
		return nil, fmt.Errorf("%w: %w", ErrConflict, pg.ErrReplaced)
	}
	if err != nil {
		return nil, c.internal("plan an execution", c.gone(err))
	}
	out := &Execution{TreeID: tree.ID, Tasks: got.Tasks, Outcome: Planned}
	switch got.Status {
	case pg.ExecutionRunning:
		out.Outcome = AlreadyRunning
	case pg.ExecutionNothing:
		out.Outcome = NothingToDo
	case pg.ExecutionCancelled:
		return c.refuseCancelled(ctx, out, got.Cancelled)
	case pg.ExecutionStopping:
		return nil, &StillStoppingError{TreeID: tree.ID}
	}
	keys := got.Planned[:min(len(got.Planned), MaxPlanned)]
	labels, err := c.store.Labels(ctx, keys)
	if err != nil {
		return nil, c.internal("plan an execution", err)
	}
	for _, key := range keys {
		out.Planned = append(out.Planned, Match{ID: labels[key].ID, TreeID: tree.ID, Name: labels[key].Name, Status: dag.StatusPending})
	}
	return out, nil
}

// refuseCancelled names the cancelled task for which nothing was started.
func (c *Coordinator) refuseCancelled(ctx context.Context, out *Execution, k dag.Key) (*Execution, error) {
	labels, err := c.store.Labels(ctx, []dag.Key{k})
	if err != nil {
		return nil, c.internal("execute", err)
	}
	out.Outcome, out.Cancelled = WasCancelled, labels[k].ID
	return out, nil
}

const (
	cancelAtOnce = 1000            // tasks cancelled in one transaction
	cancelTries  = 10              // how often a task is cancelled that others execute again meanwhile
	cancelWait   = 2 * time.Second // how long an answer waits for a whole tree's cancellation to be carried out
)

// Cancel cancels a task, or a whole tree by its root; see [Steerer].
func (c *Coordinator) Cancel(ctx context.Context, id string, opts CancelOptions) (*Cancellation, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	reason := cmp.Or(clean(opts.Reason), DefaultCancelReason)
	t, err := c.shownTask(ctx, id)
	if err != nil {
		return nil, c.internal("cancel", err)
	}
	for tries := 1; ; tries++ {
		recorded, err := c.cancelTask(ctx, t, reason, opts.Cascade)
		if err != nil {
			return nil, c.internal("cancel", err)
		}
		if recorded != "" {
			return &Cancellation{Outcome: Cancelled, Reason: recorded}, nil
		}
		if t, err = c.shownTask(ctx, id); err != nil {
			return nil, c.internal("cancel", err)
		}
		if !t.State.Cancellable() || tries == cancelTries { // else it was executed again since
			return &Cancellation{Outcome: AlreadyEnded, Status: t.State.Status()}, nil
		}
	}
}

// cancelTask returns the reason that is on record; empty if the task had ended.
func (c *Coordinator) cancelTask(ctx context.Context, t *pg.Shown, reason string, cascade *bool) (recorded string, err error) {
	root := t.ParentID == nil
	wide := root
	if cascade != nil {
		wide = *cascade
	}
	if root && wide {
		return c.cancelTree(ctx, t, reason)
	}
	keys := []dag.Key{t.Key}
	if wide {
		if keys, err = c.store.Below(ctx, t.Key); err != nil {
			return "", err
		}
	}
	// What depends comes last in keys, and is cancelled first: it must not be blocked by what it depends on meanwhile.
	slices.Reverse(keys)
	for part := range slices.Chunk(keys, cancelAtOnce) {
		done, eff, err := c.store.Cancel(ctx, part, reason, c.lanes.room)
		if err != nil {
			return "", err
		}
		c.after(ctx, eff)
		if done[t.Key] {
			recorded = reason
		}
	}
	return recorded, nil
}

// cancelTree cancels the tree of a root. Who asks while another's cancellation is being carried out waits for that, and has no part in
// it, unless the root is still to be reached.
func (c *Coordinator) cancelTree(ctx context.Context, root *pg.Shown, reason string) (recorded string, err error) {
	got, err := c.store.CancelTree(ctx, root.Key.Tree(), reason)
	if err != nil || !got.Pending {
		return "", err
	}
	c.carryOut(ctx, root.Key.Tree())
	if got.Did {
		return reason, nil
	}
	now, err := c.store.Task(ctx, root.Namespace, root.ID)
	if err != nil || !now.State.Cancellable() {
		return "", err
	}
	return got.Message, nil
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
