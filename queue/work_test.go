package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/queue"
)

func TestPublishWorkStoresAllOfALargeBatch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	var wg sync.WaitGroup
	for range 4 { // together more than the window of unacknowledged messages
		wg.Go(func() { publish(t, c, "rest", 1, numbered("", 5000)...) })
	}
	wg.Wait()
	messages, _, err := c.Depth(h.context(), "rest", 1)
	if err != nil || messages != 20000 {
		t.Errorf("depth: got %d, %v, want 20000", messages, err)
	}
}

func TestPublishWorkMakesTheStreamAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	js := h.vandal()
	for i := range 5 {
		must(t, js.DeleteStream(h.context(), "TG_WORK"))
		publish(t, c, "rest", 2, fmt.Sprint(i))
	}
	// The message of the last round at least is there; those before may have gone with their stream.
	taker := h.worker("w1").Taker("rest")
	for string(take(t, taker, 1)[0].Data) != "4" {
	}
}

func TestPublishWorkRefuses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	cases := map[string]queue.WorkMessage{
		"a pool that is no token":   {Pool: "a.b", Priority: 1},
		"no pool":                   {Priority: 1},
		"a priority above the last": {Pool: "rest", Priority: 4},
		"a negative priority":       {Pool: "rest", Priority: -1},
		"more than the payload":     {Pool: "rest", Data: make([]byte, c.MaxPayload()+1)},
	}
	for name, message := range cases {
		if err := c.PublishWork(h.context(), []queue.WorkMessage{message}); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if err := c.PublishWork(h.context(), nil); err != nil {
		t.Errorf("no messages: got %v", err)
	}
}

func TestPublishWorkEndsWithTheContext(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.PublishWork(ctx, []queue.WorkMessage{{Pool: "rest", Data: []byte("x")}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("publish: got %v, want %v", err, context.Canceled)
	}
}

func TestDepthTellsTheOldest(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	depth := func() (int, time.Time) {
		t.Helper()
		messages, oldest, err := c.Depth(h.context(), "rest", 2)
		if err != nil {
			t.Fatal(err)
		}
		return messages, oldest
	}
	if messages, oldest := depth(); messages != 0 || !oldest.IsZero() {
		t.Errorf("empty: got %d since %v", messages, oldest)
	}
	publish(t, c, "rest", 1, "another priority")
	began := time.Now()
	publish(t, c, "rest", 2, "first")
	between := time.Now()
	publish(t, c, "rest", 2, "second", "third")
	if messages, oldest := depth(); messages != 3 || oldest.Before(began) || oldest.After(between) {
		t.Errorf("three: got %d since %v, want one published from %v to %v", messages, oldest, began, between)
	}

	taken, err := h.worker("w1").Taker("rest").Take(h.context(), 2) // the one of priority 1
	if err != nil || len(taken) != 1 {
		t.Fatalf("take: got %d, %v", len(taken), err)
	}
	taker := h.worker("w2").Taker("rest")
	taken, err = taker.Take(h.context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if messages, oldest := depth(); messages != 3 || oldest.After(between) {
		t.Errorf("one delivered: got %d since %v, want it still to count", messages, oldest)
	}
	taken[0].Ack()
	eventually(t, "oldest is the second", func() bool {
		messages, oldest := depth()
		return messages == 2 && oldest.After(between)
	})

	must(t, h.vandal().DeleteStream(h.context(), "TG_WORK"))
	if messages, oldest := depth(); messages != 0 || !oldest.IsZero() {
		t.Errorf("deleted stream: got %d since %v", messages, oldest)
	}
}

func TestEnsureIsSafeFromManyAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var wg sync.WaitGroup
	for range 4 {
		c := h.connect(queue.Config{Name: "coordinator"})
		wg.Go(func() {
			for range 3 {
				if err := c.EnsureStreams(t.Context()); err != nil {
					t.Errorf("ensure streams: %v", err)
				}
				if err := c.EnsurePools(t.Context(), "rest"); err != nil {
					t.Errorf("ensure pool: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// A server's own bound is 1000 consumers of a stream: 250 pools. A look at pools that are there makes nothing, however
// many they are, and what is missing among them is made.
func TestManyPools(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	pools := numbered("p", 260)
	long, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	must(t, c.EnsurePools(long, pools...))
	c.Close() // it would make again what is deleted
	js := h.vandal()
	must(t, js.DeleteConsumer(h.context(), "TG_WORK", "p7_p2"))
	requests := func() uint64 {
		account, err := js.AccountInfo(h.context())
		must(t, err)
		return account.API.Total
	}
	other := h.connect(queue.Config{Name: "other"})
	before := requests()
	must(t, other.EnsurePools(h.context(), pools...))
	if n := requests() - before; n == 0 || n > 20 { // five pages of consumers, one that is made
		t.Errorf("a look at %d pools took %d requests", len(pools), n)
	}
	_, err := js.Consumer(h.context(), "TG_WORK", "p7_p2")
	must(t, err)
}

func TestPrefixesKeepInstallationsApart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.server.Shutdown()
	h.config.Prefix = "other"
	h.start()
	c := h.connect(queue.Config{Prefix: "other"})
	must(t, c.EnsureStreams(h.context()))
	publish(t, c, "rest", 0, "one")
	take(t, h.connect(queue.Config{Worker: "w1", Prefix: "other"}).Taker("rest"), 1)

	// The server gives no answer to what it forbids.
	stranger := h.connect(queue.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := stranger.EnsureStreams(ctx); err == nil {
		t.Error("streams of another prefix: got no error")
	}
}
