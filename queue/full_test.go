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
