package pg

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// maxKeys is how many keys a statement gives that tasks have begun to wait for; whoever grants comes by the others.
const maxKeys = 1000

// queueWaiters puts ready tasks in the lines of what they ask for.
func queueWaiters(b *pgx.Batch, stretches []Stretch, placed *placement) {
	n := len(stretches)
	first, ns, again := make([]int64, n), make([]int32, n), make([]bool, n)
	for i, r := range stretches {
		first[i], ns[i], again[i] = int64(r.First), r.N, r.Again
	}
	b.Queue(sql("InsertWaiters"), first, ns, again, maxKeys).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { placed.asked = append(placed.asked, v.limitKey()) })
	})
}

// limitKey reads a namespace, a kind and a key.
func (v *values) limitKey() dag.LimitKey {
	return dag.LimitKey{Namespace: dag.NamespaceKey(v.integer()), Kind: dag.LimitKind(v.smallint()), Key: v.text()}
}

// releases are the tasks of a transaction whose attempts end, or are returned.
type releases struct {
	waiting []dag.Key // that may be in lines
	holding []dag.Key // that may hold something: they, too
	pausing []dag.Key // that run no more, and whose attempts go on: they expanded, or await something
	keeping []dag.Key // of holding, those whose locks are held on for their parents
	ending  []dag.Key // that others may hold locks for
	leaving []dag.Key // that give back all that they have taken, also for their parents
}

// releasedBy are those of the changed rows that limits matter to.
func releasedBy(changed []*dag.Row) (out releases) {
	for _, r := range changed {
		if r.GivesBack() {
			out.ending = append(out.ending, r.Key)
		}
		if r.Limiting() && (r.State == dag.Expanded || r.State == dag.Awaiting) && r.Expected().State != r.State { // one that started early was ready
			out.pausing = append(out.pausing, r.Key)
		}
		if !r.Limiting() || !r.Released() {
			continue
		}
		if r.Expected().State == dag.Ready {
			out.waiting = append(out.waiting, r.Key)
		}
		out.holding = append(out.holding, r.Key)
		if r.KeepsLock() {
			out.keeping = append(out.keeping, r.Key)
		}
	}
	return out
}

// queueWaiters takes them out of their lines. It comes before tasks are put in lines anew.
func (r releases) queueWaiters(b *pgx.Batch, eff *Effects) {
	if len(r.waiting) > 0 {
		b.Queue(sql("ReleaseWaiters"), r.waiting).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(v *values) { eff.Keys = append(eff.Keys, v.limitKey()) })
		})
	}
}

// queueHolds gives back what they hold. It comes after they were taken out of their lines, and after those that keep their place were put in again.
func (r releases) queueHolds(b *pgx.Batch, eff *Effects) {
	if len(r.keeping) > 0 {
		b.Queue(sql("KeepHolds"), r.keeping)
	}
	for _, of := range []struct {
		statement string
		tasks     []dag.Key
	}{{"ReleasePlaces", r.pausing}, {"ReleaseHolds", r.holding}, {"ReleaseSpans", r.ending}, {"DropHolds", r.leaving}} {
		if len(of.tasks) > 0 {
			b.Queue(sql(of.statement), of.tasks).Query(func(rows pgx.Rows) error {
				return eachRow(rows, func(v *values) { eff.Freed = append(eff.Freed, v.limitKey()) })
			})
		}
	}
}

// leavers are tasks that end because they wait in lines.
type leavers struct {
	left map[dag.Key]bool // they still waited, and are in no line any more
	keys []dag.LimitKey   // of those lines
}

// queue takes attempts, whose tasks are locked, out of their lines.
func (l *leavers) queue(b *pgx.Batch, tasks []dag.Key, attempts []int32) {
	b.Queue(sql("LeaveLines"), tasks, attempts).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			if l.left == nil {
				l.left = map[dag.Key]bool{}
			}
			l.left[v.key()] = true
			l.keys = append(l.keys, v.limitKey())
		})
	})
}

// LinesAfter are up to n keys that tasks wait for, in the store's order, after the one given: the zero value before all.
func (s *Store) LinesAfter(ctx context.Context, after dag.LimitKey, n int) (keys []dag.LimitKey, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("LinesAfter"), after.Namespace, int16(after.Kind), after.Key, n)
	if err != nil {
		return nil, fmt.Errorf("look for lines: %w", err)
	}
	return keys, eachRow(rows, func(v *values) { keys = append(keys, v.limitKey()) })
}

// Contend ends tasks whose locks are held, as they do not wait for that, unless they have been granted what they ask for since.
func (s *Store) Contend(ctx context.Context, waiters []*dag.Waiter, room Room) (eff *Effects, err error) {
	keys, attempts := make([]dag.Key, len(waiters)), make([]int32, len(waiters))
	for i, w := range waiters {
		keys[i], attempts[i] = w.Task, w.Attempt
	}
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var gone leavers
		l := load{keys: keys, policies: keys, dependents: true, after: func(b *pgx.Batch) { gone.queue(b, keys, attempts) }}
		d, view, err := l.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		for _, w := range waiters {
			if gone.left[w.Task] {
				d.Contend(w.Task, w.Attempt, w.Contended, false)
			}
		}
		if eff, err = s.apply(ctx, c, &pgx.Batch{}, d, view, room); err == nil {
			eff.Keys = append(eff.Keys, gone.keys...)
		}
		return err
	})
	return eff, err
}

// ReadyAttempt is an attempt that nobody has claimed, as far as is known.
type ReadyAttempt struct {
	Task   dag.Key
	Number int32
}

// Recall takes ready attempts back that were published, or are to be, and lets their tasks wait anew, ahead of those that came after them, with as much time to
// start as they had. What was claimed goes on. n is how many it took back. Bounded: a few thousand at most.
func (s *Store) Recall(ctx context.Context, attempts []ReadyAttempt, why string, room Room) (n int, eff *Effects, err error) {
	if len(attempts) == 0 {
		return 0, &Effects{}, nil
	}
	keys := make([]dag.Key, len(attempts))
	for i, a := range attempts {
		keys[i] = a.Task
	}
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		n, eff = 0, &Effects{}
		d, view, err := load{keys: keys, policies: keys}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		var moved []int64
		var numbers []int32
		for _, a := range attempts {
			if d.Recall(a.Task, a.Number, why) {
				moved, numbers = append(moved, int64(a.Task)), append(numbers, a.Number+1)
			}
		}
		if len(moved) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		n = len(moved)
		b := &pgx.Batch{}
		b.Queue(sql("MoveStartTimers"), moved, numbers)
		eff, err = s.apply(ctx, c, b, d, view, room)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("call back %d tasks: %w", len(keys), err)
	}
	return n, eff, nil
}

// GrantedAndIdle are tasks from a key on that hold what they were granted and that nobody has claimed since, in pools without a live worker for so
// many seconds. next is where to go on; 0 at the end.
func (s *Store) GrantedAndIdle(ctx context.Context, seconds float64, from dag.Key, limit int) (idle []ReadyAttempt, next dag.Key, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(sql("GrantedAndIdle"), seconds, limit, from).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { idle = append(idle, ReadyAttempt{v.key(), v.integer()}) })
	})
	b.Queue(sql("LastHold"), from).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) {
			if last := v.key(); last != 0 {
				next = last + 1
			}
		})
	})
	if err := s.pool.Send(ctx, b); err != nil {
		return nil, 0, fmt.Errorf("look for grants that nobody uses: %w", err)
	}
	if len(idle) == limit {
		next = idle[limit-1].Task + 1
	}
	return idle, next, nil
}

// UnclaimedGrants is how many granted tasks of each pool nobody has claimed.
func (s *Store) UnclaimedGrants(ctx context.Context) (map[int32]int, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("UnclaimedGrants"))
	if err != nil {
		return nil, fmt.Errorf("count grants: %w", err)
	}
	out := map[int32]int{}
	return out, eachRow(rows, func(v *values) {
		pool := v.integer()
		out[pool] = int(v.bigint())
	})
}

// SweepRates forgets up to limit rates whose time has passed.
func (s *Store) SweepRates(ctx context.Context, limit int) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, sql("SweepRates"), limit)
	return err
}

// addLocks adds the locks that attempts hold, of which some may.
func (s *Store) addLocks(ctx context.Context, work []*Work) error {
	var tasks []dag.Key
	var numbers []int32
	for _, w := range work {
		if w.Flags&dag.FlagLimited != 0 {
			tasks, numbers = append(tasks, w.Key), append(numbers, w.Attempt)
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	return s.readLocks(ctx, work, "LocksOf", tasks, numbers)
}

// LoadLocks adds the locks that are held for tasks above attempts on their way to workers, of those that hold none themselves.
func (s *Store) LoadLocks(ctx context.Context, work []*Work) error {
	var tasks []dag.Key
	for _, w := range work {
		if w.Flags&dag.FlagUnder != 0 && w.Lock == nil {
			tasks = append(tasks, w.Key)
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	return s.readLocks(ctx, work, "LocksAbove", tasks)
}

func (s *Store) readLocks(ctx context.Context, work []*Work, statement string, args ...any) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return fmt.Errorf("read locks: %w", err)
	}
	return eachRow(rows, func(v *values) {
		k, lock := v.key(), &HeldLock{Key: v.text(), Token: v.bigint()}
		if i := slices.IndexFunc(work, func(w *Work) bool { return w.Key == k }); i >= 0 {
			work[i].Lock = lock
		}
	})
}
