package pg

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Settle records results and unlocks what waited for them, in one transaction: one round trip when the tasks are as they may be
// assumed to be (see [dag.Optimistic]), else two more, whatever their number, or three if tasks are to be judged.
// Bounded: a few thousand results at most, each at most once. It returns which results changed anything, in their
// order. A lasting error (see [Lasting]) means that one of the results can't be stored: halve the batch.
func (s *Store) Settle(ctx context.Context, results []dag.Result, room Room) (changed []bool, eff *Effects, err error) {
	granted := newGrants(room)
	if eff, done, err := s.settleOptimistically(ctx, results, granted); done {
		return slices.Repeat([]bool{true}, len(results)), eff, err
	}
	l, offers, early := loadResults(results)
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		granted.again()
		d, view, err := l.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		early.bound(results)
		if err := s.forbid(ctx, c, d, early.tasks); err != nil {
			return err
		}
		changed = d.SettleAll(results)
		if err := s.judgeAtOnce(ctx, c, d); err != nil {
			return err
		}
		d.HandOverAll(results, changed, func(w dag.WorkerKey) bool { return offers.alive[w] },
			func(r *dag.Row) bool { return offers.passesNobody(r) && !s.Ruled(r.Pool) })
		b := &pgx.Batch{}
		if err := s.queueNotes(ctx, b, results, changed); err != nil {
			return err
		}
		eff, err = s.apply(ctx, c, b, d, view, granted.ask)
		return err
	})
	return changed, eff, err
}

// loadResults says what to read before results are decided about. A policy is needed of what did not complete: it may be tried
// again.
func loadResults(results []dag.Result) (load, *offers, *earlyOnes) {
	l := load{keys: make([]dag.Key, len(results)), dependents: true}
	offers, early := &offers{}, &earlyOnes{}
	for i, r := range results {
		l.keys[i] = r.Task
		if r.Offer {
			offers.add(r)
		}
		if r.Early {
			early.add(r)
		}
		if r.UnlocksNothing {
			l.unlockNothing = append(l.unlockNothing, r.Task)
		}
		if r.Outcome != dag.OutcomeCompleted {
			l.policies = append(l.policies, r.Task)
		}
	}
	l.before = func(b *pgx.Batch) {
		offers.queue(b)
		early.queue(b)
	}
	return l, offers, early
}

// earlyOnes are results of attempts that may have started before their claims: none has before its tree was created, or the
// attempt before it ended, whatever its worker says of the time it took.
type earlyOnes struct {
	tasks   []dag.Key
	trees   map[dag.TreeKey]time.Time // when each was created
	again   []dag.Key                 // of those with an attempt before
	numbers []int32
	ended   map[dag.Key]time.Time // the attempts before
}

func (e *earlyOnes) add(r dag.Result) {
	if e.trees == nil {
		e.trees, e.ended = map[dag.TreeKey]time.Time{}, map[dag.Key]time.Time{}
	}
	e.tasks = append(e.tasks, r.Task)
	e.trees[r.Task.Tree()] = time.Time{}
	if r.Attempt > 1 {
		e.again, e.numbers = append(e.again, r.Task), append(e.numbers, r.Attempt)
	}
}

func (e *earlyOnes) queue(b *pgx.Batch) {
	if len(e.trees) == 0 {
		return
	}
	b.Queue(sql("CreatedAt"), slices.Collect(maps.Keys(e.trees))).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { e.trees[dag.TreeKey(v.bigint())] = v.timestamp() })
	})
	if len(e.again) > 0 {
		b.Queue(sql("EndedBefore"), e.again, e.numbers).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) { e.ended[v.key()] = v.timestamp() })
		})
	}
}

// bound tells the early results when they can have started at the earliest.
func (e *earlyOnes) bound(results []dag.Result) {
	for i := range results {
		if r := &results[i]; r.Early {
			r.NotBefore = e.trees[r.Task.Tree()]
			if ended := e.ended[r.Task]; r.Attempt > 1 && ended.After(r.NotBefore) {
				r.NotBefore = ended
			}
		}
	}
}

// offers are results whose slots wait for what they unlock.
type offers struct {
	tasks   []dag.Key
	workers []dag.WorkerKey
	alive   map[dag.WorkerKey]bool // their leases live, until the end of the transaction
	waiting map[int32]waiting      // by pool
}

// waiting are the most urgent priorities of ready tasks that wait in a pool.
type waiting struct {
	long dag.Priority // of those that wait in Postgres, or have waited in NATS for longer than a way to a free slot takes
	all  dag.Priority
}

func (o *offers) add(r dag.Result) {
	o.tasks = append(o.tasks, r.Task)
	if !slices.Contains(o.workers, r.Worker) {
		o.workers = append(o.workers, r.Worker)
	}
}

func (o *offers) queue(b *pgx.Batch) {
	if len(o.tasks) == 0 {
		return
	}
	o.alive, o.waiting = map[dag.WorkerKey]bool{}, map[int32]waiting{}
	queueShareWorkers(b, o.workers, o.alive)
	b.Queue(sql("WaitingOf"), o.tasks).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			pool := v.integer()
			o.waiting[pool] = waiting{long: dag.Priority(v.integer()), all: dag.Priority(v.integer())}
		})
	})
}

// passesNobody reports whether nothing waits that the task would pass if it was handed over: nothing more urgent, and nothing
// of its own priority that got ready before. Of the latter, what was just published does not count: it is on its way.
func (o *offers) passesNobody(r *dag.Row) bool {
	w, waits := o.waiting[r.Pool]
	return !waits || w.all >= r.Priority && w.long > r.Priority
}

// TakeBack takes attempts back from a worker: crash when it was lost, else because it does not know them (any more).
func (s *Store) TakeBack(ctx context.Context, w dag.WorkerKey, keys []dag.Key, crash bool, room Room) (*Effects, error) {
	return s.decide(ctx, load{keys: keys, policies: keys, dependents: true}, room, func(d *dag.Decision) {
		for _, k := range keys {
			d.Lost(k, w, crash)
		}
	})
}

// decide is the frame of every simple transaction: lock, decide, write.
func (s *Store) decide(ctx context.Context, l load, room Room, f func(*dag.Decision)) (eff *Effects, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		d, view, err := l.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		f(d)
		if err := s.judgeAtOnce(ctx, c, d); err != nil {
			return err
		}
		eff, err = s.apply(ctx, c, &pgx.Batch{}, d, view, room)
		return err
	})
	return eff, err
}
