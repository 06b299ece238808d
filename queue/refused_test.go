package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/queue"
)

// What a worker needs and may not do is told at once, all of it, with what helps.
func TestCheckPermissions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.coordinator("rest")
	connect, url := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}}, queue.ServerUser{Name: "b", Pools: []string{"*"}},
		queue.ServerUser{Name: "g", Pools: []string{"rest"}, Group: true})
	connect("c1")
	for name, tt := range map[string]struct {
		cfg   queue.Config
		pools []string
		want  []string // in the error; none: there is none
	}{
		"a worker":                {queue.Config{Worker: "w"}, []string{"rest", "gpu"}, nil},
		"a worker's own pools":    {queue.Config{URL: url("a"), Worker: "a"}, []string{"rest"}, nil},
		"a worker of every pool":  {queue.Config{URL: url("b"), Worker: "b"}, []string{"rest", "gpu"}, nil},
		"another worker's user":   {queue.Config{URL: h.server.WorkerURL("x"), Worker: "w"}, []string{"rest"}, []string{`user "x"`, "worker w needs", "publish to tg.claim.w", "publish to tg.beat.w", "publish to tg.result.w", "subscribe to tg.inbox.w.>", "subscribe to tg.news.w", "nats-config --worker w"}},
		"a coordinator's user":    {queue.Config{URL: url("c1"), Worker: "w"}, []string{"rest"}, []string{`user "c1"`, "subscribe to tg.inbox.w.>", "subscribe to tg.news.w"}},
		"a member of a group":     {queue.Config{URL: url("g"), Worker: "g.w"}, []string{"rest"}, nil},
		"another group's user":    {queue.Config{URL: url("g"), Worker: "k.w"}, []string{"rest"}, []string{`user "g"`, "worker k.w needs", "publish to tg.claim.k.w", "member of group k", "user of that group, called k", "nats-config --group k"}},
		"another: a group's user": {queue.Config{URL: url("g"), Worker: "g"}, []string{"rest"}, []string{`user "g"`, "worker g needs", "the worker's id has to be g.NAME"}},
		"another prefix":          {queue.Config{Worker: "w", Prefix: "other"}, []string{"rest"}, []string{"publish to other.beat.w", "subscribe to other.inbox.w.>", "OTHER_WORK.rest_p0", "same prefix (other)"}},
		"a pool that is not ours": {queue.Config{URL: url("a"), Worker: "a"}, []string{"rest", "gpu"}, []string{"publish to $JS.API.CONSUMER.MSG.NEXT.TG_WORK.gpu_p3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := h.connect(tt.cfg).CheckPermissions(t.Context(), tt.pools)
			if (err == nil) != (tt.want == nil) {
				t.Errorf("got %v", err)
			}
			for _, want := range tt.want {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "rest_p0") && !strings.Contains(name, "prefix") && !strings.Contains(name, "another")) {
				t.Errorf("got %v: it tells a password, or what is allowed", err)
			}
		})
	}
}

// A taker whose requests come to nothing says why, and that it is over when they are answered.
func TestTakersTellFaults(t *testing.T) {
	t.Parallel()
	connect, _ := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"rest"}})
	c, a := connect("c1"), connect("a")
	missing, forbidden := a.Taker("rest"), a.Taker("gpu")
	for _, taker := range []*queue.Taker{missing, forbidden} {
		go func() { _, _ = taker.Take(t.Context(), 1) }()
	}
	const soon = 100 * time.Millisecond
	eventually(t, "no consumer", func() bool { return strings.Contains(missing.Fault(soon), "no consumer") })
	eventually(t, "no permission", func() bool {
		return strings.Contains(forbidden.Fault(soon), "publish to $JS.API.CONSUMER.MSG.NEXT.TG_WORK.gpu_p")
	})
	if missing.Fault(time.Hour) != "" {
		t.Error("a fault of the last hour: got one")
	}
	must(t, c.EnsurePools(t.Context(), "rest"))
	eventually(t, "no fault", func() bool { return missing.Fault(0) == "" })
}
