package pg

import (
	"context"
	"fmt"
	"math"

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
	FollowupJudge   FollowupKind = 4 // decide what becomes of a task whose dependencies have ended
	// FollowupCondition is the same of a task with a condition; who evaluates it hands in what it comes to.
	FollowupCondition   FollowupKind = 5
	FollowupCollect     FollowupKind = 6  // end an expanded task whose children have ended
	FollowupGrow        FollowupKind = 7  // make the next tasks of an expanded task
	FollowupCancelBelow FollowupKind = 8  // cancel the children of an expanded task
	FollowupTree        FollowupKind = 9  // tell a task that the tree which it waits for has ended; the followup's task is the root of that tree
	FollowupSignal      FollowupKind = 10 // take a kept signal
	FollowupFire        FollowupKind = 12 // write down how a run of a schedule has ended; the followup's task is the root of its tree
	FollowupTimeUp      FollowupKind = 13 // fail a group whose time is up, and cancel what is below it
	FollowupSubtree     FollowupKind = 11 // submit the tree that a task waits for, or cancel one for which it waits no more
)

// followupBatch is the most tasks that one transaction of followups changes.
const followupBatch = 5000

// Followups does up to one batch of follow-up work, in one transaction, and reports whether there may be more.
func (s *Store) Followups(ctx context.Context, room Room) (eff *Effects, more bool, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		eff, more, err = nil, false, nil
		p := &followupBatchPlan{}
		b := &pgx.Batch{}
		begin(b, c)
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
		d, view, err := load{keys: p.lock, policies: p.lock, begun: true, dependents: true, apart: p.apart()}.lock(ctx, c, s.resident)
		if err != nil {
			return err
		}
		told, err := s.told(ctx, c, d, p.judged(), math.MaxInt64)
		if err != nil {
			return err
		}
		p.decide(d, told)
		if err := s.judgeAtOnce(ctx, c, d); err != nil {
			return err
		}
		b = &pgx.Batch{}
		p.queue(b)
		eff, err = s.apply(ctx, c, b, d, view, room)
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

// followup is one row of follow-up work, and what the batch does of it.
type followup struct {
	kind         FollowupKind
	task, cursor dag.Key

	dependents []dag.Dependent // unlock
	tasks      []dag.Key       // cancel, time up
	around     int             // release, judge: how many dependencies there are to look at, and dependents to tell
	last       bool            // done after this batch
}

// followupBatchPlan is one transaction's worth of followups.
type followupBatchPlan struct {
	followups []followup
	lock      []dag.Key // all tasks that it touches
}

func (p *followupBatchPlan) scan(rows pgx.Rows) error {
	var f followup
	_, err := pgx.ForEachRow(rows, []any{&f.kind, &f.task, &f.cursor}, func() error {
		p.followups = append(p.followups, f)
		return nil
	})
	return err
}

// expand finds the tasks that the followups touch, and cuts the followups off where the batch is full.
func (p *followupBatchPlan) expand(ctx context.Context, c *pgx.Conn) error {
	if err := p.measure(ctx, c); err != nil {
		return err
	}
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
			f := &part[j]
			f.cut(left)
			left -= 1 + len(f.dependents) + len(f.tasks) + f.around
			p.lock = append(p.lock, f.task)
			for _, d := range f.dependents {
				p.lock = append(p.lock, d.Key)
			}
			p.lock = append(p.lock, f.tasks...)
		}
	}
	return nil
}

// measure finds out how much there is around the tasks that are let go or judged.
func (p *followupBatchPlan) measure(ctx context.Context, c *pgx.Conn) error {
	var keys []dag.Key
	by := map[dag.Key]int{}
	for i := range p.followups {
		if p.followups[i].lets() {
			keys = append(keys, p.followups[i].task)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := c.Query(ctx, sql("CountEdgesAround"), keys, dag.InlineDependents)
	if err == nil {
		err = eachRow(rows, func(v *values) { by[v.key()] = int(v.bigint()) })
	}
	if err != nil {
		return fmt.Errorf("look up followups: %w", err)
	}
	for i := range p.followups {
		if f := &p.followups[i]; f.lets() {
			f.around = by[f.task]
		}
	}
	return nil
}

// lets reports whether the followup decides about its task, whose dependents then are told at once.
func (f *followup) lets() bool { return f.kind == FollowupRelease || f.kind == FollowupJudge }

// apart are the tasks that the followups touch and do not decide about: their dependents are told by followups.
func (p *followupBatchPlan) apart() map[dag.Key]bool {
	out := make(map[dag.Key]bool, len(p.lock))
	for _, k := range p.lock {
		out[k] = true
	}
	for i := range p.followups {
		if p.followups[i].lets() {
			delete(out, p.followups[i].task)
		}
	}
	return out
}

// find looks up what the followup touches beside its own task, up to limit tasks after its cursor.
func (f *followup) find(b *pgx.Batch, limit int) {
	switch f.kind {
	case FollowupUnlock:
		b.Queue(sql("DependentsAfter"), f.task, f.cursor, limit).Query(func(rows pgx.Rows) (err error) {
			f.dependents, err = pgx.CollectRows(rows, pgx.RowToStructByPos[dag.Dependent])
			f.last = len(f.dependents) < limit
			return err
		})
	case FollowupCancel:
		first, end := f.task.Tree().Range()
		b.Queue(sql("CancellableAfter"), max(first, f.cursor+1), end, limit).Query(func(rows pgx.Rows) (err error) {
			f.tasks, err = pgx.CollectRows(rows, pgx.RowTo[dag.Key])
			f.last = len(f.tasks) < limit
			return err
		})
	case FollowupTimeUp:
		first, end := f.task.Tree().Range()
		b.Queue(sql("UnfinishedBelow"), f.task, first, end, f.cursor, limit).Query(func(rows pgx.Rows) (err error) {
			f.tasks, err = pgx.CollectRows(rows, pgx.RowTo[dag.Key])
			f.last = len(f.tasks) < limit
			return err
		})
	default:
		f.last = true
	}
}

// judged are the tasks whose dependencies have ended and of which it is decided what becomes of them.
func (p *followupBatchPlan) judged() (keys []dag.Key) {
	for _, f := range p.followups {
		if f.kind == FollowupJudge {
			keys = append(keys, f.task)
		}
	}
	return keys
}

// cut leaves all but n tasks to a later batch.
func (f *followup) cut(n int) {
	if len(f.dependents) > n {
		f.dependents, f.last = f.dependents[:n], false
	}
	if len(f.tasks) > n {
		f.tasks, f.last = f.tasks[:n], false
	}
}

// decide asks package dag what the followups change.
func (p *followupBatchPlan) decide(d *dag.Decision, told map[dag.Key][]dag.Told) {
	for i := range p.followups {
		f := &p.followups[i]
		switch f.kind {
		case FollowupTimeUp:
			if f.cursor == 0 && !d.TimeUp(f.task) {
				f.last = true // it has ended meanwhile
				continue
			}
			for _, k := range f.tasks {
				d.Cancel(k, dag.TimeUpMessage, false)
			}
		case FollowupUnlock:
			d.Unlocked(f.task, f.dependents)
		case FollowupCancel:
			for _, k := range f.tasks {
				d.Cancel(k, "", true)
			}
		case FollowupRelease:
			d.Release(f.task)
		case FollowupJudge:
			d.Judge(f.task, told[f.task], dag.Condition{})
		}
	}
}

// queue deletes the followups that are done, and moves the others on. It runs before the decision adds new followups.
func (p *followupBatchPlan) queue(b *pgx.Batch) {
	var kinds []FollowupKind
	var tasks []dag.Key
	for _, f := range p.followups {
		if f.last {
			kinds, tasks = append(kinds, f.kind), append(tasks, f.task)
			continue
		}
		at := f.cursor
		if n := len(f.dependents); n > 0 {
			at = f.dependents[n-1].Key
		}
		if n := len(f.tasks); n > 0 {
			at = f.tasks[n-1]
		}
		b.Queue(sql("MoveFollowup"), f.kind, f.task, at)
	}
	if len(tasks) > 0 {
		b.Queue(sql("DeleteFollowups"), kinds, tasks)
	}
}
