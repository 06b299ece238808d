package queue_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/queue"
)

// What is deleted or broken while a worker waits: it must get the next message all the same.
func TestTakeSurvives(t *testing.T) {
	t.Parallel()
	faults := map[string]func(*house){
		"a deleted consumer": func(h *house) {
			must(h.t, h.vandal().DeleteConsumer(h.context(), "TG_WORK", "rest_p2"))
		},
		"all consumers deleted": func(h *house) {
			js := h.vandal()
			for _, consumer := range []string{"rest_p0", "rest_p1", "rest_p2", "rest_p3"} {
				must(h.t, js.DeleteConsumer(h.context(), "TG_WORK", consumer))
			}
		},
		"a deleted stream":   func(h *house) { must(h.t, h.vandal().DeleteStream(h.context(), "TG_WORK")) },
		"a restarted server": func(h *house) { h.restart() },
		"a server with no store": func(h *house) {
			h.stop()
			h.config.StoreDir = h.t.TempDir()
			h.start()
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			c := h.coordinator("rest")
			taker := h.worker("w1").Taker("rest")
			publish(t, c, "rest", 2, "before")
			take(t, taker, 1) // its requests at the other priorities stand

			taken := make(chan []*queue.WorkDelivery)
			go func() {
				for {
					work, err := taker.Take(t.Context(), 5)
					if err != nil {
						return
					}
					for _, d := range work {
						d.Ack()
					}
					select {
					case taken <- work:
					case <-t.Context().Done():
						return
					}
				}
			}()
			publish(t, c, "rest", 2, "waits")
			want(t, "message before the fault", taken)
			fault(h)
			eventually(t, "publish after the fault", func() bool {
				return c.PublishWork(t.Context(), []queue.WorkMessage{{Pool: "rest", Priority: 2, Data: []byte("after")}}) == nil
			})
			for { // an earlier message whose ack was lost may come again first
				work := want(t, "message after the fault", taken)
				if string(work[len(work)-1].Data) == "after" {
					return
				}
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The worker comes first, and the pool is made by the first message for it.
func TestTakeWaitsForAPoolToBeMade(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	taker := h.worker("w1").Taker("new")
	taken := make(chan []*queue.WorkDelivery)
	go func() {
		work, err := taker.Take(t.Context(), 5)
		if err == nil {
			taken <- work
		}
	}()
	c := h.coordinator()
	publish(t, c, "new", 1, "one")
	want(t, "message of the new pool", taken)
}

func TestStoredWorkSurvivesARestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	publish(t, c, "rest", 2, numbered("", 100)...)
	h.restart()
	if got := takeAll(t, h.worker("w1").Taker("rest"), 100); len(got) != 100 {
		t.Errorf("took %d, want 100", len(got))
	}
}

// Consumers that vanish while messages lie in WORK are made again without anybody publishing or asking.
func TestDeletedConsumersAreMadeAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	publish(t, c, "rest", 2, "one")
	must(t, h.vandal().DeleteConsumer(h.context(), "TG_WORK", "rest_p2"))
	take(t, h.worker("w1").Taker("rest"), 1)
}
