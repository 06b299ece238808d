package simulation

import (
	"slices"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/ledger"
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

// alive reports whether a worker's lease lives.
func (s *store) alive(k dag.WorkerKey) bool {
	r := s.worker(k)
	return r != nil && r.live(s.w.now)
}

// waits reports whether a task waits that one of the lane, claimed at once, would pass.
func (s *store) waits(l dag.Lane) bool {
	if s.gated(l.Pool) { // it can't be handed over past the dispatch
		return true
	}
	for _, r := range s.ready {
		if r.pool == l.Pool && r.priority <= l.Priority {
			return true
		}
	}
	for _, r := range s.published {
		if r.pool == l.Pool && (r.priority < l.Priority || r.priority == l.Priority && r.sent < s.w.now-dag.DeliveryTime) && s.untaken(r) {
			return true
		}
	}
	return false
}

// untaken reports whether tasks of a run still are ready.
func (s *store) untaken(r run) bool {
	for k := r.first; k < r.first+dag.Key(r.n); k++ {
		if row := s.task(k).row; row.State == dag.Ready && row.Attempt == r.attempt {
			return true
		}
	}
	return false
}

// judgeHandover: one slot that was offered takes one task, of its pool, that passes nobody. It looks at what the transaction wrote.
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
	case w.store.pausedBy(t) != nil || len(w.store.gates(t)) > 0:
		w.broken("task %d is handed over past what an operator holds back", i)
	case w.passed(t): // it says so
	case slices.ContainsFunc(from.dependents, func(dep dag.Dependent) bool {
		o := w.store.task(dep.Key)
		return w.store.waiters[dep.Key] == nil && w.store.pausedBy(o) == nil && o.row.State == dag.Ready && o.truth.ready == w.now && o.row.Lane() == t.row.Lane() && dep.Key < h.Task
	}):
		w.broken("task %d is handed over, and not one that was unlocked with it and submitted before", i)
	}
	delete(w.offers, after) // a second one finds none
}

// passed finds a task that is passed by one which is handed over: one that is ready, in the same pool, and more urgent, whatever
// made it ready; or as urgent, and it has waited since before. What waits for its keys is passed, and what is paused.
func (w *world) passed(t *task) bool {
	for _, tree := range w.store.trees {
		for i, o := range tree.tasks {
			if o.row.State == dag.Ready && w.store.waiters[o.row.Key] == nil && w.store.pausedBy(o) == nil && o.row.Pool == t.row.Pool && o.row.Priority < t.row.Priority {
				w.broken("task %d of priority %d is handed over while task %d of tree %d, of priority %d, is ready",
					t.row.Key.Index(), t.row.Priority, i, tree.key, o.row.Priority)
				return true
			}
		}
	}
	equal := func(r run) bool { return r.pool == t.row.Pool && r.priority == t.row.Priority }
	if slices.ContainsFunc(w.store.ready, func(r run) bool { return equal(r) && w.store.task(r.first).truth.ready < w.now }) ||
		slices.ContainsFunc(w.store.published, func(r run) bool {
			return equal(r) && r.sent < w.now-dag.DeliveryTime && w.store.untaken(r)
		}) {
		w.broken("task %d is handed over while older ones wait", t.row.Key.Index())
		return true
	}
	return false
}

// newsFor is what the sender of results hears of them.
func (s *store) newsFor(b *batch, handed []dag.Handover) news {
	var n news
	for _, r := range b.results {
		if !tokens.Valid(r.key.task, r.key.number, r.token) {
			continue // it was not looked at, and may be of an attempt whose result still comes
		}
		n.receipts = append(n.receipts, r.key)
		for _, h := range handed {
			if (attemptKey{h.After, h.AfterAttempt}) == r.key {
				row := s.task(h.Task).row
				n.handovers = append(n.handovers, handover{r.key, b.session, &message{lane: lane{row.Pool, row.Priority},
					key: attemptKey{h.Task, h.Attempt}, token: tokens.Of(h.Task, h.Attempt), repeatable: row.Flags&dag.FlagRepeatable != 0}})
			}
		}
	}
	return n
}

// missed hands back what was handed over to the session, unless it is known.
func (wk *worker) missed(s *session, g grant, out *todo) {
	a := wk.newAttempt(s, message{key: g.key, token: g.token})
	if wk.ledger.Accept(wk.w.time(), a, ledger.Key{}, ledger.Missed, out) == ledger.HandedBack {
		wk.w.report.Missed++
	}
}

// hear takes news. Called from the network.
func (wk *worker) hear(n news) {
	wk.reach(wk.life, func() {
		for _, h := range n.handovers { // first: receipts free the slots that were offered
			wk.accept(h)
		}
		wk.step(func(out *todo) {
			for _, k := range n.receipts {
				wk.ledger.Receipt(keyOf(k), out)
			}
		})
	})
}

// accept starts an attempt that was claimed for us, in the slot that was offered for it, or hands it back.
func (wk *worker) accept(h handover) {
	s := wk.session
	if h.session != s.name {
		return // an earlier session's go back when its lease ends
	}
	a := wk.newAttempt(s, *h.work)
	wk.step(func(out *todo) {
		why := ledger.Refusal(s.lease.Holds(wk.w.time()), wk.leaving)
		if wk.ledger.Accept(wk.w.time(), a, keyOf(h.after), why, out) == ledger.Accepted {
			wk.w.trace("handed over", wk.id, int(a.key().task.Tree())*1000+a.key().task.Index(), int(a.Key.Number))
		}
	})
}

// judgeSlots: at rest no slot is held.
func (w *world) judgeSlots() {
	for _, wk := range w.workers {
		for pool := range pools {
			if n := wk.ledger.Held(pool); n != 0 && wk.up {
				w.broken("worker %d holds %d slots of pool %d for nothing", wk.id-100, n, pool+1)
			}
		}
	}
}
