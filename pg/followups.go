package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

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
