package queue_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/queue"
)

// serve answers every request of the kind with the answer and the worker's id, and tells each on the channel.
func serve(t *testing.T, c *queue.Conn, kind queue.Kind, answer string) (served <-chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	requests := make(chan string, 10000)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.Serve(ctx, kind, func(worker string, data []byte, reply func([]byte)) {
			reply([]byte(answer + " " + worker))
			requests <- string(data)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("serve: got %v, want the context's error", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return requests, stop
}

// answered asks until somebody listens.
func answered(t *testing.T, h *house, w *queue.Conn, kind queue.Kind) string {
	t.Helper()
	var answer []byte
	eventually(t, "answer", func() bool {
		var err error
		if answer, err = w.Request(h.context(), kind, []byte("?")); err != nil && !errors.Is(err, queue.ErrNoCoordinator) {
			t.Fatal(err)
		}
		return err == nil
	})
	return string(answer)
}

func TestRequestIsAnswered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.worker("w1")
	if _, err := w.Request(h.context(), queue.Claim, nil); !errors.Is(err, queue.ErrNoCoordinator) {
		t.Errorf("nobody listens: got %v, want %v", err, queue.ErrNoCoordinator)
	}
	member := h.worker("g.w1")
	if _, err := member.Request(h.context(), queue.Claim, nil); !errors.Is(err, queue.ErrNoCoordinator) || !strings.Contains(err.Error(), "those before 0.9 do not hear members of groups") {
		t.Errorf("nobody hears a member of a group: got %v", err)
	}
	_, stop := serve(t, h.coordinator(), queue.Claim, "yes")
	if got := answered(t, h, w, queue.Claim); got != "yes w1" {
		t.Errorf("answer: got %q", got)
	}
	stop()
	if _, err := w.Request(h.context(), queue.Claim, nil); !errors.Is(err, queue.ErrNoCoordinator) {
		t.Errorf("stopped: got %v, want %v", err, queue.ErrNoCoordinator)
	}
}

func TestCoordinatorsShareRequests(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	serve(t, h.coordinator(), queue.Beat, "first")
	serve(t, h.coordinator(), queue.Beat, "second")
	w := h.worker("w1")
	answers := map[string]int{}
	for answers["first w1"] == 0 || answers["second w1"] == 0 {
		answers[answered(t, h, w, queue.Beat)]++
	}
}

func TestSendWantsNoAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	served, _ := serve(t, h.coordinator(), queue.Progress, "ignored")
	w := h.worker("w1")
	answered(t, h, w, queue.Progress) // it listens
	must(t, w.Send(queue.Progress, []byte("half")))
	for want(t, "progress", served) != "half" {
	}
}

func TestRequestEndsWithTheContext(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_ = c.Serve(t.Context(), queue.Chunk, func(string, []byte, func([]byte)) { cancel() }) // and no answer
	}()
	w := h.worker("w1")
	eventually(t, "a listener", func() bool {
		_, err := w.Request(ctx, queue.Chunk, nil)
		return errors.Is(err, context.Canceled)
	})
}

func TestNewsReachOneWorker(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	heard := make(map[string]chan string)
	for _, id := range []string{"w1", "w2"} {
		w, news := h.worker(id), make(chan string, 1000)
		heard[id] = news
		go func() { _ = w.News(t.Context(), func(data []byte) { news <- string(data) }) }()
	}
	for id, news := range heard {
		eventually(t, "news of "+id, func() bool {
			must(t, c.Tell(id, []byte("for "+id)))
			return len(news) > 0
		})
	}
	for id, news := range heard {
		for range len(news) {
			if got := <-news; got != "for "+id {
				t.Errorf("news of %s: got %q", id, got)
			}
		}
	}
	if err := c.Tell("a.b.c", nil); err == nil {
		t.Error("tell to no id: got no error")
	}
}

func TestLargeRequestsAreRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.worker("w1")
	large := []byte(strings.Repeat("x", w.MaxPayload()+1))
	if _, err := w.Request(h.context(), queue.Chunk, large); err == nil {
		t.Error("request beyond the payload: got no error")
	}
}
