package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// apply writes a decision about locked tasks and commits, in one round trip with what b holds already. view is what [load] gave
// along with the decision. A row that is not in the state and the attempt in which it was loaded fails the transaction.
func (s *Store) apply(ctx context.Context, c *pgx.Conn, b *pgx.Batch, d *dag.Decision, view *residentView, room Room) (*Effects, error) {
	if err := s.explainUnknown(ctx, c, d.Ended); err != nil {
		return nil, err
	}
	queueRows(b, d.Changed())
	if err := s.writeEnded(ctx, c, b, d); err != nil {
		return nil, err
	}
	return s.commit(ctx, c, b, d, view, room)
}

// commit writes what follows from a decision whose rows and ended attempts b writes, and commits, in one round trip. Stretches
// of ready tasks are published at once where room has room for them.
func (s *Store) commit(ctx context.Context, c *pgx.Conn, b *pgx.Batch, d *dag.Decision, view *residentView, room Room) (*Effects, error) {
	changed := d.Changed()
	eff := &Effects{Stops: d.Stops, Followups: len(d.Unlock) + len(d.ToJudge) + len(d.ToCollect) + len(d.ToCancel) + len(d.ToTimeUp), Timers: d.Timers}
	eff.take(changed)
	queueUsage(b, d.Ended, d.Now())
	queueUsage(b, d.Spent, d.Now())
	if len(d.Timers) > 0 {
		queueTimers(b, d.Timers, d.Now())
	}
	queueTimeLimits(b, d.Begun(), d.Now(), eff)
	if len(d.Unlock) > 0 {
		queueFollowups(b, FollowupUnlock, d.Unlock)
	}
	eff.Conditions = queueBeyond(b, d)
	queueWindows(b, changed, eff)
	if err := s.queueWaits(ctx, b, d, eff); err != nil {
		return nil, err
	}
	brought := view.brought(d.Ended)
	released := releasedBy(changed)
	released.queueWaiters(b, eff)
	p := publication{stretches: Stretches(d.Readied(), room), work: map[dag.Key]*Work{}}
	p.queueReady(b, view, brought)
	released.queueHolds(b, eff)
	p.queueHandovers(b, d, view, brought)
	if len(d.Trees) > 0 {
		queueTrees(b, d.Trees, eff)
		eff.Events.count(d.Trees)
	}
	if len(d.ToCache) > 0 {
		queueCache(b, d)
	}
	b.Queue("commit")
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("write %d tasks: %w", len(changed), err)
	}
	view.committed(changed, brought, eff.Trees)
	s.seals.openWork(ctx, p.work)
	eff.place(p.stretches, &p.placed, p.work)
	eff.hand(d.Handovers, p.work)
	return eff, nil
}

// publication is what a transaction makes ready or hands over, and what their workers need of it.
type publication struct {
	stretches []Stretch // that got ready
	placed    placement
	work      map[dag.Key]*Work // of tasks that may be published, and of those that are handed over
}

// queueReady places the stretches in their lanes, and loads the tasks of those that may be published at once.
func (p *publication) queueReady(b *pgx.Batch, view *residentView, brought map[dag.Key][]byte) {
	if len(p.stretches) == 0 {
		return
	}
	queueStretches(b, p.stretches, &p.placed)
	queueWork(b, view.fill(directOf(p.stretches), brought, p.work), dag.Ready, p.work)
}

// queueHandovers loads the tasks that are handed over.
func (p *publication) queueHandovers(b *pgx.Batch, d *dag.Decision, view *residentView, brought map[dag.Key][]byte) {
	if len(d.Handovers) == 0 {
		return
	}
	handed := make([]Stretch, len(d.Handovers))
	for i, h := range d.Handovers {
		row := d.Row(h.Task)
		handed[i] = Stretch{Pool: row.Pool, Priority: row.Priority, First: h.Task, N: 1, Attempt: h.Attempt}
	}
	queueWork(b, view.fill(handed, brought, p.work), dag.Running, p.work)
}
