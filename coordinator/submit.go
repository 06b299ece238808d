package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// Submitter stores trees.
type Submitter interface {
	// Submit validates and stores a tree and, unless it is held, starts it. tasks is consumed once; an error that it
	// yields ends the submission and is returned. Nothing is stored unless all is valid. It answers after the commit.
	// *[dag.LevelError] when a live process could not handle the tree, *[UniqueError] when another one has its key.
	Submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error)
	// Generate makes a tree of a requirement in plain language, by a task of generate_executor, and waits for it. *[GenerateError].
	Generate(ctx context.Context, opts GenerateOptions) (*Generated, error)
}

// Submit asks for the webhooks of a submission, too: they are told of its results.
func (g *guarded) Submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	call := Call{Method: "Submit", UserID: opts.UserID, Details: opts.asked()}
	to, end, err := g.allow(ctx, call, part{there: opts.Webhook != nil || len(opts.Attach) > 0, permission: policy.WebhooksWrite})
	if err != nil {
		return nil, err
	}
	if to.UserID != "" { // spec 2.2: whoever submits owns, also an admin
		opts.UserID, opts.IdempotencyKey = to.UserID, keyOfOwner(to.UserID, opts.IdempotencyKey)
		tasks = g.owned(ctx, call, to.UserID, tasks)
		more := make([]NewTree, len(opts.More))
		for i, t := range opts.More {
			more[i] = NewTree{keyOfOwner(to.UserID, t.IdempotencyKey), t.Timeout, t.Retention, t.Due, g.owned(ctx, call, to.UserID, t.Tasks)}
		}
		opts.More = more
		if opts.RequireExisting { // else it would tell which ids others have
			sees, err := g.policy(ctx, g.caller, Call{Method: "Trees"})
			if err != nil {
				end(nil, err)
				return nil, err
			}
			opts.existingOf = sees.UserID
		}
	}
	out, err := g.next.Submit(g.seesFlows(ctx), opts, tasks)
	end(madeBy(out, err), err)
	return out, err
}

// readers is how many submissions there may be at once for each that may be large: one that is being read, or waits for
// its group, holds a small tree in memory, and no connection.
const readers = 4

// Submit stores a tree and, unless it is held, starts it; see [Service].
func (c *Coordinator) Submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	out, err := c.submit(ctx, opts, tasks)
	if err != nil {
		c.notSubmitted(ctx, err)
	}
	return out, err
}

// submitNew stores a tree for whom one that is there already is no answer. *[UniqueError]: it has the key.
func (c *Coordinator) submitNew(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) error {
	out, err := c.submit(ctx, opts, tasks)
	if err == nil && out.Existing {
		return &UniqueError{TreeID: out.TreeID}
	}
	return err
}

func (c *Coordinator) submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if len(opts.More) > 0 {
		return c.submitTogether(ctx, opts, tasks)
	}
	if err := c.takesWork(); err != nil {
		return nil, err
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	hooks, err := c.webhooks.attachments(ctx, opts.Webhook, opts.Attach)
	if err != nil {
		return nil, err
	}
	if opts.waiter == nil { // else there is one at a time, and others' followups wait for it
		done, err := slot(ctx, c.submitting)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	begin := time.Now()
	intake := c.intake(ctx, opts, NewTree{opts.IdempotencyKey, opts.Timeout, opts.Retention, opts.Due, tasks})
	intake.sub.Webhooks, intake.sub.Waiter, intake.sub.Fire, intake.sub.Run = hooks, opts.waiter, opts.fire, opts.run
	out, err := c.store.Submit(ctx, here, intake.sub)
	switch {
	case errors.Is(err, ErrUnavailable), errors.Is(err, pg.ErrNoWaiter), errors.Is(err, pg.ErrFired), errors.Is(err, pg.ErrTaken), errors.Is(err, pg.ErrRunOpen): // no slot
		return nil, err
	case err != nil:
		return nil, c.submitError(err)
	}
	failpoint.Hit("coordinator.after-submit-commit")
	return c.stored(ctx, opts, intake, out, begin), nil
}

// intake is a tree on its way into the store.
type intake struct {
	sub      pg.Submission
	warnings *treedoc.Warnings
}

// keyed reports whether the tree has the key of a model in memory.
func (o *SubmitOptions) keyed() bool { return o.ModelKey.Given() && !o.Demo }

// intake says how a tree is to be stored. Its tasks are looked at as they are read.
func (c *Coordinator) intake(ctx context.Context, opts SubmitOptions, tree NewTree) *intake {
	tasks := ofSeenFlows(ctx, tree.Tasks)
	stored := !opts.Demo && !opts.Hold && !c.userKeys.Empty()
	if opts.Demo || opts.keyed() || stored || len(opts.Labels) > 0 || opts.Unique != nil || tree.Retention != 0 || tree.Due != nil || opts.NoCache {
		owner := opts.UserID
		tasks = marked(tasks, func(t *dag.Task) {
			owner = cmp.Or(t.UserID, owner)
			t.Demo, t.Keyed, t.KeyStored = opts.Demo, opts.keyed(), stored && c.userKeys.Has(c.keeperOf(owner))
			withLabels(opts.Labels, t)
			t.NoCache = opts.NoCache
			if opts.Unique != nil && t.ParentRef == "" {
				t.Unique = opts.Unique
			}
			if tree.Retention != 0 && t.ParentRef == "" {
				t.Retention = tree.Retention
			}
			if tree.Due != nil && t.ParentRef == "" {
				t.Due = tree.Due
			}
		})
	}
	has := func(id string) bool { return c.executors.has(ctx, id) }
	in := &intake{warnings: &treedoc.Warnings{Inputs: c.cfg.InputKeys, Known: has}}
	in.sub = pg.Submission{
		IdempotencyKey: tree.IdempotencyKey, UserID: opts.UserID, Hold: opts.Hold, Show: pg.ShowLimits(opts.Show), Timeout: tree.Timeout, RequireExisting: opts.RequireExisting, ExistingOf: opts.existingOf,
		Limits:     c.cfg.Limits,
		Known:      has,
		Repeatable: func(id string) bool { return slices.Contains(c.cfg.Repeatable, id) },
		Levels:     c.cfg.Levels, Version: c.cfg.Version,
		Tasks: in.warnings.See(c.checked(ctx, tasks)), Room: c.lanes.room,
		Locked: func() error {
			failpoint.Hit("coordinator.before-unique-commit")
			return nil
		},
		Large: func(ctx context.Context) (func(), error) { return slot(ctx, c.copying) },
	}
	return in
}

// stored brings about what follows from a tree that was stored, and answers.
func (c *Coordinator) stored(ctx context.Context, opts SubmitOptions, in *intake, out *pg.Submitted, begin time.Time) *Submitted {
	if out.Existing {
		return &Submitted{TreeID: out.RootID, Tasks: out.Tasks, Existing: true, Warnings: in.warnings.All()}
	}
	c.submitted(ctx, out, begin)
	if opts.keyed() { // before a worker can have it
		c.keepKey(ctx, out, opts.ModelKey)
	}
	c.after(ctx, out.Effects)
	answer := &Submitted{TreeID: out.RootID, Tasks: out.Tasks, Replayed: out.Replayed, IDMap: out.IDMap, Warnings: in.warnings.All()}
	if out.Shown != nil {
		answer.Shown = make([]*Task, 0, out.Tasks)
		for t := range out.Shown {
			answer.Shown = append(answer.Shown, c.show(t))
		}
	}
	return answer
}

// marked are tasks with what the submission says of all of them.
func marked(tasks iter.Seq2[*dag.Task, error], mark func(*dag.Task)) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		for t, err := range tasks {
			if t != nil {
				mark(t)
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// slot waits for a place of a submission, and gives what frees it.
func slot(ctx context.Context, slots chan struct{}) (free func(), err error) {
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many submissions are under way", ErrUnavailable)
	}
}

func (o SubmitOptions) validate() error {
	switch {
	case utf8.RuneCountInString(o.IdempotencyKey) > 255 || !text(o.IdempotencyKey):
		return &InvalidArgumentError{Field: "idempotency_key", Reason: "must be at most 255 characters of UTF-8 without NUL"}
	case !isUser(o.UserID):
		return &InvalidArgumentError{Field: "user_id", Reason: "must be at most 255 characters of UTF-8 without NUL"}
	case o.Timeout > 0 && o.Timeout < dag.MinLimit:
		return &InvalidArgumentError{Field: "timeout", Reason: fmt.Sprintf("must be at least %g seconds, or 0 for none", dag.MinLimit.Seconds())}
	case o.Demo && o.Hold:
		return &InvalidArgumentError{Field: "use_demo", Reason: "is for what runs, and a held tree does not: give it to the execution"}
	case o.ModelKey.Given() && o.Hold:
		return &InvalidArgumentError{Field: "llm_api_key", Reason: "is for what runs, and a held tree does not: give it to the execution"}
	case (o.Webhook != nil || len(o.Attach) > 0) && o.Hold:
		return &InvalidArgumentError{Field: "webhook", Reason: "is for what runs, and a held tree does not: give it to the execution"}
	case o.Retention != 0 && dag.RetentionFault(o.Retention, 0) != "":
		return &InvalidArgumentError{Field: "retention", Reason: dag.RetentionFault(o.Retention, 0)}
	case o.Due.Fault() != "":
		return &InvalidArgumentError{Field: "due", Reason: o.Due.Fault()}
	case o.Timeout < 0:
		return &InvalidArgumentError{Field: "timeout", Reason: "must not be negative"}
	}
	if o.Unique != nil {
		for _, f := range o.Unique.Faults() {
			return &InvalidArgumentError{Field: "unique" + f.Field, Reason: f.Reason}
		}
	}
	return checkLabels(o.Labels)
}

// isUser reports whether a tree may be of the user; empty: of nobody.
func isUser(id string) bool { return utf8.RuneCountInString(id) <= 255 && text(id) }

// text reports whether Postgres can keep the string.
func text(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return utf8.ValidString(s)
}

// submitError passes on what the client did wrong, and hides the rest.
func (c *Coordinator) submitError(err error) error {
	if _, ok := errors.AsType[*pg.QuotaError](err); ok {
		return quotaError(err)
	}
	if errors.Is(err, pg.ErrDigest) {
		return &InvalidArgumentError{Field: "idempotency_key", Reason: "was used for a different submission"}
	}
	if unseen, ok := errors.AsType[*unseenError](err); ok {
		return unseen.error
	}
	err = c.gone(err)
	if _, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*dag.InvalidTaskError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*InvalidArgumentError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*dag.LevelError](err); ok {
		return err
	}
	if taken, ok := errors.AsType[*pg.KeyTakenError](err); ok {
		return (*UniqueError)(taken)
	}
	if limit, ok := errors.AsType[*pg.PoolLimitError](err); ok {
		return &InvalidArgumentError{Field: "pool", Reason: limit.Reason}
	}
	return c.internal("submit", err)
}
