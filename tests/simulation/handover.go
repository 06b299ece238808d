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
