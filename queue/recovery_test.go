package queue_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

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

// A request that the server loses is sent again: here the test is the server's JetStream, and answers only the second.
func TestALostRequestIsSentAgain(t *testing.T) {
	t.Parallel()
	plain, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	must(t, err)
	plain.Start()
	t.Cleanup(plain.Shutdown)
	if !plain.ReadyForConnections(patience) {
		t.Fatal("the server did not start")
	}
	h := &house{t: t}
	var asked atomic.Int32
	_, err = h.raw(plain.ClientURL()).Conn().Subscribe("$JS.API.STREAM.INFO.>", func(m *nats.Msg) {
		if asked.Add(1) > 1 {
			_ = m.Respond([]byte(`{"error":{"code":500,"err_code":10999,"description":"seen twice"}}`))
		}
	})
	must(t, err)
	c := h.connect(queue.Config{Name: "coordinator", URL: plain.ClientURL()})
	if err := c.EnsureStreams(h.context()); err == nil || !strings.Contains(err.Error(), "seen twice") {
		t.Errorf("%v, want the answer to the second request", err)
	}
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

// Whoever subscribes while the server is away hears events once it is back: a coordinator that starts just then does not end by it.
func TestSubscriptionsWaitForTheServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	h.stop()
	subscribed := make(chan (<-chan []byte))
	go func() {
		events, err := c.SubscribeEvents(h.context(), "ready", 1)
		if err != nil {
			t.Error(err)
		}
		subscribed <- events
	}()
	select {
	case <-subscribed:
		t.Error("it is subscribed at a server that is away")
	case <-time.After(time.Second):
	}
	h.start()
	events := <-subscribed
	must(t, c.PublishEvent("ready", []byte("now")))
	if got := want(t, "event", events); string(got) != "now" {
		t.Errorf("got %q", got)
	}
}
