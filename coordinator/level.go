package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	ownLease      = 30 * time.Second // of this coordinator's row: how long it counts as live after it died
	announceEvery = 5 * time.Second
	// announceWithin is how long one announcement may take: the lease has time for another one.
	announceWithin = 10 * time.Second
)

// announceSelf says that this coordinator lives, and its feature level. The error is a *[dag.OutdatedError] when the store has
// used a level that the coordinator does not have: it must not work, as it would mishandle what is stored.
func (c *Coordinator) announceSelf(ctx context.Context) error {
	err := c.store.AnnounceCoordinator(ctx, pg.Announcement{
		Instance: c.instance, Name: clean(c.cfg.Name), Version: c.cfg.Version, Level: c.cfg.Levels.Highest(), Adopts: c.cfg.Levels.Adopted(),
	}, ownLease)
	if err != nil {
		return err
	}
	live, err := c.store.LiveCoordinators(ctx)
	if err != nil {
		return err
	}
	lowest := c.cfg.Levels.Highest()
	for _, l := range live {
		lowest = min(lowest, l.Level)
	}
	c.level.Store(int32(lowest))
	return nil
}

// haveAll reports whether every live coordinator has the feature level.
func (c *Coordinator) haveAll(l dag.Level) bool { return c.level.Load() >= int32(l) }

// Announce says that this coordinator lives, and waits for a Postgres that is away. Nothing may be asked of the coordinator
// before. The error is ctx's, or a *[dag.OutdatedError]: the coordinator must not work.
func (c *Coordinator) Announce(ctx context.Context) error { return c.insist(ctx, c.announceSelf) }

// runAnnounce extends the lease. It is a loop of its own, so that nothing that others wait for lets the lease of a
// coordinator that lives run out: a submission would overlook it. It returns an error only when this coordinator has to end:
// one that was frozen for longer than its lease may find itself outdated.
func (c *Coordinator) runAnnounce(ctx context.Context) error {
	for sleep(ctx, announceEvery) {
		err := c.announceAgain(ctx)
		if isOutdated(err) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("coordinator could not extend its lease", "error", err)
		}
	}
	return nil
}

func (c *Coordinator) announceAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, announceWithin)
	defer cancel()
	return c.announceSelf(ctx)
}

// leave says that this coordinator has ended. When that fails, its lease ends by itself.
func (c *Coordinator) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := c.store.LeaveCoordinator(ctx, c.instance); err != nil {
		c.log.Warn("coordinator could not take its row away", "error", err)
	}
}

func isOutdated(err error) bool {
	_, ok := errors.AsType[*dag.OutdatedError](err)
	return ok
}

// outdated puts into the answers to beats that were not taken why: the worker is below a level that the store has used.
// That can't be so for a worker that has all levels of this coordinator.
func (c *Coordinator) outdated(ctx context.Context, b *beating) {
	if b.level() >= c.cfg.Levels.Highest() {
		return
	}
	if old, ok := errors.AsType[*dag.OutdatedError](c.store.OutdatedWorker(ctx, b.level())); ok {
		b.reply.Error, b.reply.LevelUsed = old.Error(), uint32(old.Used)
	}
}

// level is the worker's feature level. Workers of version 0.1.0 don't say it.
func (b *beating) level() dag.Level {
	const most = 1 << 20 // far above any level, and fits its column
	return dag.Level(min(max(b.m.Level, uint32(dag.BaseLevel)), most))
}
