package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/queue"
)

// consume passes on what ConsumeResults delivers, until the test ends.
func consume(t *testing.T, c *queue.Conn, maxPending int) <-chan *queue.ResultMessage {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	arrived := make(chan *queue.ResultMessage, 10000)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.ConsumeResults(ctx, maxPending, func(m *queue.ResultMessage) { arrived <- m }); !errors.Is(err, context.Canceled) {
			t.Errorf("consume results: got %v, want the context's error", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return arrived
}

func TestResultsArrive(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	arrived := consume(t, h.coordinator(), 10)
	for _, worker := range []string{"w1", "w2"} {
		must(t, h.worker(worker).PublishResults(h.context(), []byte("of "+worker)))
		m := want(t, "result", arrived)
		if m.Worker != worker || string(m.Data) != "of "+worker || m.Redelivered {
			t.Errorf("got %+v, want the first delivery of %s's", m, worker)
		}
		m.Ack()
	}
}

func TestNakedResultComesAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	arrived := consume(t, h.coordinator(), 10)
	must(t, h.worker("w1").PublishResults(h.context(), []byte("one")))
	began := time.Now()
	want(t, "result", arrived).Nak(100 * time.Millisecond)
	m := want(t, "result again", arrived)
	if !m.Redelivered || time.Since(began) < 100*time.Millisecond {
		t.Errorf("got %+v after %s, want a redelivery after the delay", m, time.Since(began))
	}
	m.Ack()
}

func TestConsumeResultsIsBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	w := h.worker("w1")
	const total, bound = 200, 7
	for range total {
		must(t, w.PublishResults(h.context(), []byte("one")))
	}
	var unacked, most atomic.Int64
	arrived := make(chan *queue.ResultMessage, total)
	ctx, cancel := context.WithCancel(h.context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = c.ConsumeResults(ctx, bound, func(m *queue.ResultMessage) {
			most.Store(max(most.Load(), unacked.Add(1)))
			arrived <- m
		})
	})
	for range total {
		m := want(t, "result", arrived)
		unacked.Add(-1)
		m.Ack()
		m.Ack() // must not count twice
	}
	cancel()
	wg.Wait()
	if most.Load() > bound {
		t.Errorf("unacked at most: got %d, want %d", most.Load(), bound)
	}
}

func TestCoordinatorsShareResults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first, second := consume(t, h.coordinator(), 2), consume(t, h.coordinator(), 2)
	w := h.worker("w1")
	for range 4 {
		must(t, w.PublishResults(h.context(), []byte("one")))
	}
	// Two fit in each: all four arrive only if both get some.
	for range 2 {
		want(t, "result at the first", first)
		want(t, "result at the second", second)
	}
}

func TestConsumeResultsSurvives(t *testing.T) {
	t.Parallel()
	faults := map[string]func(*house){
		"a deleted consumer": func(h *house) {
			must(h.t, h.vandal().DeleteConsumer(h.context(), "TG_RESULTS", "coordinators"))
		},
		"a deleted stream":   func(h *house) { must(h.t, h.vandal().DeleteStream(h.context(), "TG_RESULTS")) },
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
			arrived := consume(t, h.coordinator(), 10)
			w := h.worker("w1")
			must(t, w.PublishResults(h.context(), []byte("before")))
			want(t, "result before the fault", arrived).Ack()
			fault(h)
			eventually(t, "publish after the fault", func() bool {
				return w.PublishResults(h.context(), []byte("after")) == nil
			})
			for { // what was unacked may come again first
				m := want(t, "result after the fault", arrived)
				m.Ack()
				if string(m.Data) == "after" {
					return
				}
			}
		})
	}
}

func TestResultsEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	w := h.worker("w1")
	var first time.Time
	check := func(what string, wantLast, wantSettled uint64) {
		t.Helper()
		eventually(t, what, func() bool {
			last, settled, created, err := c.ResultsEnd(h.context())
			first = created
			return err == nil && last == wantLast && settled == wantSettled
		})
	}
	check("empty", 0, 0)
	for range 3 {
		must(t, w.PublishResults(h.context(), []byte("one")))
	}
	check("nothing acked", 3, 0)
	arrived := consume(t, c, 10)
	m1, m2, m3 := want(t, "1", arrived), want(t, "2", arrived), want(t, "3", arrived)
	m2.Ack()
	check("the second acked", 3, 0)
	m1.Ack()
	check("the first two acked", 3, 2)
	m3.Ack()
	check("all acked", 3, 3)

	must(t, h.vandal().DeleteStream(h.context(), "TG_RESULTS"))
	eventually(t, "made again", func() bool {
		last, settled, again, err := c.ResultsEnd(h.context())
		return err == nil && again.After(first) && last <= 1 && settled == last // 1: the probe of whoever made it
	})
}

// Coordinators before 0.3 give the consumer a filter; both may run at the same time.
func TestResultsConsumerOfOlderVersionsIsUpdated(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	older := jetstream.ConsumerConfig{
		Durable: "coordinators", FilterSubject: "tg.result.>", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
		MaxDeliver: -1, MaxAckPending: 1 << 20, MaxWaiting: 1 << 16,
	}
	js, w, arrived := h.vandal(), h.worker("w1"), consume(t, c, 10)
	for round := range 3 {
		is, err := js.UpdateConsumer(h.context(), "TG_RESULTS", older)
		must(t, err)
		for _, data := range []string{"filtered", "not filtered"} {
			must(t, w.PublishResults(h.context(), []byte(fmt.Sprint(round, data))))
			m := want(t, data, arrived)
			if got := string(m.Data); got != fmt.Sprint(round, data) {
				t.Errorf("got %q", got)
			}
			m.Ack()
			must(t, c.EnsureStreams(h.context()))
		}
		if now, err := is.Info(h.context()); err != nil || now.Config.FilterSubject != "" {
			t.Errorf("filter: got %q, %v", now.Config.FilterSubject, err)
		}
	}
}

// TestResultsStayWithTheLiving holds a result for longer than its ack wait: it stays with its coordinator while that lives, and
// goes to another one when it loses NATS.
func TestResultsStayWithTheLiving(t *testing.T) {
	t.Parallel()
	const wait = 2 * time.Second
	h := newHouse(t)
	holder, other := h.connect(queue.Config{AckWait: wait}), h.connect(queue.Config{AckWait: wait})
	must(t, holder.EnsureStreams(h.context()))
	held := make(chan *queue.ResultMessage, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- holder.ConsumeResults(context.Background(), 1, func(m *queue.ResultMessage) { held <- m })
	}()
	must(t, h.worker("w1").PublishResults(h.context(), []byte("one")))
	want(t, "result", held)
	arrived := consume(t, other, 10)
	select {
	case m := <-arrived:
		t.Errorf("got %q, which its coordinator still had in hand", m.Data)
	case <-time.After(2 * wait):
	}
	holder.Close()
	if err := <-ended; !errors.Is(err, queue.ErrClosed) {
		t.Errorf("consume results: got %v, want %v", err, queue.ErrClosed)
	}
	m := want(t, "result of the one that has gone", arrived)
	if !m.Redelivered {
		t.Error("it counts as delivered for the first time")
	}
	m.Ack()
}
