package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/internal/porttest"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// house is a server with connections to it. All of it ends with the test.
type house struct {
	t      testing.TB
	server *natsserver.Server
	config natsserver.Config
}

func newHouse(t testing.TB) *house {
	t.Helper()
	return newHouseIn(t, t.TempDir())
}

func newHouseIn(t testing.TB, store string) *house {
	t.Helper()
	h := &house{t: t, config: natsserver.Config{
		StoreDir:            store,
		Port:                porttest.Port(t),
		CoordinatorPassword: "coordinator-secret",
		WorkerPassword:      "worker-secret",
		Logger:              quiet,
	}}
	h.start()
	t.Cleanup(func() { h.server.Shutdown() })
	return h
}

// quiet drops log lines: many tests break things on purpose.
var quiet = slog.New(slog.DiscardHandler)

func (h *house) start() {
	h.t.Helper()
	server, err := natsserver.Start(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = server
}

// restart stops the server and starts another one on the same store and port.
func (h *house) restart() {
	h.t.Helper()
	h.stop()
	h.start()
}

// stop stops the server; start brings one back on the same store and port.
func (h *house) stop() {
	h.t.Helper()
	h.server.Shutdown()
}

// vandal is a JetStream client with a coordinator's permissions, to delete things with.
func (h *house) vandal() jetstream.JetStream {
	h.t.Helper()
	return h.raw(h.server.CoordinatorURL())
}

func (h *house) raw(url string, options ...nats.Option) jetstream.JetStream {
	h.t.Helper()
	nc, err := nats.Connect(url, append(options, nats.MaxReconnects(-1))...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		h.t.Fatal(err)
	}
	return js
}

func (h *house) connect(cfg queue.Config) *queue.Conn {
	h.t.Helper()
	if cfg.URL == "" {
		cfg.URL = h.server.CoordinatorURL()
		if cfg.Worker != "" {
			cfg.URL = h.server.WorkerURL(cfg.Worker)
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := queue.Connect(ctx, cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// coordinator is a connection with streams and the pools made.
func (h *house) coordinator(pools ...string) *queue.Conn {
	h.t.Helper()
	c := h.connect(queue.Config{Name: "coordinator"})
	ctx := h.context()
	if err := c.EnsureStreams(ctx); err != nil {
		h.t.Fatal(err)
	}
	for _, pool := range pools {
		if err := c.EnsurePools(ctx, pool); err != nil {
			h.t.Fatal(err)
		}
	}
	return c
}

func (h *house) worker(id string) *queue.Conn {
	h.t.Helper()
	return h.connect(queue.Config{Name: id, Worker: id})
}

// context ends with the test, or when patience does.
func (h *house) context() context.Context {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	h.t.Cleanup(cancel)
	return ctx
}

// publish offers messages of one priority, whose data are the names given.
func publish(t testing.TB, c *queue.Conn, pool string, priority int, data ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	messages := make([]queue.WorkMessage, len(data))
	for i, d := range data {
		messages[i] = queue.WorkMessage{Pool: pool, Priority: priority, Data: []byte(d)}
	}
	if err := c.PublishWork(ctx, messages); err != nil {
		t.Fatal(err)
	}
}

// numbered are n names with the prefix.
func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}

// take takes once and acks.
func take(t testing.TB, taker *queue.Taker, most int) []*queue.WorkDelivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	taken, err := taker.Take(ctx, most)
	if err != nil {
		t.Fatalf("take up to %d: %v", most, err)
	}
	for _, d := range taken {
		d.Ack()
	}
	return taken
}

// takeAll takes until it has n messages, by their data, and acks them.
func takeAll(t testing.TB, taker *queue.Taker, n int) map[string]*queue.WorkDelivery {
	t.Helper()
	got := make(map[string]*queue.WorkDelivery, n)
	for len(got) < n {
		for _, d := range take(t, taker, n) {
			got[string(d.Data)] = d
		}
	}
	return got
}

// want receives from the channel or fails the test.
func want[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-from:
		if !ok {
			t.Fatalf("%s: channel is closed", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing after %s", what, patience)
		panic("unreachable")
	}
}

// eventually asks until the answer is yes, for what gives no event to wait for.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !yes() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %s", what, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
