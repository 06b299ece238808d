package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// ledger holds every attempt that the worker knows of, and decides each of their steps:
//
//	waiting ─yes─▶ running ─result─▶ reported ─receipt─▶ gone
//	   │              ▲  └─interrupted before the claim's answer─▶ stopped ─yes─▶ reported
//	   │              └─ at once, when repeatable and delivered for the first time
//	   └─no, fence, drain─▶ gone
//
// Its methods return what is to be done outside the lock. Safe for concurrent use.
type ledger struct {
	maxKept, maxKeptBytes int
	pools                 []*pool
	changed               chan struct{} // capacity 1: nothing may be in hand any more, or nothing kept

	mu        sync.Mutex
	attempts  map[key]*attempt
	inHand    int // attempts that hold a slot
	kept      int // results without receipt
	keptBytes int
}

func newLedger(maxKept, maxKeptBytes int, pools []*pool) *ledger {
	return &ledger{
		maxKept: maxKept, maxKeptBytes: maxKeptBytes, pools: pools,
		changed: make(chan struct{}, 1), attempts: map[key]*attempt{},
	}
}

// full reports whether too many results wait for receipts to take more work. The caller holds mu.
func (l *ledger) full() bool { return l.kept >= l.maxKept || l.keptBytes >= l.maxKeptBytes }

// hasRoom reports whether more work may be taken; the pools are nudged when it becomes true.
func (l *ledger) hasRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.full()
}

func (l *ledger) nudge() { signal(l.changed) }

// counts are how many attempts hold slots and how many results, of how many bytes, wait for receipts.
func (l *ledger) counts() (inHand, kept, keptBytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inHand, l.kept, l.keptBytes
}

// dropSlot ends an attempt's hold on its slot. The caller holds mu.
func (l *ledger) dropSlot(a *attempt) {
	if !a.holdsSlot {
		return
	}
	a.holdsSlot = false
	a.pool.release()
	if l.inHand--; l.inHand == 0 {
		l.nudge()
	}
}

// remove forgets an attempt. The caller holds mu.
func (l *ledger) remove(a *attempt) {
	if a.phase == gone {
		return
	}
	if a.phase == reported {
		full := l.full()
		l.keptBytes -= a.size()
		if l.kept--; l.kept == 0 {
			l.nudge()
		}
		if full && !l.full() {
			for _, p := range l.pools {
				p.nudge()
			}
		}
	}
	a.phase = gone
	delete(l.attempts, a.key)
	l.endOffer(a)
	l.dropSlot(a)
}

// answerMessage adds the attempt's message to those to be acknowledged, once. The caller holds mu.
func answerMessage(ack []*queue.WorkDelivery, a *attempt) []*queue.WorkDelivery {
	if a.delivery == nil {
		return ack
	}
	ack = append(ack, a.delivery)
	a.delivery = nil
	return ack
}

// report makes a result the attempt's last word and frees the slot, unless that is offered. What the executor was given
// is let go of: thousands of results may wait for their receipts. The caller holds mu.
func (l *ledger) report(a *attempt, r *workerv1.Result) {
	a.work.Inputs, a.work.Params, a.work.Schemas = nil, nil, nil
	a.result = r
	a.phase = reported
	a.sending = true
	l.kept++
	l.keptBytes += a.size()
	if r.Offer {
		a.offers, a.offered = true, time.Now()
		return
	}
	l.dropSlot(a)
}

// arrival says what becomes of a message that was taken.
type arrival uint8

const (
	arrivedNew   arrival = iota
	arrivedAgain         // known: acknowledge this copy
	arrivedTwin          // known and undecided: the same message once more; this delivery now stands for it
	arrivedAmiss         // in conflict with something that ends soon: leave it, it is delivered again after the ack wait
	arrivedLate          // the session is over: give it back
)

// take enters what arrived, in order. Each of batch holds a slot, or gives it back unless it is new.
func (l *ledger) take(s *session, batch []*attempt) []arrival {
	out := make([]arrival, len(batch))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range batch {
		l.inHand++
		a.holdsSlot = true
		old := l.attempts[a.key]
		switch {
		case s.ended:
			out[i] = arrivedLate
		case old == nil:
			l.attempts[a.key] = a
			if a.early {
				a.phase = running
			}
			continue
		case old.session != s && old.phase != reported || string(old.work.Token) != string(a.work.Token):
			out[i] = arrivedAmiss
		case old.claim == claimYes || old.phase == reported && !old.sending || a.delivery.Delivered == 1:
			out[i] = arrivedAgain // decided, or a republished copy: the first one stands for it until it is
		default:
			old.delivery = a.delivery
			out[i] = arrivedTwin
		}
		a.phase = gone
		l.dropSlot(a)
	}
	return out
}

// asking marks a batch as asked and leaves out those that need no answer any more.
func (l *ledger) asking(batch []*attempt) []*attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(batch, func(a *attempt) bool {
		if a.phase == gone || a.phase == reported || a.claim == claimYes {
			return true
		}
		if a.claim = claimSent; a.asked.IsZero() {
			a.asked = time.Now()
		}
		return false
	})
}

// answered is what follows from verdicts: messages to acknowledge, attempts to start, to report, and to ask for again.
type answered struct {
	ack                  []*queue.WorkDelivery
	start, report, again []*attempt
}

// answer applies a coordinator's verdicts to the attempts that were asked for. mayStart is false when the lease is
// over or the worker drains: what is granted all the same is handed back.
func (l *ledger) answer(batch []*attempt, verdicts []workerv1.Verdict, mayStart bool, whyNot error) answered {
	var out answered
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range batch {
		verdict := workerv1.Verdict_VERDICT_UNSPECIFIED
		if i < len(verdicts) {
			verdict = verdicts[i]
		}
		switch {
		case a.phase == gone:
		case verdict == workerv1.Verdict_VERDICT_YES:
			a.claim = claimYes
			out.ack = answerMessage(out.ack, a)
			switch {
			case a.phase == stopped:
				if a.cancelled {
					setEnd(a.result, dag.OutcomeCancelled)
				}
				l.report(a, a.result)
				out.report = append(out.report, a)
			case a.phase != waiting: // started early
			case a.cancelled:
				l.report(a, a.unstarted(dag.OutcomeCancelled, executors.ErrCancelled))
				out.report = append(out.report, a)
			case !mayStart || a.session.ended:
				l.report(a, a.unstarted(dag.OutcomeReturned, whyNot))
				out.report = append(out.report, a)
			default:
				a.phase = running
				out.start = append(out.start, a)
			}
		case verdict == workerv1.Verdict_VERDICT_NO:
			out.ack = answerMessage(out.ack, a)
			if a.phase == running { // started early: its slot is free when its work has stopped
				a.disowned = true
				a.claim = claimYes
				a.stop(executors.ErrLeaseLost)
				continue
			}
			l.remove(a)
		default:
			out.again = append(out.again, a)
		}
	}
	return out
}

// ending says what becomes of an attempt whose work has stopped.
type ending uint8

const (
	endReport ending = iota // hand the result to the reporter
	endForget
	endGiveBack // nobody granted it: another worker may have the message
	endWait     // the claim's answer decides
)

// finish records that an attempt's work has stopped, with what is to be reported of it.
// offer: when it was completed, its slot may wait for a task that it unlocks.
func (l *ledger) finish(a *attempt, r *workerv1.Result, offer bool) ending {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := endOf(r)
	if a.cancelled && end != dag.OutcomeCancelled { // it was said while the result was being encoded
		end = dag.OutcomeCancelled
		setEnd(r, end)
	}
	granted := a.claim == claimYes
	switch {
	case a.phase == gone:
		return endForget
	case a.disowned:
		l.remove(a)
		return endForget
	case granted:
	case end == dag.OutcomeReturned && (a.claim == claimQueued || a.session.ended):
		l.remove(a)
		return endGiveBack
	case end == dag.OutcomeReturned:
		a.phase, a.result = stopped, r
		return endWait
	case a.claim == claimQueued:
		a.claim = claimSkipped
	}
	r.Early = !granted
	r.Offer = offer && granted && end == dag.OutcomeCompleted && !a.session.ended
	l.report(a, r)
	return endReport
}

// stored notes that results are in RESULTS. It returns the attempts whose messages that result also answers.
func (l *ledger) stored(batch []*attempt, resend time.Duration) (ack []*queue.WorkDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, a := range batch {
		if a.claim != claimYes {
			ack = answerMessage(ack, a)
		}
		a.sending = false
		a.sendAfter = now.Add(resend << min(a.sends, 3))
		if a.sends++; a.sends > 3 {
			a.sendAfter = now.Add(6 * resend)
		}
	}
	return ack
}

// keepers leaves out the attempts whose receipts have come.
func (l *ledger) keepers(batch []*attempt) []*attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(batch, func(a *attempt) bool { return a.phase != reported })
}

// overdue are the results to send again.
func (l *ledger) overdue() []*attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == 0 {
		return nil
	}
	var out []*attempt
	now := time.Now()
	for _, a := range l.attempts {
		if a.phase == reported && !a.sending && now.After(a.sendAfter) {
			a.sending = true
			l.endOffer(a)
			a.result.Offer = false
			out = append(out, a)
		}
	}
	return out
}

// receipts forgets results that are settled.
func (l *ledger) receipts(settled []*workerv1.Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range settled {
		if a := l.attempts[keyOf(s)]; a != nil && a.phase == reported {
			l.remove(a)
		}
	}
}

// cancel stops attempts that were cancelled. One whose result is on its way needs nothing: that is its receipt.
func (l *ledger) cancel(cancelled []*workerv1.Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range cancelled {
		a := l.attempts[keyOf(c)]
		if a == nil || a.cancelled || a.phase == reported {
			continue
		}
		a.cancelled = true
		a.stop(executors.ErrCancelled)
	}
}

// disown stops and drops attempts that are no longer this session's. Only those count that the answered beat, or one
// before it, listed as ours: a claim may have been granted after the coordinator looked.
func (l *ledger) disown(s *session, beat uint64, disowned []*workerv1.Attempt) (stopped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range disowned {
		a := l.attempts[keyOf(d)]
		if a == nil || a.disowned || a.listedBy != s || a.listed > beat {
			continue
		}
		stopped++
		a.disowned = true
		if a.phase == running {
			a.stop(executors.ErrLeaseLost)
			continue
		}
		l.remove(a)
	}
	return stopped
}

// list fills a beat with what this session knows. Attempts of earlier sessions are nobody's; only their results count.
func (l *ledger) list(s *session, beat *workerv1.Beat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		switch {
		case a.phase == reported:
			beat.Reported = append(beat.Reported, a.work.Attempt)
		case a.session != s || a.disowned || a.claim == claimQueued && !a.early:
			continue
		case a.claim != claimYes:
			beat.Asked = append(beat.Asked, a.work.Attempt)
			continue
		default:
			beat.Running = append(beat.Running, a.work.Attempt)
		}
		if a.listedBy != s {
			a.listedBy, a.listed = s, beat.Number
		}
	}
}

// end closes a session: nothing of it starts any more, running attempts end with cause. It returns what is to be given
// back; a claim that may have been granted is not lost by that, since the next beat does not list it.
func (l *ledger) end(s *session, cause error) (giveBack []*queue.WorkDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.ended = true
	for _, a := range l.attempts {
		if a.session == s {
			l.endOffer(a)
		}
	}
	return l.interrupt(s, cause)
}

// stopAll interrupts what still runs at the end of a drain's grace. The session goes on.
func (l *ledger) stopAll(s *session, cause error) (giveBack []*queue.WorkDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.interrupt(s, cause)
}

// interrupt is the common part of end and stopAll. The caller holds mu.
func (l *ledger) interrupt(s *session, cause error) (giveBack []*queue.WorkDelivery) {
	for _, a := range l.attempts {
		if a.session != s {
			continue
		}
		switch a.phase {
		case running:
			a.stop(cause)
		case waiting, stopped:
			giveBack = append(giveBack, a.delivery)
			l.remove(a)
		}
	}
	return giveBack
}

// unasked removes the attempts that nobody was asked for yet, to be given back.
func (l *ledger) unasked(s *session) (giveBack []*queue.WorkDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		if a.session == s && a.phase == waiting && a.claim == claimQueued {
			giveBack = append(giveBack, a.delivery)
			l.remove(a)
		}
	}
	return giveBack
}

// await waits until the condition on (in hand, kept) holds, or ctx ends. One caller at a time.
func (l *ledger) await(ctx context.Context, holds func(inHand, kept int) bool) bool {
	for {
		if inHand, kept, _ := l.counts(); holds(inHand, kept) {
			return true
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
			return false
		}
	}
}

// stopEverything ends the contexts of all attempts, of any session.
func (l *ledger) stopEverything(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		a.stop(cause)
	}
}

// inHandIDs are ids of tasks that hold a slot, at most that many.
func (l *ledger) inHandIDs(most int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, a := range l.attempts {
		if a.holdsSlot && len(ids) < most {
			ids = append(ids, a.work.TaskId)
		}
	}
	return ids
}
