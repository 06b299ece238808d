package ledger

import (
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Ask marks an attempt as asked for. It reports false when the attempt needs no answer any more.
func (l *Ledger[A]) Ask(now time.Time, a A) bool {
	e := a.Self()
	if e.phase == gone || e.phase == reported || e.claim == claimYes {
		return false
	}
	if e.claim = claimSent; e.asked.IsZero() {
		e.asked = now
	}
	return true
}

// Answer applies a coordinator's verdict to an attempt that was asked for. whyNot is why nothing may start now: what is
// granted all the same is handed back. Without a verdict it is to be asked for again.
func (l *Ledger[A]) Answer(now time.Time, a A, v dag.Verdict, whyNot Cause, todo *Todo[A]) {
	e := a.Self()
	switch {
	case e.phase == gone:
	case v == dag.Yes:
		e.claim, e.granted = claimYes, now
		todo.ack(e)
		l.granted(now, a, whyNot, todo)
	case v == dag.No:
		todo.ack(e)
		if e.phase == running { // started early: its slot is free when its work has stopped
			e.disowned = true
			e.claim = claimYes
			todo.stop(a, LeaseLost)
			return
		}
		l.remove(e, todo)
	default:
		todo.Again = append(todo.Again, a)
	}
}

// granted starts an attempt, or reports what can't start or has stopped.
func (l *Ledger[A]) granted(now time.Time, a A, whyNot Cause, todo *Todo[A]) {
	e := a.Self()
	switch {
	case e.phase == stopped:
		r := e.Result
		if e.cancelled {
			r.Outcome = dag.OutcomeCancelled
		}
		l.report(now, a, r, todo)
	case e.phase != waiting: // started early
	case e.cancelled:
		l.handBack(a, Cancelled, todo)
	case whyNot != None:
		l.handBack(a, whyNot, todo)
	case e.Session.ended:
		l.handBack(a, LeaseLost, todo)
	case e.holdsSlot:
		e.phase = running
		todo.Start = append(todo.Start, a)
	default:
		if !e.queued {
			l.queue(&l.lines[e.Pool].ready, a)
		}
		l.stepForward(e.Pool, todo)
	}
}

// Finish records that an attempt's work has stopped, with what is to be reported of it. What was never granted is given
// back, or waits for the answer to its claim. offer: if it was completed, its slot may wait for a task that it unlocks.
func (l *Ledger[A]) Finish(now time.Time, a A, r Result, offer Offer, todo *Todo[A]) {
	e := a.Self()
	if e.cancelled && r.Outcome != dag.OutcomeCancelled { // it was said while the result was being encoded
		r.Outcome = dag.OutcomeCancelled
	}
	granted := e.claim == claimYes
	switch {
	case e.phase == gone:
		return
	case e.disowned:
		l.remove(e, todo)
		return
	case granted:
	case r.Outcome == dag.OutcomeReturned && (e.claim == claimQueued || e.Session.ended):
		todo.giveBack(e)
		l.remove(e, todo)
		return
	case r.Outcome == dag.OutcomeReturned:
		e.phase, e.Result = stopped, r
		return
	case e.claim == claimQueued:
		e.claim = claimSkipped
	}
	if r.Ran > 0 {
		l.lines[e.Pool].pace.end(now, r.Ran)
	}
	r.Early = !granted
	r.Offer = l.offers(e, offer) && granted && r.Outcome == dag.OutcomeCompleted && !e.Session.ended
	l.report(now, a, r, todo)
}

// Keeps reports whether the attempt's result still waits for its receipt, and so is worth sending.
func (l *Ledger[A]) Keeps(a A) bool { return a.Self().phase == reported }

// Stored notes that a result is in RESULTS. It also answers the message of an attempt that was never granted.
func (l *Ledger[A]) Stored(now time.Time, a A, todo *Todo[A]) {
	e := a.Self()
	if e.claim != claimYes {
		todo.ack(e)
	}
	e.sending = false
	wait := l.limits.Resend << min(e.sends, 3)
	if e.sends++; e.sends > 3 {
		wait = 6 * l.limits.Resend
	}
	e.sendAfter = now.Add(wait)
}

// Overdue has the results reported again whose receipts have not come in time. They offer no slot any more.
func (l *Ledger[A]) Overdue(now time.Time, todo *Todo[A]) {
	if l.kept == 0 {
		return
	}
	for _, a := range l.attempts {
		e := a.Self()
		if e.phase == reported && !e.sending && now.After(e.sendAfter) {
			l.again(a, todo)
		}
	}
}

// Kept is the attempt of that key, if its result waits for its receipt.
func (l *Ledger[A]) Kept(k Key) (a A, ok bool) {
	if a, ok = l.attempts[k]; ok && a.Self().phase == reported {
		return a, true
	}
	var none A
	return none, false
}

// Again has a result reported once more, at once: a coordinator has asked for what it refers to. It offers no slot any more.
func (l *Ledger[A]) Again(a A, todo *Todo[A]) {
	if e := a.Self(); e.phase == reported && !e.sending {
		l.again(a, todo)
	}
}

// again has a result reported that is kept.
func (l *Ledger[A]) again(a A, todo *Todo[A]) {
	e := a.Self()
	e.sending = true
	l.endOffer(e, todo)
	e.Result.Offer = false
	todo.Report = append(todo.Report, a)
}

// Receipt forgets a result that is settled.
func (l *Ledger[A]) Receipt(k Key, todo *Todo[A]) {
	if a, ok := l.attempts[k]; ok && a.Self().phase == reported {
		l.remove(a.Self(), todo)
	}
}

// Cancel stops an attempt that was cancelled. One whose result is on its way needs nothing: that is its receipt.
func (l *Ledger[A]) Cancel(k Key, todo *Todo[A]) {
	a, ok := l.attempts[k]
	if !ok {
		return
	}
	e := a.Self()
	if e.cancelled || e.phase == reported {
		return
	}
	e.cancelled = true
	todo.stop(a, Cancelled)
	if e.phase == waiting && e.claim == claimYes { // in line
		l.handBack(a, Cancelled, todo)
	}
}
