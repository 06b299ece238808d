package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

// A pool that no worker serves and no unfinished tree needs is closed after a while, in Postgres. Every coordinator notices within
// [workersEvery] and remembers its consumers no longer, so that nobody makes them again; then one takes them away in NATS, together with the
// messages that are left of cancelled tasks. Its row goes when no stored tree names it. Whoever needs the pool opens it again.

const (
	removePoolsAfter = 5 * workersEvery // from when a pool is closed until its consumers go
	removePoolsWait  = 20 * time.Second // for one call
	poolsAtOnce      = 50               // taken away in one call
	forgetPoolsEvery = time.Hour
	forgetPoolsAfter = 24 * time.Hour // after a pool was closed
)

// runIdlePools closes pools, and takes away what closed ones leave.
func (c *Coordinator) runIdlePools(ctx context.Context) error {
	every := min(time.Minute, max(c.cfg.PoolIdle/4, 100*time.Millisecond))
	var forgotten time.Time
	for sleep(ctx, every) {
		n, err := c.store.ClosePools(ctx, c.cfg.PoolIdle)
		if n > 0 {
			failpoint.Hit("coordinator.pools-closed")
		}
		if err == nil {
			err = c.removePools(ctx)
		}
		if err == nil && time.Since(forgotten) > forgetPoolsEvery {
			forgotten = time.Now()
			err = c.store.ForgetPools(ctx, forgetPoolsAfter)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("idle pools could not be looked after", "error", err)
		}
		if n > 0 {
			c.log.Info("pools were closed: no worker serves them, and nothing waits in them", "pools", n)
		}
	}
	return nil
}

// removePools takes away the consumers of pools that are not open.
func (c *Coordinator) removePools(ctx context.Context) error {
	there, err := c.queue.Pools(ctx)
	if err != nil {
		return err
	}
	if err := c.store.RefreshPools(ctx); err != nil {
		return err
	}
	var gone []string
	for _, name := range there {
		if !c.store.HasPool(name) && len(gone) < poolsAtOnce {
			gone = append(gone, name)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removePoolsWait)
	defer cancel()
	return c.store.RemovePools(ctx, gone, min(removePoolsAfter, 5*c.cfg.PoolIdle), func(ctx context.Context, names []string) error {
		for _, name := range names {
			if err := c.queue.RemovePool(ctx, name); err != nil {
				return fmt.Errorf("take away pool %s: %w", name, err)
			}
			failpoint.Hit("coordinator.pool-removed")
		}
		return nil
	})
}

// poolsChanged forgets what is remembered of pools that were opened or closed.
func (c *Coordinator) poolsChanged(names []string) {
	for _, name := range names {
		c.ensured.Delete(name)
	}
	c.queue.ForgetPools(names...)
}

// refreshPools notes which pools live workers serve, and learns which are open. One that they serve and that is not is opened where
// its slots are counted.
func (c *Coordinator) refreshPools(ctx context.Context, workers []pg.LiveWorker) {
	var served []string
	for _, w := range workers {
		for name := range w.Pools {
			if dag.ValidPool(name) {
				served = append(served, name)
			}
		}
	}
	err := c.store.MarkServed(ctx, served)
	if err == nil {
		err = c.store.RefreshPools(ctx)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("pools could not be read", "error", err)
	}
}
