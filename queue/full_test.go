package queue_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/queue"
)

func TestFullResultsRefuseAndLoseNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.connect(queue.Config{Name: "coordinator", QueueBytes: 64 << 10, ResultsBytes: 1})
	must(t, c.EnsureStreams(h.context()))
	w := h.worker("w1")
	large := make([]byte, 10<<10)
	stored := 0
	for w.PublishResults(h.context(), large) == nil {
		if stored++; stored > 100 {
			t.Fatal("a hundred were stored: there is no bound")
		}
	}
	arrived := consume(t, c, 10)
	for range stored {
		m := want(t, "a result that was taken", arrived)
		if len(m.Data) != len(large) {
			t.Errorf("got %d bytes, want %d", len(m.Data), len(large))
		}
		m.Ack()
	}
	eventually(t, "there is room again", func() bool { return w.PublishResults(h.context(), large) == nil })
}

// TestLogsFitIntoASmallServer: with less room than the streams' bounds, each is made all the same, and LOGS has a bound by which old lines go.
func TestLogsFitIntoASmallServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.stop()
	h.config.MaxStoreBytes = 100 << 20
	h.start()
	c := h.connect(queue.Config{Name: "coordinator"})
	for range 2 { // the second look tries to give it all
		must(t, c.EnsureStreams(h.context()))
		s, err := h.vandal().Stream(h.context(), "TG_LOGS")
		must(t, err)
		if got := s.CachedInfo().Config.MaxBytes; got != 64<<20 {
			t.Errorf("LOGS is bound to %d bytes, want 64 MiB", got)
		}
	}
}
