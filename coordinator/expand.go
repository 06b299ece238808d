package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
	conditions "github.com/taskgrove/taskgrove/internal/condition/tasks"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/pg"
)

// Expansion is what a task found, while it waits for that.
type Expansion struct {
	Tasks      int // in all
	Made       int // that exist
	Unfinished int // that have not ended, those counted that are not made yet
	Window     int // items in progress at most; 0: all
}

// largeExpansions is how many results with large expansions may be in hand: the others come again.
const largeExpansions = 4

// expanding takes the results that found tasks out of a batch, as each is settled in a transaction of its own. Small ones are settled at once; large ones by
// the expander, and their messages come again until it is done. What remains of them are failures: rest is what is to be recorded of the batch.
func (c *Coordinator) expanding(ctx context.Context, batch []delivery) (rest []dag.Result, err error) {
	for i := range batch {
		d := &batch[i]
		if !slices.ContainsFunc(d.results, isExpansion) {
			rest = append(rest, d.results...)
			continue
		}
		kept := make([]dag.Result, 0, len(d.results))
		for _, r := range d.results {
			if !isExpansion(r) {
				rest, kept = append(rest, r), append(kept, r)
				continue
			}
			if r.Chunked {
				done, err := c.expandLater(ctx, r)
				if err != nil {
					return nil, err
				}
				if !done {
					d.again = true
					continue
				}
				kept = append(kept, r)
				continue
			}
			failed, err := c.expand(ctx, r)
			if err != nil {
				return nil, err
			}
			if failed != nil {
				rest = append(rest, *failed)
			}
			kept = append(kept, r)
		}
		d.results = kept
	}
	return rest, nil
}

func isExpansion(r dag.Result) bool { return r.Outcome == dag.OutcomeExpanded }

// expandLater gives a large expansion to the expander, unless it has it. done: it counts no more, or is settled.
func (c *Coordinator) expandLater(ctx context.Context, r dag.Result) (done bool, err error) {
	k := attemptKey{r.Task, r.Attempt}
	c.expandingMu.Lock()
	has := c.expandingNow[k]
	c.expandingMu.Unlock()
	if has {
		return false, nil
	}
	of, err := c.toExpand(ctx, r)
	if err != nil || of == nil {
		return err == nil, err
	}
	select {
	case c.expansions <- r:
		c.expandingMu.Lock()
		c.expandingNow[k] = true
		c.expandingMu.Unlock()
	default:
	}
	return false, nil
}

// runExpander settles large expansions, one after the other.
func (c *Coordinator) runExpander(ctx context.Context) error {
	for {
		select {
		case r := <-c.expansions:
			failed, err := c.expand(ctx, r)
			if err == nil && failed != nil {
				err = c.settle(ctx, []dag.Result{*failed}, &settling{handed: map[attemptKey]pg.Handover{}})
			}
			if err != nil && ctx.Err() == nil {
				c.log.Warn("an expansion could not be settled and comes again", "task_key", int64(r.Task), "attempt", r.Attempt, "error", err)
			}
			c.expandingMu.Lock()
			delete(c.expandingNow, attemptKey{r.Task, r.Attempt})
			c.expandingMu.Unlock()
		case <-ctx.Done():
			return nil
		}
	}
}

// toExpand reads of the task of a result what tasks are made with. nil: the result counts no more.
func (c *Coordinator) toExpand(ctx context.Context, r dag.Result) (of *pg.Expanding, err error) {
	err = c.persist(ctx, "read a task that found others", func(ctx context.Context) error {
		of, err = c.store.Expanding(ctx, r.Task)
		if errors.Is(err, pg.ErrNotFound) {
			of, err = nil, nil
		}
		return err
	})
	if of == nil || of.Attempt != r.Attempt || of.State.Settled() || of.State == dag.Expanded {
		if of != nil && of.State == dag.Cancelled && of.Attempt == r.Attempt {
			return of, err // its worker has to be told that it may forget it
		}
		return nil, err
	}
	return of, err
}

// expand settles one result that found tasks. failed: it is to be settled as this failure instead, as the tasks are invalid, or there is no room for them.
func (c *Coordinator) expand(ctx context.Context, r dag.Result) (failed *dag.Result, err error) {
	of, err := c.toExpand(ctx, r)
	if err != nil || of == nil {
		return nil, err
	}
	fail := func(kind dag.Kind, err error) (*dag.Result, error) {
		return &dag.Result{Task: r.Task, Attempt: r.Attempt, Worker: r.Worker, Before: r.Before, Early: r.Early, Ran: r.Ran, Waited: r.Waited, Used: r.Used, Offer: r.Offer, Facts: r.Facts,
			Outcome: dag.OutcomeFailed, Permanent: true, Kind: kind, Error: clean(err.Error())}, nil
	}
	if of.Above >= dag.MaxNestedExpansions && !of.State.Settled() {
		return fail(dag.KindTreeFull, fmt.Errorf("%s: it is below %d tasks that found one another: does it find itself?", dag.KindTreeFull, dag.MaxNestedExpansions))
	}
	text := r.Value
	if r.Chunked {
		err = c.persist(ctx, "read the parts of an expansion", func(ctx context.Context) (err error) {
			text, err = c.store.ResultParts(ctx, r.Task, r.Attempt)
			return err
		})
		if err == nil {
			text, err = rawjson.LastNames(text)
		}
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			return fail(dag.KindOutput, errors.New("the tasks that it found are not there whole, or are no JSON"))
		}
	}
	plan, err := expansion.Read(text, expansion.Options{Name: of.Name, UserID: of.UserID, Limits: c.cfg.Limits, Executors: c.cfg.Known, Known: func(id string) bool { return c.executors.has(ctx, id) },
		Check: c.checkFound(ctx)})
	if err != nil {
		return fail(dag.KindOutput, err)
	}
	if faults, err := c.boundlessLimits(ctx, of.Namespace, plan); err != nil {
		return nil, err
	} else if len(faults) > 0 {
		return fail(dag.KindOutput, &expansion.InvalidError{Problems: faults})
	}
	var refusal error
	var eff *pg.Effects
	failpoint.Hit("coordinator.before-expand-commit")
	err = c.persist(ctx, "settle an expansion", func(ctx context.Context) error {
		_, eff, err = c.store.Expand(ctx, of, r, plan, c.lanes.room)
		if refusal = refusalOf(err); refusal != nil {
			return nil
		}
		return err
	})
	switch {
	case refusal != nil:
		return fail(dag.KindTreeFull, refusal)
	case err != nil && pg.Lasting(err):
		return fail(dag.KindOutput, errors.New("the tasks that it found can't be stored"))
	case err != nil:
		return nil, err
	}
	failpoint.Hit("coordinator.after-expand-commit")
	c.after(ctx, eff)
	return nil, nil
}

// boundlessLimits are the faults of limits of found tasks that have no max anywhere, or cost more than that.
func (c *Coordinator) boundlessLimits(ctx context.Context, namespace dag.NamespaceKey, plan *expansion.Plan) (faults []string, err error) {
	if len(plan.Unbounded) == 0 {
		return nil, nil
	}
	limits := make([]pg.UnboundedLimit, len(plan.Unbounded))
	for i, l := range plan.Unbounded {
		limits[i] = pg.UnboundedLimit{At: l.At, Limit: l.Limit}
	}
	err = c.persist(ctx, "read limits of keys", func(ctx context.Context) (err error) {
		faults, err = c.store.LimitFaults(ctx, namespace, limits)
		return err
	})
	return faults, err
}

// refusalOf is why a store has no room for tasks; nil: it is something else.
func refusalOf(err error) error {
	if limit, ok := errors.AsType[*pg.PoolLimitError](err); ok {
		return limit
	}
	if quota, ok := errors.AsType[*pg.QuotaError](err); ok {
		return quotaError(quota)
	}
	if level, ok := errors.AsType[*dag.LevelError](err); ok {
		return level
	}
	return nil
}

// checkFound looks at tasks that were found as at those of a submission.
func (c *Coordinator) checkFound(ctx context.Context) func(int, *dag.Task) {
	rules := c.store.KnownPoolRules()
	var check *inputCheck
	if c.cfg.InputFaults != nil {
		check = &inputCheck{c: c, faults: c.cfg.InputFaults(), others: map[string]bool{}}
	}
	return func(index int, t *dag.Task) {
		conditions.Check(index, t)
		if check != nil && t.Executor != "" {
			check.look(ctx, index, t)
		}
		if rules != nil {
			t.Faults = append(t.Faults, c.poolFaults(rules, index, t)...)
		}
	}
}

// expansionStep does one batch of each kind of work that expansions leave, and trees that tasks submit.
func (c *Coordinator) expansionStep(ctx context.Context) (more bool, err error) {
	kinds, err := c.store.ExpansionWork(ctx)
	if err != nil {
		return false, err
	}
	var failed error
	for _, kind := range kinds {
		var eff *pg.Effects
		var rest bool
		switch kind {
		case pg.FollowupGrow:
			eff, rest, err = c.store.Grow(ctx, pg.GrowOptions{
				Known:      func(id string) bool { return c.executors.has(ctx, id) },
				Repeatable: func(id string) bool { return slices.Contains(c.cfg.Repeatable, id) },
				Executors:  c.cfg.Known,
				Room:       c.lanes.room,
			})
			if eff != nil {
				failpoint.Hit("coordinator.after-grow-commit")
			}
		case pg.FollowupCollect:
			eff, rest, err = c.store.Collect(ctx, c.lanes.room)
			if eff != nil {
				failpoint.Hit("coordinator.after-collect-commit")
			}
		case pg.FollowupCancelBelow:
			eff, rest, err = c.store.CancelBelow(ctx, c.lanes.room)
			if eff != nil {
				failpoint.Hit("coordinator.after-cancel-below-commit")
			}
		case pg.FollowupTree:
			failpoint.Hit("coordinator.before-subtree-tell")
			eff, rest, err = c.store.TellSubtreeEnds(ctx, c.lanes.room, c.runOfStep)
			if eff != nil {
				failpoint.Hit("coordinator.after-subtree-tell")
			}
		case pg.FollowupSubtree:
			rest, err = c.submitSubtrees(ctx)
		}
		if err != nil { // the other kinds don't wait for it
			failed = errors.Join(failed, err)
			continue
		}
		more = more || rest
		c.after(ctx, eff)
	}
	if failed != nil {
		return false, failed
	}
	return more, nil
}
