package queue_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/queue"
)

func TestConnectRefuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]queue.Config{
		"a worker's id with two dots":         {URL: "nats://127.0.0.1:1", Worker: "a.b.c"},
		"a worker's id with a dot at its end": {URL: "nats://127.0.0.1:1", Worker: "a."},
		"a worker's id with a star":           {URL: "nats://127.0.0.1:1", Worker: "*"},
		"a worker's id that is long":          {URL: "nats://127.0.0.1:1", Worker: strings.Repeat("x", 65)},
		"a prefix with a dot":                 {URL: "nats://127.0.0.1:1", Prefix: "a.b"},
		"a URL that is none":                  {URL: "nats://user:secret@127.0.0.1:port"},
		"no URL":                              {},
		"addresses that are empty":            {URL: " , "},
	} {
		_, err := queue.Connect(t.Context(), cfg)
		if err == nil {
			t.Errorf("%s: got no error", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}

func TestConnectGivesUpOnARefusedUser(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	began := time.Now()
	_, err := queue.Connect(h.context(), queue.Config{URL: "nats://w1:guess@" + h.server.Address(), Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), `user "w1" or its password is refused`) || strings.Contains(err.Error(), "guess") {
		t.Errorf("got %v, want that w1 is refused", err)
	}
	if took := time.Since(began); took < 4*time.Second { // a server that starts refuses everybody for a moment
		t.Errorf("gave up after %s", took)
	}
}

func TestConnectWaitsForTheServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cfg := queue.Config{URL: h.server.CoordinatorURL(), Logger: quiet}
	_, err := queue.Connect(ctx, cfg)
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "coordinator-secret") {
		t.Errorf("no server: got %v, want the context's error, without the password", err)
	}

	connected := make(chan *queue.Conn)
	later := h.context()
	go func() {
		c, err := queue.Connect(later, cfg)
		if err == nil {
			connected <- c
		}
	}()
	h.start()
	c := want(t, "connection", connected)
	if !c.Connected() {
		t.Error("connected: got false")
	}
	c.Close()
	if c.Connected() {
		t.Error("connected after close: got true")
	}
	c.Close() // again
}

// What is published while the server is away must fail, and not be kept for later.
func TestNothingIsBufferedWhileDisconnected(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c, w := h.coordinator("rest"), h.worker("w1")
	h.stop()
	eventually(t, "disconnected", func() bool { return !c.Connected() && !w.Connected() })
	ctx := h.context()
	for name, try := range map[string]func() error{
		"publish work":   func() error { return c.PublishWork(ctx, []queue.WorkMessage{{Pool: "rest"}}) },
		"tell":           func() error { return c.Tell("w1", nil) },
		"publish event":  func() error { return c.PublishEvent("ready", nil) },
		"ensure streams": func() error { return c.EnsureStreams(ctx) },
		"depth":          func() error { _, _, err := c.Depth(ctx, "rest", 0); return err },
		"send":           func() error { return w.Send(queue.Progress, nil) },
		"publish logs":   func() error { return w.PublishLogs(1, nil) },
		"results":        func() error { return w.PublishResults(ctx, nil) },
		"request":        func() error { _, err := w.Request(ctx, queue.Claim, nil); return err },
	} {
		began := time.Now()
		if err := try(); err == nil {
			t.Errorf("%s: got no error", name)
		}
		if took := time.Since(began); took > 4*time.Second { // less than what JetStream waits for an answer
			t.Errorf("%s: took %s to fail", name, took)
		}
	}
	h.start()
	want(t, "reconnection of the coordinator", c.Reconnected())
	want(t, "reconnection of the worker", w.Reconnected())
	must(t, w.PublishResults(ctx, nil))
}

// A request that is under way when the connection breaks fails then, not at its own deadline.
func TestBrokenConnectionEndsRequests(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c, w := h.coordinator(), h.worker("w1")
	arrived := make(chan struct{}, 100)
	go func() {
		_ = c.Serve(t.Context(), queue.Claim, func(string, []byte, func([]byte)) { arrived <- struct{}{} })
	}()
	failed := make(chan error)
	go func() {
		for {
			_, err := w.Request(h.context(), queue.Claim, nil)
			if !errors.Is(err, queue.ErrNoCoordinator) {
				failed <- err
				return
			}
		}
	}()
	want(t, "request", arrived)
	began := time.Now()
	h.stop()
	if err := want(t, "failure", failed); err == nil || time.Since(began) > patience/2 {
		t.Errorf("got %v after %s, want an error at once", err, time.Since(began))
	}
}

func TestClosedConnectionSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c, w := h.coordinator("rest"), h.worker("w1")
	ended := make(chan error)
	for _, run := range []func() error{
		func() error { return c.Serve(t.Context(), queue.Claim, func(string, []byte, func([]byte)) {}) },
		func() error { return c.ConsumeResults(t.Context(), 10, func(*queue.ResultMessage) {}) },
		func() error {
			return c.ReadLogs(t.Context(), queue.LogQuery{Tasks: []int64{1}, Follow: true}, func([]byte, uint64) error { return nil })
		},
		func() error { return w.News(t.Context(), func([]byte) {}) },
	} {
		go func() { ended <- run() }()
	}
	events, err := c.SubscribeEvents(t.Context(), "ready", 1)
	must(t, err)
	c.Close()
	w.Close()
	for range 4 {
		if err := want(t, "end", ended); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("got %v, want %v", err, queue.ErrClosed)
		}
	}
	for range events { // until it is closed
	}
	if err := c.PublishWork(t.Context(), []queue.WorkMessage{{Pool: "rest"}}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("publish: got %v, want %v", err, queue.ErrClosed)
	}
	if err := w.Send(queue.Progress, nil); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("send: got %v, want %v", err, queue.ErrClosed)
	}
}

// A server that accepts connections and never speaks must not hold Connect beyond its context for long.
func TestConnectEndsAtASilentServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = queue.Connect(ctx, queue.Config{URL: "nats://" + listener.Addr().String(), Logger: quiet})
	if err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %s, want an error within the dial timeout", err, time.Since(began))
	}
}
