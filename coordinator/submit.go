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
	// *[dag.LevelError] when a live process could not handle the tree.
	Submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error)
	// Generate makes a tree of a requirement in plain language, by a task of generate_executor, and waits for it. *[GenerateError].
	Generate(ctx context.Context, opts GenerateOptions) (*Generated, error)
}

// Submit asks for the webhooks of a submission, too: they are told of its results.
func (g *guarded) Submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	call := Call{Method: "Submit", UserID: opts.UserID, Details: opts.asked()}
	to, end, err := g.allow(ctx, call, part{opts.Webhook != nil || len(opts.Attach) > 0, policy.WebhooksWrite})
	if err != nil {
		return nil, err
	}
	if to.UserID != "" { // spec 2.2: whoever submits owns, also an admin
		opts.UserID, opts.IdempotencyKey = to.UserID, keyOfOwner(to.UserID, opts.IdempotencyKey)
		tasks = g.owned(ctx, call, to.UserID, tasks)
		if opts.RequireExisting { // else it would tell which ids others have
			sees, err := g.policy(ctx, g.caller, Call{Method: "Trees"})
			if err != nil {
				end(nil, err)
				return nil, err
			}
			opts.existingOf = sees.UserID
		}
	}
	out, err := g.next.Submit(ctx, opts, tasks)
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

func (c *Coordinator) submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error) {
	if err := opts.validate(); err != nil {
		return nil, err
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
	done, err := slot(ctx, c.submitting)
	if err != nil {
		return nil, err
	}
	defer done()
	begin := time.Now()
	keyed := opts.ModelKey.Given() && !opts.Demo
	stored := !opts.Demo && !opts.Hold && !c.userKeys.Empty()
	if opts.Demo || keyed || stored || len(opts.Labels) > 0 {
		owner := opts.UserID
		tasks = marked(tasks, func(t *dag.Task) {
			owner = cmp.Or(t.UserID, owner)
			t.Demo, t.Keyed, t.KeyStored = opts.Demo, keyed, stored && c.userKeys.Has(c.keeperOf(owner))
			withLabels(opts.Labels, t)
		})
	}
	tasks = c.checkPools(c.checkInputs(ctx, tasks))
	has := func(id string) bool { return c.executors.has(ctx, id) }
	warnings := &treedoc.Warnings{Inputs: c.cfg.InputKeys, Known: has}
	out, err := c.store.Submit(ctx, here, pg.Submission{
		IdempotencyKey: opts.IdempotencyKey, UserID: opts.UserID, Hold: opts.Hold, Show: pg.ShowLimits(opts.Show), Timeout: opts.Timeout, RequireExisting: opts.RequireExisting, ExistingOf: opts.existingOf,
		Limits:     c.cfg.Limits,
		Known:      has,
		Repeatable: func(id string) bool { return slices.Contains(c.cfg.Repeatable, id) },
		Levels:     c.cfg.Levels, Version: c.cfg.Version,
		Tasks: warnings.See(tasks), Room: c.lanes.room, Webhooks: hooks,
		Large: func(ctx context.Context) (func(), error) { return slot(ctx, c.copying) },
	})
	switch {
	case errors.Is(err, ErrUnavailable): // no slot
		return nil, err
	case errors.Is(err, pg.ErrDigest):
		return nil, &InvalidArgumentError{Field: "idempotency_key", Reason: "was used for a different submission"}
	case err != nil:
		return nil, c.submitError(err)
	}
	failpoint.Hit("coordinator.after-submit-commit")
	c.submitted(ctx, out, begin)
	if keyed { // before a worker can have it
		c.keepKey(ctx, out, opts.ModelKey)
	}
	c.after(ctx, out.Effects)
	answer := &Submitted{TreeID: out.RootID, Tasks: out.Tasks, Replayed: out.Replayed, IDMap: out.IDMap, Warnings: warnings.All()}
	if out.Shown != nil {
		answer.Shown = make([]*Task, 0, out.Tasks)
		for t := range out.Shown {
			answer.Shown = append(answer.Shown, c.show(t))
		}
	}
	return answer, nil
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
	case utf8.RuneCountInString(o.UserID) > 255 || !text(o.UserID):
		return &InvalidArgumentError{Field: "user_id", Reason: "must be at most 255 characters of UTF-8 without NUL"}
	case o.Timeout > 0 && o.Timeout < dag.MinLimit:
		return &InvalidArgumentError{Field: "timeout", Reason: fmt.Sprintf("must be at least %g seconds, or 0 for none", dag.MinLimit.Seconds())}
	case o.Demo && o.Hold:
		return &InvalidArgumentError{Field: "use_demo", Reason: "is for what runs, and a held tree does not: give it to the execution"}
	case o.ModelKey.Given() && o.Hold:
		return &InvalidArgumentError{Field: "llm_api_key", Reason: "is for what runs, and a held tree does not: give it to the execution"}
	case (o.Webhook != nil || len(o.Attach) > 0) && o.Hold:
		return &InvalidArgumentError{Field: "webhook", Reason: "is for what runs, and a held tree does not: give it to the execution"}
	case o.Timeout < 0:
		return &InvalidArgumentError{Field: "timeout", Reason: "must not be negative"}
	}
	return checkLabels(o.Labels)
}

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
	if limit, ok := errors.AsType[*pg.PoolLimitError](err); ok {
		return &InvalidArgumentError{Field: "pool", Reason: limit.Reason}
	}
	return c.internal("submit", err)
}
