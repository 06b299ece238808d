package queue

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// A worker logs in while the server shuts down: the race detector fails this if the group is a bare WaitGroup.
func TestAGroupMayEndWhileOthersStart(t *testing.T) {
	t.Parallel()
	for range 200 {
		var g group
		var running atomic.Int32
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				running.Add(1)
				if err := g.start(func() { running.Add(-1) }); err != nil {
					running.Add(-1)
					if !errors.Is(err, ErrClosed) {
						t.Errorf("start: %v", err)
					}
				}
			})
		}
		g.end()
		callers.Wait()
		if err := g.start(func() { t.Error("ran after the end") }); !errors.Is(err, ErrClosed) {
			t.Errorf("start after the end: got %v", err)
		}
		if n := running.Load(); n != 0 {
			t.Errorf("%d still run after the end", n)
		}
	}
}
