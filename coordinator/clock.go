package coordinator

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	timersFallback    = 2 * time.Second // how late a timer may be that another, dead coordinator set
	followupsFallback = 2 * time.Second // the same for followups
	timersAtOnce      = 1000
	reconcileEvery    = 5 * time.Second
	runsAtOnce        = 1000        // published runs looked after in one transaction
	retentionEvery    = time.Minute // and more often where trees are kept for less than an hour
	treesAtOnce       = 200
)

// runTimers lets delayed tasks go, and ends what took too long.
func (c *Coordinator) runTimers(ctx context.Context) error {
	for {
		eff, n, err := c.store.DueTimers(ctx, timersAtOnce, c.lanes.room)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("timers that are due could not be handled", "error", err)
		}
		if n > 0 {
			failpoint.Hit("coordinator.after-timer-commit")
		}
		if eff != nil && eff.Late > 0 {
			failpoint.Hit("coordinator.after-late-trees")
		}
		c.after(ctx, eff)
		pause := timersFallback
		if err == nil && n == timersAtOnce {
			continue
		}
		if next, ok, err := c.store.NextTimer(ctx); err == nil && ok {
			pause = min(pause, max(next, time.Millisecond))
		}
		if !wait(ctx, c.wakeTimers, pause) {
			return nil
		}
	}
}

// runFollowups does follow-up work in bounded batches: telling many dependents, cancelling whole trees. It has tasks take signals that were kept:
// those that it hears of, and now and then those that another, dead coordinator knew of.
func (c *Coordinator) runFollowups(ctx context.Context) error {
	var conditions conditionWalk
	var looked, lookedKept time.Time
	for {
		more, err := c.followup(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("followups could not be done", "error", err)
			more = false
		}
		if c.conditionsDue.Swap(false) || time.Since(looked) >= followupsFallback { // no look is spent where no tree has a condition
			others, err := conditions.step(ctx, c)
			if err != nil && ctx.Err() == nil {
				c.log.Warn("conditions could not be evaluated", "error", err)
			}
			if looked = time.Now(); others {
				c.conditionsDue.Store(true)
				more = true
			}
		}
		if c.keptSignals.Swap(false) || time.Since(lookedKept) >= followupsFallback {
			others, err := c.takeKept(ctx)
			if err != nil && ctx.Err() == nil {
				c.log.Warn("kept signals could not be taken", "error", err)
			}
			if lookedKept = time.Now(); others || err != nil {
				c.keptSignals.Store(true)
				more = more || others
			}
		}
		if more && ctx.Err() == nil {
			continue
		}
		if !wait(ctx, c.wakeFollowups, followupsFallback) {
			return nil
		}
	}
}

func (c *Coordinator) followup(ctx context.Context) (more bool, err error) {
	eff, more, err := c.store.Followups(ctx, c.lanes.room)
	if eff != nil {
		failpoint.Hit("coordinator.after-followup-commit")
		eff.Followups = 0 // more says it
		c.after(ctx, eff)
	}
	if err != nil {
		return more, err
	}
	expands, err := c.expansionStep(ctx)
	return more || expands, err
}

// runReconcile looks after what was published and never claimed: a message may have been lost between the commit and
// NATS, or with its stream.
func (c *Coordinator) runReconcile(ctx context.Context) error {
	for sleep(ctx, min(reconcileEvery, c.cfg.Republish)) {
		// Streams that vanished while nobody listened come back here.
		if err := c.queue.EnsureStreams(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("streams could not be looked after", "error", err)
			continue
		}
		for {
			again, looked, err := c.store.ReconcilePublished(ctx, c.cfg.Republish, runsAtOnce, func(l dag.Lane) (time.Time, bool) {
				return c.oldest(ctx, l)
			})
			if err != nil {
				if ctx.Err() == nil {
					c.log.Warn("published tasks could not be reconciled", "error", err)
				}
				break
			}
			if len(again) > 0 {
				failpoint.Hit("coordinator.after-reconcile-commit")
				for _, w := range again {
					w.Flags &^= dag.FlagRepeatable // a copy may be the second one: it must not start before its claim
				}
				c.publish(ctx, again)
				c.republished(len(again))
			}
			if looked < runsAtOnce || ctx.Err() != nil {
				break
			}
		}
	}
	return nil
}

// oldest is when the oldest message that a lane holds in NATS was published, zero for none. False: NATS is away.
func (c *Coordinator) oldest(ctx context.Context, l dag.Lane) (time.Time, bool) {
	name, err := c.store.PoolName(ctx, l.Pool)
	if err != nil {
		return time.Time{}, false
	}
	_, oldest, err := c.queue.Depth(ctx, name, int(l.Priority))
	return oldest, err == nil
}

// expireKept removes trees whose own retention is over, and goes on with deletions that somebody began.
func (c *Coordinator) expireKept(ctx context.Context, remove pg.RemoveTree) {
	for ctx.Err() == nil {
		n, err := c.store.ExpireKeptBy(ctx, c.cfg.Retention, treesAtOnce, remove)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("trees whose retention is over could not be deleted", "error", err)
		}
		if n < treesAtOnce || err != nil {
			return
		}
	}
}

// runRetention deletes trees that ended long enough ago, once they are archived where that is wanted, and small leftovers.
func (c *Coordinator) runRetention(ctx context.Context) error {
	pause := retentionEvery
	if c.cfg.Retention > 0 {
		pause = min(pause, max(c.cfg.Retention/60, time.Second))
	}
	for sleep(ctx, pause) {
		if err := c.store.Tidy(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("departed workers and parts of results could not be deleted", "error", err)
		}
		c.forgetFires(ctx)
		c.forgetFlowTexts(ctx)
		c.forgetBundles(ctx)
		remove := c.expiry()
		c.expireKept(ctx, remove)
		for c.cfg.Retention > 0 {
			n, err := c.store.ExpireBy(ctx, c.cfg.Retention, treesAtOnce, remove)
			if err != nil && ctx.Err() == nil {
				c.log.Warn("old trees could not be deleted", "error", err)
			}
			if n < treesAtOnce || err != nil || ctx.Err() != nil {
				break
			}
		}
	}
	return nil
}
