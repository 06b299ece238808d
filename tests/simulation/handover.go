package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// handover is an attempt that was claimed for a worker when its result unlocked the task. It travels with the receipt.
type handover struct {
	after   attemptKey // the result that offered the slot
	session int        // that the attempt was claimed for
	work    *message
}

// news is what a coordinator tells a worker, at most once; answers to beats repeat what matters.
type news struct {
	receipts  []attemptKey
	handovers []handover
}

// handOver claims tasks that the results unlocked for the workers that offered their slots.
func (s *store) handOver(d *dag.Decision, results []dag.Result, changed []bool) {
	may := func(r *dag.Row) bool { return !s.waits(r.Lane()) }
	for i, r := range results {
		if from := s.worker(r.Worker); changed[i] && from != nil && from.live(s.w.now) {
			d.HandOver(r, may)
		}
	}
}

// waits reports whether a task waits that one of the lane, claimed at once, would pass.
func (s *store) waits(l dag.Lane) bool {
	return slices.ContainsFunc(s.ready, func(o run) bool { return o.pool == l.Pool && o.priority <= l.Priority })
}

// judgeHandover: one slot that was offered takes one task, of its pool, that passes nobody.
func (w *world) judgeHandover(h dag.Handover) {
	w.report.HandedOver++
	after, t := attemptKey{h.After, h.AfterAttempt}, w.store.task(h.Task)
	from, i := w.store.task(h.After), h.Task.Index()
	r := w.store.worker(h.Worker)
	offerer, offered := w.offers[after]
	switch {
	case !offered || r == nil || r.worker != offerer:
		w.broken("task %d is handed over to a worker that offered no slot", i)
	case from.row.Pool != t.row.Pool:
		w.broken("task %d of pool %d is handed over in a slot of pool %d", i, t.row.Pool, from.row.Pool)
	case !slices.ContainsFunc(t.deps, func(e dag.Edge) bool { return int(e.Task) == h.After.Index() }):
		w.broken("task %d is handed over after task %d, on which it does not depend", i, h.After.Index())
	case slices.ContainsFunc(w.store.ready, func(o run) bool { return o.pool == t.row.Pool && o.priority <= t.row.Priority }):
		w.broken("task %d is handed over while older ones wait", i)
	}
	delete(w.offers, after) // a second one finds none
}

// newsFor is what the sender of results hears of them.
func (s *store) newsFor(b *batch, handed []dag.Handover) news {
	var n news
	for _, r := range b.results {
		if r.token != token(r.key.task, r.key.number) {
			continue // it was not looked at, and may be of an attempt whose result still comes
		}
		n.receipts = append(n.receipts, r.key)
		for _, h := range handed {
			if (attemptKey{h.After, h.AfterAttempt}) == r.key {
				row := s.task(h.Task).row
				n.handovers = append(n.handovers, handover{r.key, b.session, &message{lane: lane{row.Pool, row.Priority},
					key: attemptKey{h.Task, h.Attempt}, token: token(h.Task, h.Attempt), repeatable: row.Flags&dag.FlagRepeatable != 0}})
			}
		}
	}
	return n
}

// missed names what was handed over with a receipt that the worker does not have.
func (s *store) missed(an *answer, b beat, settled attemptKey, key dag.WorkerKey) {
	for _, dep := range s.task(settled.task).dependents {
		row := s.task(dep.Key).row
		k := attemptKey{row.Key, row.Attempt}
		listed := slices.Contains(b.asked, k) || slices.Contains(b.running, k) || slices.Contains(b.reported, k)
		if row.State == dag.Running && row.Worker == key && !listed && epoch.Add(s.w.now-time.Second).After(row.StartedAt) {
			an.missed = append(an.missed, grant{k, token(k.task, k.number)})
		}
	}
}

// missed hands back what was handed over to the session, of what it does not know.
func (wk *worker) missed(s *session, grants []grant) {
	for _, g := range grants {
		t := wk.w.store.task(g.key.task)
		t.truth.given = append(t.truth.given, given{g.key.number, wk.id - 100})
		if wk.find(g.key) != nil || s.ended {
			continue
		}
		wk.w.report.Missed++
		a := &attempt{message: message{key: g.key, token: g.token}, acked: true, session: s, asked: true, yes: true}
		wk.ledger = append(wk.ledger, a)
		wk.handBack(a)
	}
}

// mayOffer reports whether the attempt's slot is worth keeping for a task that it unlocks.
func (wk *worker) mayOffer(a *attempt) bool {
	flags := wk.w.store.task(a.key.task).row.Flags
	return flags.Unlocks() && !wk.leaving && wk.w.chance(0.8)
}

// endOffer gives up a slot that nobody came for.
func (wk *worker) endOffer(a *attempt) {
	if a.offers {
		a.offers = false
		wk.dropSlot(a)
	}
}

// hear takes news. Called from the network.
func (wk *worker) hear(n news) {
	wk.reach(wk.life, func() {
		for _, h := range n.handovers { // first: receipts free the slots that were offered
			wk.accept(h)
		}
		wk.receipts(n.receipts)
	})
}

// accept starts an attempt that was claimed for us, in the slot that was offered for it, or hands it back.
func (wk *worker) accept(h handover) {
	s := wk.session
	if h.session != s.name {
		return // an earlier session's go back when its lease ends
	}
	t := wk.w.store.task(h.work.key.task)
	t.truth.given = append(t.truth.given, given{h.work.key.number, wk.id - 100})
	if wk.find(h.work.key) != nil || s.ended {
		return
	}
	a := &attempt{message: *h.work, acked: true, session: s, asked: true, yes: true}
	wk.ledger = append(wk.ledger, a)
	from := wk.find(h.after)
	if wk.leaving || !s.holds(wk.w.now) || from == nil || !from.offers || from.lane.pool != a.lane.pool {
		wk.handBack(a)
		return
	}
	wk.w.trace("handed over", wk.id, int(a.key.task.Tree())*1000+a.key.task.Index(), int(a.key.number))
	a.askedAt = from.offered
	from.offers = false
	from.holdsSlot, a.holdsSlot = false, true // it passes on, and is never free in between
	wk.run(a)
}

// handBack reports an attempt that was granted and never began.
func (wk *worker) handBack(a *attempt) {
	a.result = result{key: a.key, token: a.token, outcome: dag.OutcomeReturned, started: wk.w.now}
	wk.report(a)
}

// receipts forgets results that are settled.
func (wk *worker) receipts(keys []attemptKey) {
	for _, k := range keys {
		if a := wk.find(k); a != nil && a.phase == reported {
			wk.forget(a)
		}
	}
}

// judgeSlots: at rest no slot is held.
func (w *world) judgeSlots() {
	for _, wk := range w.workers {
		for pool, n := range wk.inHand {
			if n != 0 && wk.up {
				w.broken("worker %d holds %d slots of pool %d for nothing", wk.id-100, n, pool)
			}
		}
	}
}
