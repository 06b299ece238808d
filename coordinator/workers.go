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

// runWorkers extends this coordinator's own lease, ends leases of workers that have run out, and takes back the attempts of
// workers that are lost, gone, or do not know them (any more). Open attempts of live workers are held against their beats once in a lease's time.
func (c *Coordinator) runWorkers(ctx context.Context) error {
	w := &workerWatch{Coordinator: c}
	for {
		if err := w.announceAgain(ctx); err != nil {
			return err
		}
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
	announced time.Time // when this coordinator last said that it lives
	rule      workers.Watch
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
		w.log.Warn("a worker is lost: its lease has ended", "worker_id", e.ID, "instance", e.Instance)
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
	crashed := map[dag.WorkerKey]bool{}
	for i, d := range list {
		keys[i], crashed[d.Key] = d.Key, d.State == pg.WorkerLost
	}
	ripe := w.rule.Departed(keys, results)
	if len(ripe) == 0 {
		return nil
	}
	if err := w.takeBack(ctx, ripe, crashed); err != nil {
		return err
	}
	w.rule.Done(ripe)
	return w.store.WorkersDone(ctx, ripe)
}

// takeBack takes all attempts of departed workers back. crashed: those that were lost.
func (w *workerWatch) takeBack(ctx context.Context, departed []dag.WorkerKey, crashed map[dag.WorkerKey]bool) error {
	return w.open(ctx, func(open []pg.OpenAttempt) error {
		byWorker := map[dag.WorkerKey][]dag.Key{}
		for _, h := range open {
			if slices.Contains(departed, h.Worker) {
				byWorker[h.Worker] = append(byWorker[h.Worker], h.Key)
			}
		}
		for worker, keys := range byWorker {
			if err := w.takeBackFrom(ctx, worker, keys, crashed[worker]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *workerWatch) takeBackFrom(ctx context.Context, worker dag.WorkerKey, keys []dag.Key, crash bool) error {
	for part := range slices.Chunk(keys, takeBackAtOnce) {
		eff, err := w.store.TakeBack(ctx, worker, part, crash, w.lanes.room)
		if err != nil {
			return err
		}
		failpoint.Hit("coordinator.after-takeback-commit")
		w.after(ctx, eff)
		w.meter.tookBack(len(part), crash)
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
			w.log.Warn("attempt is not known to its worker", "task_key", int64(h.Key), "attempt", h.Attempt)
			if err := w.takeBackFrom(ctx, h.Worker, []dag.Key{h.Key}, false); err != nil {
				return err
			}
		}
		return nil
	})
}
