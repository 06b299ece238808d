package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/queue"
)

func TestTakePrefersUrgentWork(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	publish(t, c, "rest", 3, numbered("low", 10)...)
	publish(t, c, "rest", 0, numbered("urgent", 10)...)
	publish(t, c, "rest", 2, numbered("normal", 10)...)

	taker := h.worker("w1").Taker("rest")
	for _, priority := range []int{0, 2, 3} {
		taken := take(t, taker, 10)
		if len(taken) != 10 {
			t.Fatalf("took %d, want 10", len(taken))
		}
		for _, d := range taken {
			if d.Priority != priority || d.Pool != "rest" || d.Delivered != 1 {
				t.Fatalf("took %+v, want priority %d", d, priority)
			}
		}
	}
}

func TestTakeGivesEveryTenthToLowPriorities(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	for priority := range 4 {
		publish(t, c, "rest", priority, numbered("", 100)...)
	}
	taker := h.worker("w1").Taker("rest")
	var got [4]int
	for range 90 {
		got[take(t, taker, 1)[0].Priority]++
	}
	if want := [4]int{81, 3, 3, 3}; got != want {
		t.Errorf("takes by priority: got %v, want %v", got, want)
	}
}

// TestWhatHadItsTurnIsNotPreferred: a task that passes others goes by the way of the next higher priority, and takes that prefer low ones don't let it wait: they are for
// those of which nothing was taken.
func TestWhatHadItsTurnIsNotPreferred(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	publish(t, c, "rest", 2, numbered("", 100)...)
	taker := h.worker("w1").Taker("rest")
	late := 0
	for i := range 40 {
		if i%2 == 0 {
			if got := take(t, taker, 1)[0].Priority; got != 2 {
				t.Fatalf("take %d: priority %d, want 2", i, got)
			}
			continue
		}
		publish(t, c, "rest", 1, "passes") // at each take that prefers low priorities, too
		if take(t, taker, 1)[0].Priority == 1 {
			continue
		}
		late++ // NATS may say a moment later that there is one: the next take has it, and one more keeps the order
		if first, second := take(t, taker, 1)[0].Priority, take(t, taker, 1)[0].Priority; first != 1 || second != 2 {
			t.Fatalf("after take %d: priorities %d and %d, want 1 and 2", i, first, second)
		}
	}
	if late > 2 { // four times or more if it were not preferred
		t.Errorf("%d of 20 had to wait for another one", late)
	}
}

func TestTakeWakesAnIdleWorker(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	taker := h.worker("w1").Taker("rest")
	for i := range 200 {
		publish(t, c, "rest", i%4, "one")
		if taken := take(t, taker, 1+i%3); len(taken) != 1 || taken[0].Priority != i%4 {
			t.Fatalf("took %+v, want one of priority %d", taken, i%4)
		}
	}
}

func TestTakeOfABacklogIsFull(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	publish(t, c, "rest", 2, numbered("", 3000)...)
	taker := h.worker("w1").Taker("rest")
	for range 3 {
		if taken := take(t, taker, 1000); len(taken) != 1000 {
			t.Fatalf("took %d, want 1000", len(taken))
		}
	}
}

func TestTakePassesHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	err := c.PublishWork(h.context(), []queue.WorkMessage{{
		Pool: "rest", Data: []byte("traced"), Header: map[string][]string{"Traceparent": {"00-1-2-01"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	d := take(t, h.worker("w1").Taker("rest"), 1)[0]
	if got := d.Header.Get("Traceparent"); got != "00-1-2-01" {
		t.Errorf("header: got %q", got)
	}
}

func TestNakGivesWorkToAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	publish(t, c, "rest", 1, "one")
	taken, err := h.worker("w1").Taker("rest").Take(h.context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	taken[0].Nak()
	if again := take(t, h.worker("w2").Taker("rest"), 1)[0]; again.Delivered != 2 {
		t.Errorf("delivered: got %d, want 2", again.Delivered)
	}
}

// Were anything kept by the worker that has no free slot, the other would wait for it until the ack wait of 30 s.
func TestFullWorkerKeepsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	full := h.worker("full").Taker("rest")
	publish(t, c, "rest", 2, "first")
	take(t, full, 1)

	other := h.worker("other").Taker("rest")
	for priority := range 4 {
		publish(t, c, "rest", priority, numbered("", 10)...)
	}
	takeAllOf(t, other, 40)
}

// takeAllOf takes n messages that need not differ.
func takeAllOf(t *testing.T, taker *queue.Taker, n int) {
	t.Helper()
	for n > 0 {
		n -= len(take(t, taker, n))
	}
}

func TestWorkerThatStaysAwayKeepsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	away := h.worker("away").Taker("rest")
	publish(t, c, "rest", 2, "first")
	take(t, away, 10) // nine free slots: its requests stand for a while

	for priority := range 4 {
		publish(t, c, "rest", priority, "one")
	}
	takeAllOf(t, h.worker("other").Taker("rest"), 4)
}

func TestEndedTakeKeepsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	gone := h.worker("gone").Taker("rest")
	publish(t, c, "rest", 2, "first")
	take(t, gone, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if taken, err := gone.Take(ctx, 10); !errors.Is(err, context.DeadlineExceeded) || taken != nil {
		t.Fatalf("take: got %v, %v, want the context's error", taken, err)
	}
	for priority := range 4 {
		publish(t, c, "rest", priority, "one")
	}
	takeAllOf(t, h.worker("other").Taker("rest"), 4)
}

func TestTakeEndsWhenClosed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.coordinator("rest")
	w := h.worker("w1")
	ended := make(chan error)
	go func() {
		_, err := w.Taker("rest").Take(t.Context(), 1)
		ended <- err
	}()
	w.Close()
	if err := want(t, "end of take", ended); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("take: got %v, want %v", err, queue.ErrClosed)
	}
}

func TestTakeRefusesToTakeNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if _, err := h.worker("w1").Taker("rest").Take(t.Context(), 0); err == nil {
		t.Error("take of 0: got no error")
	}
}

// Bursts of mixed priorities meet workers with few slots, which is where deliveries cross with requests that are given
// up. Whatever is mislaid comes back only after an hour, which is longer than the test waits.
func TestNothingIsMislaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.connect(queue.Config{Name: "coordinator", AckWait: time.Hour})
	must(t, c.EnsureStreams(h.context()))
	must(t, c.EnsurePools(h.context(), "rest"))
	const total = 4000
	ctx, cancel := context.WithCancel(h.context())
	defer cancel()
	var (
		mu   sync.Mutex
		seen = make(map[string]int, total)
		wg   sync.WaitGroup
	)
	for i, slots := range []int{1, 1, 2, 3, 5, 50} {
		taker := h.worker(fmt.Sprintf("w%d", i)).Taker("rest")
		wg.Go(func() {
			for {
				taken, err := taker.Take(ctx, 1+rand.IntN(slots))
				if err != nil {
					return
				}
				mu.Lock()
				for _, d := range taken {
					seen[string(d.Data)]++
					d.Ack()
				}
				done := len(seen) == total
				mu.Unlock()
				if done {
					cancel()
				}
				if rand.IntN(4) == 0 {
					time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond) // work, so that slots are scarce
				}
			}
		})
	}
	names := numbered("", total)
	for i := 0; i < total; {
		n := min(1+rand.IntN(40), total-i)
		var burst []queue.WorkMessage
		for _, name := range names[i : i+n] {
			burst = append(burst, queue.WorkMessage{Pool: "rest", Priority: rand.IntN(4), Data: []byte(name)})
		}
		if err := c.PublishWork(t.Context(), burst); err != nil {
			t.Fatal(err)
		}
		i += n
	}
	wg.Wait()
	if len(seen) != total {
		t.Fatalf("took %d messages of %d within %s", len(seen), total, patience)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("message %s was taken %d times, want once", name, n)
		}
	}
}
