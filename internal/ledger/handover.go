package ledger

import "time"

// MayOffer reports whether a slot is worth keeping for a task that an attempt unlocks: the attempt may unlock one, nothing
// else waits for the slot, and the worker goes on.
func MayOffer(unlocks, crowded, draining bool) bool { return unlocks && !crowded && !draining }

// Acceptance says what becomes of a handover.
type Acceptance uint8

// What may become of a handover.
const (
	Accepted   Acceptance = iota
	HandedBack            // it can't start, and is reported
	Ignored               // it is known already, or nobody's
)

// Accept enters an attempt that a coordinator claimed for the session, in the slot that the result of after offers.
// whyNot is why it can't start.
func (l *Ledger[A]) Accept(now time.Time, a A, after Key, whyNot Cause, todo *Todo[A]) Acceptance {
	e := a.Self()
	if _, known := l.attempts[e.Key]; known || e.Session.ended {
		return Ignored
	}
	l.attempts[e.Key] = a
	e.claim, e.granted = claimYes, now
	offering, ok := l.attempts[after]
	if whyNot == None && (!ok || !offering.Self().offers || offering.Self().Pool != e.Pool) {
		whyNot = NoSlot
	}
	if whyNot != None {
		l.handBack(a, whyNot, todo)
		return HandedBack
	}
	from := offering.Self()
	e.asked = from.offered
	from.offers = false
	from.holdsSlot, e.holdsSlot = false, true // it passes on, and is never free in between
	e.phase = running
	todo.Start = append(todo.Start, a)
	return Accepted
}

// endOffer gives up a slot that nobody came for.
func (l *Ledger[A]) endOffer(e *Entry, todo *Todo[A]) {
	if e.offers {
		e.offers = false
		l.dropSlot(e, todo)
	}
}
