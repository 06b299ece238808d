package worker

import (
	"context"
	"sync"
	"time"
)

// lease is how long this instance may own attempts, counted on the process's monotonic clock from the sending of the
// beat that was answered: the coordinator's own count began later, so ours ends first. It implements
// [github.com/taskgrove/taskgrove/executors.Lease]. Safe for concurrent use.
type lease struct {
	grace   time.Duration // wanted between the fence and the end
	granted chan struct{} // closed at the first extension

	mu      sync.Mutex
	end     time.Time     // zero: never granted
	fence   time.Time     // when executors are told to stop
	over    bool          // the fence has fallen: nothing extends it any more
	refused int           // answers that granted nothing, before the first that did
	changed chan struct{} // closed and replaced at each extension
}

func newLease(grace time.Duration) *lease {
	return &lease{grace: grace, granted: make(chan struct{}), changed: make(chan struct{})}
}

// extend moves the end to sent+length, never backwards. It reports false when the lease is over, or would be: an
// answer that took so long grants nothing.
func (l *lease) extend(sent time.Time, length time.Duration) bool {
	end := sent.Add(length)
	fence := end.Add(-min(l.grace, length/2))
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.over || !fence.After(now) || l.expired(now) {
		return false
	}
	if l.end.IsZero() {
		close(l.granted)
	}
	if end.After(l.end) {
		l.end, l.fence = end, fence
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return true
}

// refusals is how many answers must refuse a lease that was never granted before it counts as over.
const refusals = 3

// refuse notes an answer that grants nothing. The lease of a new instance may have been granted and have ended before any
// answer came: it will never be extended, so that after a few refusals it is over, and another instance can begin.
func (l *lease) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.end.IsZero() {
		return
	}
	if l.refused++; l.refused == refusals {
		l.end = time.Now()
		l.fence = l.end
		close(l.granted)
	}
}

// expired reports whether a lease that was granted has reached its fence. The caller holds mu.
func (l *lease) expired(now time.Time) bool { return !l.end.IsZero() && !now.Before(l.fence) }

// Until is when the lease ends; the zero time before the first grant.
func (l *lease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Changed is closed at the next extension.
func (l *lease) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// holds reports whether work may start now. A process that was frozen may ask before its fence was noticed.
func (l *lease) holds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && !l.end.IsZero() && !l.expired(time.Now())
}

// watch returns true when the fence falls, and false when ctx ends first.
func (l *lease) watch(ctx context.Context) bool {
	select {
	case <-l.granted:
	case <-ctx.Done():
		return false
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.mu.Lock()
		left := time.Until(l.fence)
		l.over = left <= 0
		over := l.over
		l.mu.Unlock()
		if over {
			return true
		}
		// Extensions are not listened for: the timer finds them when it fires.
		timer.Reset(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
}
