package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// DueTimers handles up to limit timers that are due, in one transaction, and returns how many there were.
func (s *Store) DueTimers(ctx context.Context, limit int, room Room) (eff *Effects, n int, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff, n, err = nil, 0, nil
		due, err := takeTimers(ctx, c, limit)
		if err != nil {
			return err
		}
		if n = len(due); n == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		keys := make([]dag.Key, n)
		for i, t := range due {
			keys[i] = t.Task
		}
		waits, err := s.timeOut(ctx, c, due)
		if err != nil {
			return err
		}
		late, overdue := treesWith(due, dag.TimerTree), treesWith(due, dag.TimerLate)
		l := load{keys: keys, policies: keys, dependents: true, begun: true}
		if len(late) > 0 {
			l.before = func(b *pgx.Batch) { b.Queue(sql("ExpectCancellations"), late) }
		}
		var gone leavers
		if tasks, attempts := locksDue(due); len(tasks) > 0 {
			l.after = func(b *pgx.Batch) { gone.queue(b, tasks, attempts) }
		}
		d, view, err := l.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		for _, t := range due {
			if t.Kind == dag.TimerTree {
				b.Queue(sql("CancelTree"), t.Task.Tree(), "Tree timeout", t.Attempt)
				continue
			}
			if t.Kind == dag.TimerLate {
				continue
			}
			if t.Kind == dag.TimerLock {
				if gone.left[t.Task] {
					d.Contend(t.Task, t.Attempt, dag.WaitForLock, true)
				}
				continue
			}
			var answer *dag.WaitAnswer
			w := waits[t.Task]
			if t.Kind == dag.TimerAwait {
				if w == nil || w.Attempt != t.Attempt {
					w = &Waiting{Task: t.Task, Attempt: t.Attempt}
				}
				var after dag.Answer
				after, answer = w.TimedOut(d.Now())
				t.Answer = &after
			}
			if d.Due(t) && answer != nil && w.Resume {
				if err := s.queueSignal(ctx, b, &SentSignal{Task: t.Task, Name: w.signal(), Answer: *answer}, t.Attempt); err != nil {
					return err
				}
			}
		}
		if len(late) > 0 {
			b.Queue(sql("DropVoidCancellations"), late)
		}
		var told []TreeSequence
		if len(overdue) > 0 {
			b.Queue(sql("LockTrees"), overdue)
			b.Queue(sql("RaiseLate"), overdue).Query(func(rows pgx.Rows) (err error) {
				told, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t TreeSequence, err error) {
					return t, row.Scan(&t.Tree, &t.Sequence, &t.Hooked)
				})
				return err
			})
		}
		if eff, err = s.apply(ctx, c, b, d, view, room); err == nil {
			eff.Trees, eff.Late = append(eff.Trees, told...), len(told)
			eff.Followups += len(late)
			eff.Keys = append(eff.Keys, gone.keys...)
		}
		return err
	})
	return eff, n, err
}

// treesWith are the trees that have timers of a kind among these, by key.
func treesWith(due []dag.Timer, kind dag.TimerKind) (trees []dag.TreeKey) {
	for _, t := range due {
		if t.Kind == kind {
			trees = append(trees, t.Task.Tree())
		}
	}
	slices.Sort(trees)
	return slices.Compact(trees)
}

// locksDue are the attempts whose locks have not come in time, if they still wait for them.
func locksDue(due []dag.Timer) (tasks []dag.Key, attempts []int32) {
	for _, t := range due {
		if t.Kind == dag.TimerLock {
			tasks, attempts = append(tasks, t.Task), append(attempts, t.Attempt)
		}
	}
	return tasks, attempts
}

// takeTimers begins a transaction and takes up to limit timers that are due.
func takeTimers(ctx context.Context, c *pgx.Conn, limit int) (due []dag.Timer, err error) {
	b := &pgx.Batch{}
	begin(b, c)
	b.Queue(sql("DueTimers"), limit).Query(func(rows pgx.Rows) error {
		var t dag.Timer
		_, err := pgx.ForEachRow(rows, []any{&t.Task, &t.Attempt, &t.Kind}, func() error {
			due = append(due, t)
			return nil
		})
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("take timers: %w", err)
	}
	return due, nil
}

// NextTimer is how long it is until the next timer, by Postgres's clock; ok is false when there is none.
func (s *Store) NextTimer(ctx context.Context) (wait time.Duration, ok bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var at, now time.Time
	err = s.pool.QueryRow(ctx, sql("NextTimer")).Scan(&at, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return at.Sub(now), err == nil, err
}
