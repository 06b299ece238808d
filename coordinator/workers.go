package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	workersEvery   = 2 * time.Second // how often leases and capacity are looked at
	attemptsAtOnce = 5000            // open attempts read in one step
	takeBackAtOnce = 1000            // attempts taken back in one transaction
)

// runWorkers ends leases that have run out, and takes back the attempts of workers that are lost, gone, or do not know
// them (any more). Open attempts of live workers are held against their beats once in a lease's time.
func (c *Coordinator) runWorkers(ctx context.Context) error {
	w := &workerWatch{Coordinator: c, departed: map[dag.WorkerKey]*departure{}}
	var looked time.Time
	for {
		c.refreshCapacity(ctx)
		if err := w.departures(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("departed workers", "error", err)
		}
		if time.Since(looked) >= c.cfg.Lease {
			looked = time.Now()
			if err := w.strays(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("open attempts", "error", err)
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
	departed map[dag.WorkerKey]*departure
	suspects map[pg.Held]resultsMark // attempts that their live worker did not list, and since when
}

// departure is a worker that is lost or gone.
type departure struct {
	mark  resultsMark
	crash bool
}

// resultsMark is a place in RESULTS: what was there before is to be settled before an attempt is taken back, since its
// result may be among it (design §4).
type resultsMark struct {
	created time.Time
	last    uint64
}

func (w *workerWatch) mark(ctx context.Context) (resultsMark, error) {
	last, _, created, err := w.queue.ResultsEnd(ctx)
	return resultsMark{created: created, last: last}, err
}

// passed reports whether all that lay in RESULTS at the mark is settled, or lost with its stream.
func (w *workerWatch) passed(ctx context.Context, m resultsMark) bool {
	_, settled, created, err := w.queue.ResultsEnd(ctx)
	return err == nil && (settled >= m.last || !created.Equal(m.created))
}

func (w *workerWatch) departures(ctx context.Context) error {
	ended, err := w.store.EndWorkers(ctx)
	if err != nil {
		return err
	}
	for _, e := range ended {
		w.log.Warn("worker lost: its lease has ended", "worker", e.ID, "instance", e.Instance)
	}
	list, err := w.store.DepartedWorkers(ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	var ripe []dag.WorkerKey
	for _, d := range list {
		dep := w.departed[d.Key]
		if dep == nil {
			mark, err := w.mark(ctx)
			if err != nil {
				return err
			}
			dep = &departure{mark: mark, crash: d.State == pg.WorkerLost}
			w.departed[d.Key] = dep
		}
		if w.passed(ctx, dep.mark) {
			ripe = append(ripe, d.Key)
		}
	}
	if len(ripe) == 0 {
		return nil
	}
	if err := w.takeBack(ctx, ripe); err != nil {
		return err
	}
	for _, k := range ripe {
		delete(w.departed, k)
	}
	return w.store.WorkersDone(ctx, ripe)
}

// takeBack takes all attempts of departed workers back.
func (w *workerWatch) takeBack(ctx context.Context, workers []dag.WorkerKey) error {
	return w.open(ctx, func(open []pg.Held) error {
		byWorker := map[dag.WorkerKey][]dag.Key{}
		for _, h := range open {
			if slices.Contains(workers, h.Worker) {
				byWorker[h.Worker] = append(byWorker[h.Worker], h.Key)
			}
		}
		for worker, keys := range byWorker {
			if err := w.takeBackFrom(ctx, worker, keys, w.departed[worker].crash); err != nil {
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
func (w *workerWatch) open(ctx context.Context, each func([]pg.Held) error) error {
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
	before := w.suspects
	w.suspects = map[pg.Held]resultsMark{}
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
	now, err := w.mark(ctx)
	if err != nil {
		return err
	}
	return w.open(ctx, func(open []pg.Held) error {
		for _, h := range open {
			keys, alive := listed[h.Worker]
			if !alive || keys[h.Key] {
				continue
			}
			mark, again := before[h]
			switch {
			case !again:
				w.suspects[h] = now
			case w.passed(ctx, mark):
				w.log.Warn("attempt is not known to its worker", "task", int64(h.Key), "attempt", h.Attempt)
				if err := w.takeBackFrom(ctx, h.Worker, []dag.Key{h.Key}, false); err != nil {
					return err
				}
			default:
				w.suspects[h] = mark
			}
		}
		return nil
	})
}
