package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// A handover is the short way of a task to the worker whose result unlocked it: while nothing waits for its pool, a
// worker keeps the slot of a completed attempt until the receipt, which beats repeat, and offers it with the result. The coordinator may
// claim one of the unlocked tasks for it in the transaction that settles the result, and sends it along with the receipt.
// Everything else about the attempt is as after a claim. When the message gets lost, the answer to the next
// beat, which repeats the receipt, names the attempt too, and it is handed back; should that be lost as well, coordinators
// take back what beats do not list.

// ErrNoSlot is the error of an attempt that was handed over and handed back: the receipt was repeated by another way, and so
// its slot was free, before it came.
var ErrNoSlot = errors.New("the slot that was offered was given up before the answer came")

// mayOffer reports whether the attempt's slot is worth keeping for a task that it unlocks: one may be, and nothing else
// waits for the slot.
func (w *Worker) mayOffer(a *attempt) bool {
	return a.work.Unlocks && !a.pool.more.Load() && !w.isDraining()
}

// accept starts an attempt that a coordinator claimed for us. What is meant for an earlier session is left alone: that
// one's attempts go back when its lease ends.
func (w *Worker) accept(h *workerv1.Handover) {
	s := w.session.Load()
	if s == nil || h.Instance != s.instance || h.Work.GetAttempt() == nil {
		return
	}
	var p *pool
	for _, candidate := range w.pools {
		if candidate.name == h.Pool {
			p = candidate
		}
	}
	if p == nil {
		return
	}
	header := nats.Header{}
	for name, value := range h.Header {
		header.Set(name, value)
	}
	a := s.newAttempt(p, h.Work, header, time.Now())
	var whyNot error
	switch {
	case !s.lease.holds():
		whyNot = executors.ErrLeaseLost
	case w.isDraining():
		whyNot = executors.ErrDraining
	}
	switch w.ledger.accept(a, keyOf(h.After), whyNot) {
	case acceptStart:
		failpoint.Hit("worker.handed-over")
		w.metrics.handedOver.Add(context.Background(), 1, p.attrs)
		w.start(a)
	case acceptReport:
		w.results.add(a)
	case acceptForget:
		a.stop(nil)
	}
}

// ErrMissed is the error of an attempt that was handed over in a message that never came.
var ErrMissed = errors.New("the message that handed it over was lost")

// missed hands back attempts that were handed over to this session, of those that it does not know. Their messages may
// still come: they start nothing, as the slots that they were for are given up by the receipts that follow.
func (s *session) missed(grants []*workerv1.Grant) {
	for _, g := range grants {
		if g.GetAttempt() == nil {
			continue
		}
		a := s.newAttempt(s.w.pools[0], &workerv1.Work{Attempt: g.Attempt, Token: g.Token}, nil, time.Now())
		if s.w.ledger.accept(a, key{}, ErrMissed) == acceptReport {
			s.w.results.add(a)
		}
		a.stop(nil)
	}
}

// acceptance says what becomes of a handover.
type acceptance uint8

const (
	acceptStart  acceptance = iota
	acceptReport            // it is handed back
	acceptForget            // it is known already, or nobody's
)

// accept enters an attempt that was claimed for us, in the slot that the result of after offers. whyNot: it can't start.
func (l *ledger) accept(a *attempt, after key, whyNot error) acceptance {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attempts[a.key] != nil || a.session.ended {
		return acceptForget
	}
	l.attempts[a.key] = a
	a.claim = claimYes
	from := l.attempts[after]
	if whyNot == nil && (from == nil || !from.offers || from.pool != a.pool) {
		whyNot = ErrNoSlot
	}
	if whyNot != nil {
		l.report(a, a.unstarted(dag.OutcomeReturned, whyNot))
		return acceptReport
	}
	a.asked = from.offered
	from.offers = false
	from.holdsSlot, a.holdsSlot = false, true // it passes on, and is never free in between
	a.phase = running
	return acceptStart
}

// endOffer gives up a slot that nobody came for. The caller holds mu.
func (l *ledger) endOffer(a *attempt) {
	if a.offers {
		a.offers = false
		l.dropSlot(a)
	}
}
