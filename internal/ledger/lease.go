package ledger

import "time"

// Lease is how long a session may own attempts, counted from the sending of the beat that was answered: the coordinator's
// own count began later, so the worker's ends first.
type Lease struct {
	Grace time.Duration // wanted between the fence and the end; at most half of the lease

	end     time.Time // zero: never granted
	fence   time.Time // when executors are told to stop
	over    bool      // the fence has fallen: nothing extends it any more
	refused int       // answers that granted nothing, before the first that did
}

// Extend moves the end to sent+length, never backwards. ok is false when the lease is over, or would be: an answer that
// took so long grants nothing. moved reports whether the end is another one.
func (l *Lease) Extend(now, sent time.Time, length time.Duration) (ok, moved bool) {
	end := sent.Add(length)
	fence := end.Add(-min(l.Grace, length/2))
	if l.over || !fence.After(now) || l.expired(now) {
		return false, false
	}
	if !end.After(l.end) {
		return true, false
	}
	l.end, l.fence = end, fence
	return true, true
}

// refusals is how many answers must refuse a lease that was never granted before it counts as over.
const refusals = 3

// Refuse notes an answer that grants nothing. The lease of a new instance may have been granted and have ended before any
// answer came: it will never be extended, so that after a few refusals it is over, and another instance can begin. It
// reports whether it is over by that.
func (l *Lease) Refuse(now time.Time) bool {
	if l.Granted() {
		return false
	}
	if l.refused++; l.refused < refusals {
		return false
	}
	l.end, l.fence = now, now
	return true
}

// Granted reports whether the lease was ever granted, or has ended without.
func (l *Lease) Granted() bool { return !l.end.IsZero() }

// Until is when the lease ends; the zero time before the first grant.
func (l *Lease) Until() time.Time { return l.end }

// Fence is when executors are told to stop; the zero time before the first grant.
func (l *Lease) Fence() time.Time { return l.fence }

// expired reports whether a lease that was granted has reached its fence.
func (l *Lease) expired(now time.Time) bool { return l.Granted() && !now.Before(l.fence) }

// Holds reports whether work may start now. A process that was frozen may ask before its fence was noticed.
func (l *Lease) Holds(now time.Time) bool { return !l.over && l.Granted() && !l.expired(now) }

// Look tells how long it is until the fence falls. 0 or less: it has fallen, and the lease is over for good.
func (l *Lease) Look(now time.Time) time.Duration {
	left := l.fence.Sub(now)
	l.over = l.over || left <= 0
	return left
}
