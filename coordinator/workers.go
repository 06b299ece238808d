package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	workersEvery   = 2 * time.Second // how often leases and capacity are looked at
	attemptsAtOnce = 5000            // open attempts read in one step
	takeBackAtOnce = 1000            // attempts taken back in one transaction
)

// runWorkers ends leases of workers that have run out, and takes back the attempts of
// workers that are lost, gone, or do not know them (any more). Open attempts of live workers are held against their beats once in a lease's time.
func (c *Coordinator) runWorkers(ctx context.Context) error {
	w := &workerWatch{Coordinator: c}
	for {
		c.refreshCapacity(ctx)
		if err := w.departures(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("attempts of departed workers are not taken back yet", "error", err)
		}
		if w.rule.Due(time.Now(), c.cfg.Lease) {
			if err := w.strays(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("open attempts are not held against beats", "error", err)
			}
		}
		if !wait(ctx, c.wakeWorkers, workersEvery) {
			return nil
		}
	}
}

// workerWatch is what the loop keeps between rounds.
type workerWatch struct {
	*Coordinator
	rule workers.Watch
}

// results tells how far RESULTS has come.
func (w *workerWatch) results(ctx context.Context) (workers.Results, error) {
	last, settled, created, err := w.queue.ResultsEnd(ctx)
	return workers.Results{Created: created, Last: last, Settled: settled}, err
}

func (w *workerWatch) departures(ctx context.Context) error {
	ended, err := w.store.EndWorkers(ctx)
	if err != nil {
		return err
	}
	for _, e := range ended {
		w.workerLost(&e)
	}
	list, err := w.store.DepartedWorkers(ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	results, err := w.results(ctx)
	if err != nil {
		return err
	}
	keys := make([]dag.WorkerKey, len(list))
	losses := map[dag.WorkerKey]loss{}
	for i, d := range list {
		keys[i] = d.Key
		if d.State == pg.WorkerLost {
			losses[d.Key] = lostWorker
		}
	}
	ripe := w.rule.Departed(keys, results)
	if len(ripe) == 0 {
		return nil
	}
	if err := w.takeBack(ctx, ripe, losses); err != nil {
		return err
	}
	w.rule.Done(ripe)
	return w.store.WorkersDone(ctx, ripe)
}

// loss says why an attempt is taken back.
type loss int

const (
	departedWorker loss = iota // it ended as it should
	lostWorker                 // its lease has ended: the attempt counts as crashed
	strayAttempt               // the worker lives and does not know it
)

// takeBack takes all attempts of departed workers back.
func (w *workerWatch) takeBack(ctx context.Context, departed []dag.WorkerKey, losses map[dag.WorkerKey]loss) error {
	return w.open(ctx, func(open []pg.OpenAttempt) error {
		byWorker := map[dag.WorkerKey][]pg.OpenAttempt{}
		for _, h := range open {
			if slices.Contains(departed, h.Worker) {
				byWorker[h.Worker] = append(byWorker[h.Worker], h)
			}
		}
		for worker, attempts := range byWorker {
			if err := w.takeBackFrom(ctx, worker, attempts, losses[worker]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *workerWatch) takeBackFrom(ctx context.Context, worker dag.WorkerKey, attempts []pg.OpenAttempt, why loss) error {
	for part := range slices.Chunk(attempts, takeBackAtOnce) {
		keys := make([]dag.Key, len(part))
		for i, a := range part {
			keys[i] = a.Key
		}
		eff, err := w.store.TakeBack(ctx, worker, keys, why == lostWorker, w.lanes.room)
		if err != nil {
			return err
		}
		failpoint.Hit("coordinator.after-takeback-commit")
		w.after(ctx, eff)
		w.tookBack(part, why)
	}
	return nil
}

// open walks over all open attempts.
func (w *workerWatch) open(ctx context.Context, each func([]pg.OpenAttempt) error) error {
	for at := dag.Key(0); ; {
		open, next, err := w.store.OpenAttempts(ctx, at, attemptsAtOnce)
		if err != nil {
			return err
		}
		if err := each(open); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		at = next
	}
}

// strays takes back open attempts that their worker, alive, did not list in two looks: it does not know them.
func (w *workerWatch) strays(ctx context.Context) error {
	live, err := w.store.LiveWorkers(ctx)
	if err != nil {
		return err
	}
	listed := map[dag.WorkerKey]map[dag.Key]bool{}
	for _, l := range live {
		keys := make(map[dag.Key]bool, len(l.Attempts))
		for _, k := range l.Attempts {
			keys[k] = true
		}
		listed[l.Key] = keys
	}
	results, err := w.results(ctx)
	if err != nil {
		return err
	}
	look := w.rule.Look(results)
	return w.open(ctx, func(open []pg.OpenAttempt) error {
		for _, h := range open {
			keys, alive := listed[h.Worker]
			if !look.Stray(workers.Held(h), alive, keys[h.Key]) {
				continue
			}
			if err := w.takeBackFrom(ctx, h.Worker, []pg.OpenAttempt{h}, strayAttempt); err != nil {
				return err
			}
		}
		return nil
	})
}

// refreshCapacity counts the slots of live workers for each pool.
func (c *Coordinator) refreshCapacity(ctx context.Context) {
	workers, err := c.store.LiveWorkers(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.log.Warn("the capacity of pools could not be read", "error", err)
		}
		return
	}
	c.refreshPools(ctx, workers)
	c.demands.noteSlots(workers)
	pools := map[int32]capacity{}
	for _, w := range workers {
		for name, n := range w.Pools {
			if w.State != pg.WorkerAlive || !dag.ValidPool(name) {
				continue
			}
			if id, err := c.store.PoolID(ctx, name); err == nil {
				p, known := pools[id]
				p.slots, p.workers, p.held = p.slots+n, p.workers+1, p.held+len(w.Attempts)
				p.bundles = w.Level >= dag.AheadLevel && (p.bundles || !known)
				pools[id] = p
			}
		}
	}
	c.lanes.setCapacity(pools)
	c.grants.served(pools)
}
