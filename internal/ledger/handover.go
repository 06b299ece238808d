package ledger

import "time"

// Offer says when the slot of an attempt is worth keeping for a task that it unlocks.
type Offer uint8

// When a slot may be offered.
const (
	NoOffer    Offer = iota
	RoomyOffer       // while at most half of the pool's slots are held: others wait, and find slots
	AnyOffer
)

// MayOffer says when an attempt's slot may be offered: if it unlocks a task, and the worker goes on. crowded: others wait for slots.
func MayOffer(unlocks, crowded, draining bool) Offer {
	switch {
	case !unlocks || draining:
		return NoOffer
	case crowded:
		return RoomyOffer
	}
	return AnyOffer
}

// offers reports whether an attempt offers its slot when it ends, rather than give it to the next in line.
func (l *Ledger[A]) offers(e *Entry, offer Offer) bool {
	if l.lines[e.Pool].n > 0 || offer == NoOffer {
		return false
	}
	return offer == AnyOffer || 2*l.held[e.Pool] <= l.limits.Slots[e.Pool]
}

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
