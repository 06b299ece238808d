package coordinator

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	gatesTold  = "gates"         // topic
	gatesEvery = 2 * time.Second // how often each coordinator reads what is held back; statements ask anew
)

// gatesChanged has this coordinator go by what is held back now, and tells the others.
func (c *Coordinator) gatesChanged(ctx context.Context) {
	if err := c.queue.PublishEvent(gatesTold, nil); err != nil {
		c.log.Warn("other coordinators could not be told what is held back; they know it in time", "after", gatesEvery.String(), "error", err)
	}
	c.readGates(ctx)
}

// readGates learns what is held back, and looks again where tasks wait: something may not be any more.
func (c *Coordinator) readGates(ctx context.Context) {
	if err := c.store.RefreshGates(ctx); err != nil {
		if ctx.Err() == nil {
			c.log.Warn("what is held back could not be read; that is tried again", "error", err)
		}
		return
	}
	if backlog, err := c.store.Backlog(ctx); err == nil {
		c.lanes.found(backlog)
	}
	c.grants.changed()
}

// freed has the lanes looked at in which tasks may wait for what was given back: a place in a pool, or of a user.
func (l *lanes) freed(keys []dag.LimitKey) {
	if !slices.ContainsFunc(keys, func(k dag.LimitKey) bool { return k.Kind == dag.KindPool || k.Kind == dag.KindUser }) {
		return
	}
	l.mu.Lock()
	for _, k := range keys {
		switch k.Kind {
		case dag.KindPool:
			pool, _ := strconv.ParseInt(k.Key, 10, 32) // of ours
			for p := dag.Urgent; p < dag.Priorities; p++ {
				l.of(dag.Lane{Pool: int32(pool), Priority: p}).backlog = true
			}
		case dag.KindUser: // its tasks may wait in any
			l.unsure = true
		}
	}
	l.mu.Unlock()
	wake(l.wake)
}

// askBacklog reports, once, whether tasks may wait in lanes of which this is not known: Postgres is to be asked.
func (l *lanes) askBacklog() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	unsure := l.unsure
	l.unsure = false
	return unsure
}

// runGates keeps known what is held back, and finishes what coordinators have begun that are gone.
func (c *Coordinator) runGates(ctx context.Context) error {
	told, err := c.queue.SubscribeEvents(ctx, gatesTold, 16)
	if err != nil {
		return err
	}
	c.readGates(ctx)
	for {
		select {
		case _, ok := <-told:
			if !ok {
				return ctx.Err()
			}
			c.readGates(ctx)
		case <-time.After(gatesEvery - rand.N(gatesEvery/4)):
			if err := c.store.RefreshGates(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("what is held back could not be read", "error", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if c.store.AnyGates() {
			if err := c.finishGates(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("what was begun to hold tasks back could not be finished; that is tried again", "error", err)
			}
		}
	}
}

// finishGates calls back what pauses hold back, and counts what runs for limits, where that is not done.
func (c *Coordinator) finishGates(ctx context.Context) error {
	if err := c.settlePauses(ctx, 0); err != nil {
		return err
	}
	return c.countLimits(ctx)
}

// settlePauses settles those pauses that are not, or this one.
func (c *Coordinator) settlePauses(ctx context.Context, id int64) error {
	list, err := c.store.UnsettledPauses(ctx, id)
	if err != nil {
		return err
	}
	for i := range list {
		if err := c.settlePause(ctx, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

// settlePause calls back what was published before the pause: its messages start nothing any more.
func (c *Coordinator) settlePause(ctx context.Context, p *pg.UnsettledPause) error {
	err := c.store.RecallAll(ctx, p.Of(), func(eff *pg.Effects) {
		failpoint.Hit("coordinator.after-recall-commit")
		c.after(ctx, eff)
	})
	if err != nil {
		return err
	}
	if p.Scope != dag.PauseTree {
		c.purge(ctx, p.Pool)
	}
	return c.store.SettlePause(ctx, p.ID)
}

// countLimits counts what runs for limits that are new, or lower.
func (c *Coordinator) countLimits(ctx context.Context) error {
	counted, err := c.store.CountLimits(ctx, func(eff *pg.Effects) {
		failpoint.Hit("coordinator.after-recall-commit")
		c.after(ctx, eff)
	})
	if counted && err == nil {
		failpoint.Hit("coordinator.after-limits-counted")
		c.gatesChanged(ctx)
	}
	return err
}

// purge takes the messages of a pool out of NATS, or of all if it is 0: they are of attempts that were called back. One that is not is sent again in time.
func (c *Coordinator) purge(ctx context.Context, pool int32) {
	names, err := c.store.Pools(ctx)
	if err != nil {
		return
	}
	for id, name := range names {
		if pool != 0 && pool != id {
			continue
		}
		for p := dag.Urgent; p < dag.Priorities; p++ {
			if err := c.queue.PurgeWork(ctx, name, int(p)); err != nil {
				c.log.Debug("messages of tasks that were called back could not be taken out of NATS; they start nothing", "pool", name, "error", err)
				return
			}
		}
	}
}
