package coordinator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// RulesFresh is for how long at most a coordinator goes by rules of pools that have changed: others are told at once, and that may be lost.
const RulesFresh = 15 * time.Second

const (
	rulesTold  = "poolrules" // topic
	rulesEvery = 10 * time.Second
)

// PoolKeeper says what pools are for. It is for the cluster's admins.
type PoolKeeper interface {
	// SetPoolRule makes a rule in the place of the one that its pool has; the pool need not be there. Tasks that it forbids are refused from then on, and
	// those that wait end when a worker asks for them. *[InvalidArgumentError]; *[dag.LevelError] while a live process knows no rules; [ErrConflict]:
	// there are [dag.MaxPoolRules].
	SetPoolRule(ctx context.Context, rule dag.PoolRule) error
	// PoolRules are all rules, by the names of their pools.
	PoolRules(ctx context.Context) ([]*dag.PoolRule, error)
	// DeletePoolRule allows all on a pool again. [ErrNotFound].
	DeletePoolRule(ctx context.Context, pool string) error
}

func (g *guarded) SetPoolRule(ctx context.Context, rule dag.PoolRule) error {
	details := detail("pool", rule.Pool, "namespaces", rule.Namespaces, "executors", rule.Executors, "connections", rule.Connections, "secrets", rule.Secrets)
	_, err := ask(ctx, g, Call{Method: "SetPoolRule", Details: details}, func() (struct{}, error) {
		return struct{}{}, g.next.SetPoolRule(ctx, rule)
	})
	return err
}

func (g *guarded) PoolRules(ctx context.Context) ([]*dag.PoolRule, error) {
	return ask(ctx, g, Call{Method: "PoolRules"}, func() ([]*dag.PoolRule, error) { return g.next.PoolRules(ctx) })
}

func (g *guarded) DeletePoolRule(ctx context.Context, pool string) error {
	_, err := ask(ctx, g, Call{Method: "DeletePoolRule", Details: detail("pool", pool)}, func() (struct{}, error) {
		return struct{}{}, g.next.DeletePoolRule(ctx, pool)
	})
	return err
}

// SetPoolRule makes a rule; see [PoolKeeper].
func (c *Coordinator) SetPoolRule(ctx context.Context, rule dag.PoolRule) error {
	if err := CheckPoolRule(&rule); err != nil {
		return err
	}
	switch err := c.store.SetPoolRule(ctx, &rule); {
	case errors.Is(err, pg.ErrTooManyRules):
		return fmt.Errorf("%w: there are %d rules of pools, and no room for more", ErrConflict, dag.MaxPoolRules)
	case isLevel(err):
		return err
	case err != nil:
		return c.internal("store a rule of a pool", err)
	}
	failpoint.Hit("coordinator.after-rule-commit")
	c.rulesChanged(ctx)
	return nil
}

// CheckPoolRule says all that is wrong with a rule, by the first field that is.
func CheckPoolRule(r *dag.PoolRule) error {
	faults := r.Check()
	if len(faults) == 0 {
		return nil
	}
	e := &InvalidArgumentError{Field: faults[0].Field, Reason: faults[0].Reason}
	for i, f := range faults[1:] {
		if i == maxRuleFaults {
			e.Reason += fmt.Sprintf("; and %d more", len(faults)-1-i)
			break
		}
		e.Reason += fmt.Sprintf("; %s: %s", f.Field, f.Reason)
	}
	return e
}

// maxRuleFaults is how many faults of a rule are told beside the first.
const maxRuleFaults = 20

// PoolRules are all rules; see [PoolKeeper].
func (c *Coordinator) PoolRules(ctx context.Context) ([]*dag.PoolRule, error) {
	list, err := c.store.PoolRules(ctx)
	if err != nil {
		return nil, c.internal("list rules of pools", err)
	}
	return list, nil
}

// DeletePoolRule allows all on a pool; see [PoolKeeper].
func (c *Coordinator) DeletePoolRule(ctx context.Context, pool string) error {
	if !dag.ValidPool(pool) {
		return ErrNotFound
	}
	if err := c.store.DeletePoolRule(ctx, pool); err != nil {
		return c.internal("delete a rule of a pool", err)
	}
	c.rulesChanged(ctx)
	return nil
}

// rulesChanged has this coordinator go by the rules that there are now, and tells the others.
func (c *Coordinator) rulesChanged(ctx context.Context) {
	if err := c.queue.PublishEvent(rulesTold, nil); err != nil {
		c.log.Warn("other coordinators could not be told that a rule of a pool has changed; they know it in time", "after", RulesFresh.String(), "error", err)
	}
	if err := c.readRules(ctx); err != nil {
		c.log.Warn("rules of pools could not be read; that is tried again", "error", err)
	}
}

// readRules reads the rules that this coordinator goes by.
func (c *Coordinator) readRules(ctx context.Context) error {
	c.rulesMu.Lock() // an older answer must not take the place of a newer one
	defer c.rulesMu.Unlock()
	list, err := c.store.PoolRules(ctx)
	if err != nil {
		return err
	}
	rules := make(dag.PoolRules, len(list))
	for _, r := range list {
		rules[r.Pool] = r
	}
	c.store.SetPoolRules(rules)
	return nil
}

// runPoolRules keeps the rules known.
func (c *Coordinator) runPoolRules(ctx context.Context) error {
	told, err := c.queue.SubscribeEvents(ctx, rulesTold, 16)
	if err != nil {
		return err
	}
	for {
		if err := c.readRules(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("rules of pools could not be read", "error", err)
		}
		select {
		case _, ok := <-told:
			if !ok {
				return ctx.Err()
			}
		case <-time.After(rulesEvery - rand.N(rulesEvery/4)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poolFaults are what the rule of its pool has against a task that is to be stored in the namespace of the service. It is asked wherever one
// is: when it is submitted, added, or changed; what is stored already is looked at by the store (pg/poolrules.go), when it is copied or executed,
// and when it starts.
func (c *Coordinator) poolFaults(rules dag.PoolRules, index int, t *dag.Task) []*dag.InvalidTaskError {
	return rules[t.QueueName()].OfTask(index, c.namespace, t)
}

// checkPools adds to the tasks of a submission, on their way, what the rules of their pools have against them.
func (c *Coordinator) checkPools(tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	rules := c.store.KnownPoolRules()
	if rules == nil {
		return tasks
	}
	index := -1
	return marked(tasks, func(t *dag.Task) {
		index++
		t.Faults = append(t.Faults, c.poolFaults(rules, index, t)...)
	})
}

// poolFaultsOf finds what the rule of its pool has against a task that was changed, as texts; nil: no pool has a rule.
func (c *Coordinator) poolFaultsOf() func(*dag.Task) []string {
	rules := c.store.KnownPoolRules()
	if rules == nil {
		return nil
	}
	return func(t *dag.Task) (texts []string) {
		rule := rules[t.QueueName()]
		for _, f := range rule.Allows(c.namespace, t) {
			texts = append(texts, fmt.Sprintf("%s: pool %q %s", f.Field, rule.Pool, f.Reason))
		}
		return texts
	}
}
