package worker

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// A handover is the short way of a task to the worker whose result unlocked it: while nothing waits for its pool, a
// worker keeps the slot of a completed attempt until the receipt, which beats repeat, and offers it with the result. The coordinator may
// claim one of the unlocked tasks for it in the transaction that settles the result, and sends it along with the receipt.
// Everything else about the attempt is as after a claim. When the message gets lost, the answer to the next
// beat, which repeats the receipt, names the attempt too, and it is handed back; should that be lost as well, coordinators
// take back what beats do not list.

// mayOffer says when the attempt's slot is worth keeping for a task that it unlocks.
func (w *Worker) mayOffer(a *attempt) ledger.Offer {
	return ledger.MayOffer(a.work.Unlocks, a.pool.more.Load(), w.isDraining())
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
	a.keyed(h.Key)
	var got ledger.Acceptance
	out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) {
		got = l.Accept(time.Now(), a, keyOf(h.After), s.refusal(), out)
	})
	switch got {
	case ledger.Accepted:
		failpoint.Hit("worker.handed-over")
		w.metrics.handedOver.Add(context.Background(), 1, p.attrs)
	case ledger.Ignored:
		a.stop(nil)
	}
	w.do(&out)
}

// missed hands back an attempt that was handed over to this session, unless it is known. Its message may still come: it
// starts nothing, as the slot that it was for is given up by the receipt that follows.
func (s *session) missed(l *ledger.Ledger[*attempt], g *workerv1.Grant, out *todo) {
	if g.GetAttempt() == nil {
		return
	}
	a := s.newAttempt(s.w.pools[0], &workerv1.Work{Attempt: g.Attempt, Token: g.Token}, nil, time.Now())
	a.keyed(g.Key)
	l.Accept(time.Now(), a, ledger.Key{}, ledger.Missed, out)
	a.stop(nil)
}
