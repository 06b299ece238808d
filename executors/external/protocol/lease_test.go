package protocol

import (
	"sync"
	"testing"
	"time"
)

// unlimited is a lease without end.
type unlimited struct{}

func (*unlimited) Until() time.Time         { return time.Time{} }
func (*unlimited) Changed() <-chan struct{} { return nil }

// TestAnAttemptMayBeginWhileTheProcessEnds is the race detector's to judge.
func TestAnAttemptMayBeginWhileTheProcessEnds(t *testing.T) {
	for range 500 {
		var both sync.WaitGroup
		tenure := newTenure()
		both.Go(func() { tenure.enter(&unlimited{}) })
		both.Go(tenure.end)
		both.Wait()
	}
}
