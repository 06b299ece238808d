package worker

import (
	"context"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/internal/ledger"
)

// lease is the lease of a session, counted on the process's monotonic clock. It implements
// [github.com/taskgrove/taskgrove/executors.Lease]. Safe for concurrent use.
type lease struct {
	granted chan struct{} // closed at the first extension

	mu      sync.Mutex
	rule    ledger.Lease
	changed chan struct{} // closed and replaced at each extension
}

func newLease(grace time.Duration) *lease {
	return &lease{rule: ledger.Lease{Grace: grace}, granted: make(chan struct{}), changed: make(chan struct{})}
}

// extend moves the end to sent+length, never backwards. It reports false when the answer grants nothing.
func (l *lease) extend(sent time.Time, length time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.rule.Granted()
	ok, moved := l.rule.Extend(time.Now(), sent, length)
	if moved {
		if first {
			close(l.granted)
		}
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return ok
}

// refuse notes an answer that grants nothing.
func (l *lease) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rule.Refuse(time.Now()) {
		close(l.granted)
	}
}

// Until is when the lease ends; the zero time before the first grant.
func (l *lease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rule.Until()
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
	return l.rule.Holds(time.Now())
}

// look tells how long it is until the fence falls.
func (l *lease) look() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rule.Look(time.Now())
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
		left := l.look()
		if left <= 0 {
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
