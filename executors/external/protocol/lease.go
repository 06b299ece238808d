package protocol

import (
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// tenure is how long a process may run: as long as every lease of its attempts lasts, and without attempts as long as the last of them.
// So neither the beginning nor the end of an attempt need be told to the guardian as long as the lease is the same.
// It implements guardian.Lease.
type tenure struct {
	stop chan struct{} // closed at the process's end

	mu      sync.Mutex
	held    []*holding // by running attempts, and the last one
	changed chan struct{}
	ended   bool
	watches sync.WaitGroup // gets nobody more once it has ended
}

// holding is one lease, and how many attempts run under it.
type holding struct {
	lease executors.Lease
	count int
	gone  chan struct{} // closed when it is dropped
}

func newTenure() *tenure {
	return &tenure{stop: make(chan struct{}), changed: make(chan struct{})}
}

// Until is the end of the lease that ends first; zero: there is none, or none ends.
func (t *tenure) Until() (first time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.held {
		if until := h.lease.Until(); !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}

// Changed is closed when Until may have changed.
func (t *tenure) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// enter adds an attempt that runs under the lease.
func (t *tenure) enter(lease executors.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.held, func(h *holding) bool { return h.lease == lease }); i >= 0 {
		t.held[i].count++
		return
	}
	h := &holding{lease: lease, count: 1, gone: make(chan struct{})}
	t.held = append(t.held, h)
	t.dropUnused()
	t.bump()
	if !t.ended { // an attempt may begin while the process ends
		t.watches.Go(func() { t.follow(h) })
	}
}

// leave takes an attempt away.
func (t *tenure) leave(lease executors.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.held {
		if h.lease == lease {
			h.count--
		}
	}
	if t.dropUnused() {
		t.bump()
	}
}

// dropUnused forgets leases without attempts, but not the last one. It reports whether there was one.
func (t *tenure) dropUnused() (dropped bool) {
	for i := 0; i < len(t.held) && len(t.held) > 1; {
		if t.held[i].count > 0 {
			i++
			continue
		}
		close(t.held[i].gone)
		t.held = slices.Delete(t.held, i, i+1)
		dropped = true
	}
	return dropped
}

func (t *tenure) bump() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// follow hands on the extensions of a lease until it is dropped or the process has ended.
func (t *tenure) follow(h *holding) {
	for {
		extended := h.lease.Changed()
		t.mu.Lock()
		t.bump()
		t.mu.Unlock()
		select {
		case <-extended:
		case <-h.gone:
			return
		case <-t.stop:
			return
		}
	}
}

// end waits for the goroutines.
func (t *tenure) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	close(t.stop)
	t.watches.Wait()
}
