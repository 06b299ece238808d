package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// FollowupKind numbers what a followup is. The numbers are stored.
type FollowupKind int16

// The kinds of followups.
const (
	FollowupUnlock  FollowupKind = 1 // tell the dependents of a settled task
	FollowupCancel  FollowupKind = 2 // cancel the unfinished tasks of a tree; its task is the root
	FollowupRelease FollowupKind = 3 // let a task go that waits for nothing
)

// followupBatch is the most tasks that one transaction of followups changes.
const followupBatch = 5000

// Followups does up to one batch of follow-up work, in one transaction, and reports whether there may be more.
func (s *Store) Followups(ctx context.Context, room Room) (eff *Effects, more bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff, more, err = nil, false, nil
		p := &followupBatchPlan{}
		b := &pgx.Batch{}
		b.Queue("begin")
		b.Queue(sql("TakeFollowups"), 500).Query(p.scan)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("take followups: %w", err)
		}
		if len(p.followups) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		more = true
		if err := p.expand(ctx, c); err != nil {
			return err
		}
		d, view, err := load{keys: p.lock, policies: p.lock, begun: true}.run(ctx, c, s.resident)
		if err != nil {
			return err
		}
		p.decide(d)
		b = &pgx.Batch{}
		p.queue(b)
		eff, err = apply(ctx, c, b, d, view, room)
		return err
	})
	return eff, more, err
}

// HasFollowups reports whether any followup waits.
func (s *Store) HasFollowups(ctx context.Context) (has bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("HasFollowups")).Scan(&has)
	return has, err
}

type followup struct {
	kind         FollowupKind
	task, cursor dag.Key

	dependents []dag.Dependent // unlock
	tasks      []dag.Key       // cancel
	last       bool            // done after this batch
}

// followupBatchPlan is one transaction's worth of followups.
type followupBatchPlan struct {
	followups []followup
	lock      []dag.Key
}

func (p *followupBatchPlan) scan(rows pgx.Rows) error {
	var c followup
	_, err := pgx.ForEachRow(rows, []any{&c.kind, &c.task, &c.cursor}, func() error {
		p.followups = append(p.followups, c)
		return nil
	})
	return err
}

// expand finds the tasks that the followups touch, and cuts the followups off where the batch is full.
func (p *followupBatchPlan) expand(ctx context.Context, c *pgx.Conn) error {
	left := followupBatch
	for i := 0; i < len(p.followups); i += 100 {
		part := p.followups[i:min(i+100, len(p.followups))]
		b := &pgx.Batch{}
		for j := range part {
			part[j].find(b, followupBatch)
		}
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("look up followups: %w", err)
		}
		for j := range part {
			if left <= 0 {
				p.followups = p.followups[:i+j]
				return nil
			}
			ch := &part[j]
			ch.cut(left)
			left -= 1 + len(ch.dependents) + len(ch.tasks)
			p.lock = append(p.lock, ch.task)
			for _, d := range ch.dependents {
				p.lock = append(p.lock, d.Key)
			}
			p.lock = append(p.lock, ch.tasks...)
		}
	}
	return nil
}

func (ch *followup) find(b *pgx.Batch, limit int) {
	switch ch.kind {
	case FollowupUnlock:
		b.Queue(sql("DependentsAfter"), ch.task, ch.cursor, limit).Query(func(rows pgx.Rows) (err error) {
			ch.dependents, err = pgx.CollectRows(rows, pgx.RowToStructByPos[dag.Dependent])
			ch.last = len(ch.dependents) < limit
			return err
		})
	case FollowupCancel:
		first, end := ch.task.Tree().Range()
		b.Queue(sql("UnfinishedAfter"), max(first, ch.cursor+1), end, limit).Query(func(rows pgx.Rows) (err error) {
			ch.tasks, err = pgx.CollectRows(rows, pgx.RowTo[dag.Key])
			ch.last = len(ch.tasks) < limit
			return err
		})
	default:
		ch.last = true
	}
}

func (ch *followup) cut(n int) {
	if len(ch.dependents) > n {
		ch.dependents, ch.last = ch.dependents[:n], false
	}
	if len(ch.tasks) > n {
		ch.tasks, ch.last = ch.tasks[:n], false
	}
}

func (p *followupBatchPlan) decide(d *dag.Decision) {
	for _, ch := range p.followups {
		switch ch.kind {
		case FollowupUnlock:
			d.Unlocked(ch.task, ch.dependents)
		case FollowupCancel:
			for _, k := range ch.tasks {
				d.Cancel(k, "", true)
			}
		case FollowupRelease:
			d.Release(ch.task)
		}
	}
}

// queue deletes the followups that are done, and moves the others on. It runs before the decision adds new followups.
func (p *followupBatchPlan) queue(b *pgx.Batch) {
	for _, ch := range p.followups {
		if ch.last {
			b.Queue(sql("DeleteFollowup"), ch.kind, ch.task)
			continue
		}
		at := ch.cursor
		if n := len(ch.dependents); n > 0 {
			at = ch.dependents[n-1].Key
		}
		if n := len(ch.tasks); n > 0 {
			at = ch.tasks[n-1]
		}
		b.Queue(sql("MoveFollowup"), ch.kind, ch.task, at)
	}
}

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
		d, view, err := load{keys: keys, policies: keys, dependents: true, begun: true}.run(ctx, c, s.resident)
		if err != nil {
			return err
		}
		deadlines := 0
		b := &pgx.Batch{}
		for _, t := range due {
			if t.Kind == dag.TimerTree {
				deadlines++
				queueTreeCancel(b, t.Task, "Tree timeout", t.Attempt)
				continue
			}
			d.Due(t)
		}
		if eff, err = apply(ctx, c, b, d, view, room); err == nil {
			eff.Followups += deadlines
		}
		return err
	})
	return eff, n, err
}

// takeTimers begins a transaction and takes up to limit timers that are due.
func takeTimers(ctx context.Context, c *pgx.Conn, limit int) (due []dag.Timer, err error) {
	b := &pgx.Batch{}
	b.Queue("begin")
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

// queueTreeCancel puts a tree's cancellation on record, and the followup that carries it out. execution > 0: only while
// that execution is the current one.
func queueTreeCancel(b *pgx.Batch, root dag.Key, message string, execution int32) {
	b.Queue(sql("CancelTree"), root.Tree(), message, execution)
	b.Queue(sql("CancelTreeFollowup"), root)
}

// CancelTree cancels the unfinished tasks of a tree: at once, as a fact that dispatch and claim read; task by task by a
// followup. It reports whether there was anything to cancel.
func (s *Store) CancelTree(ctx context.Context, tree dag.TreeKey, message string) (bool, error) {
	var did bool
	err := s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		b.Queue("begin")
		b.Queue(sql("CancelTree"), tree, message, 0).Exec(func(ct pgconn.CommandTag) error {
			did = ct.RowsAffected() > 0
			return nil
		})
		b.Queue(sql("CancelTreeFollowupOf"), tree)
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	return did, err
}

// Cancel cancels single tasks, not what depends on them. It returns which were cancelled.
func (s *Store) Cancel(ctx context.Context, keys []dag.Key, message string, room Room) (done map[dag.Key]bool, eff *Effects, err error) {
	eff, err = s.decide(ctx, load{keys: keys, policies: keys, dependents: true}, room, func(d *dag.Decision) {
		done = map[dag.Key]bool{}
		for _, k := range keys {
			done[k] = d.Cancel(k, message, false)
		}
	})
	return done, eff, err
}

// Expire deletes up to limit trees that ended over age ago, with all that belongs to them, and returns how many. Each
// is a transaction of its own per table and key range, smallest harm first; a tree's row goes last, so that what was
// begun is finished by the next call.
func (s *Store) Expire(ctx context.Context, age time.Duration, limit int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("FinishedTrees"), age.Seconds(), limit)
	if err != nil {
		return 0, fmt.Errorf("look for old trees: %w", err)
	}
	trees, err := pgx.CollectRows(rows, pgx.RowTo[dag.TreeKey])
	if err != nil {
		return 0, fmt.Errorf("look for old trees: %w", err)
	}
	for n, t := range trees {
		if err := s.deleteTree(ctx, t); err != nil {
			return n, fmt.Errorf("delete tree %d: %w", t, err)
		}
	}
	return len(trees), nil
}

// expireStep is how many keys of one tree are deleted in one transaction.
const expireStep = 20_000

func (s *Store) deleteTree(ctx context.Context, t dag.TreeKey) error {
	first, end := t.Range()
	var tasks int
	if err := s.pool.QueryRow(ctx, "select tasks from tree where key = $1", t).Scan(&tasks); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	}
	last := min(end, first+dag.Key(tasks))
	for k := first; k < last; k += expireStep {
		to := min(k+expireStep, last)
		b := &pgx.Batch{}
		for _, statement := range []string{"DeleteAttempts", "DeleteEdges", "DeletePayloads", "DeleteSpecs", "DeleteTasks", "DeleteTimers", "DeleteTaskChunks"} {
			b.Queue(sql(statement), k, to)
		}
		if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	b := &pgx.Batch{}
	for _, statement := range []string{"DeleteEvents", "DeleteSubmissions", "DeleteTree"} {
		b.Queue(sql(statement), t)
	}
	return s.pool.SendBatch(ctx, b).Close()
}

// Tidy deletes small leftovers: departed workers of days ago, parts of results that nobody claimed.
func (s *Store) Tidy(ctx context.Context) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(sql("DeleteWorkers"))
	b.Queue(sql("DeleteOldChunks"))
	return s.pool.SendBatch(ctx, b).Close()
}
