package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

// noted is what hooks were called with, in order.
type noted struct {
	mu    sync.Mutex
	lines []string
}

func (n *noted) note(parts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, strings.Join(parts, " "))
}

// TestHooksStandAroundEachAttempt: each in its order, with the inputs that those before it left.
func TestHooksStandAroundEachAttempt(t *testing.T) {
	t.Parallel()
	h, n := newHarness(t), &noted{}
	hook := func(name, inputs string) worker.Hook {
		return worker.Hook{
			Name: name,
			Before: func(_ context.Context, call *executors.Call) (json.RawMessage, error) {
				n.note(name, "before", string(call.Inputs))
				copy(call.Inputs, "XXXXXX") // its own copy
				return json.RawMessage(inputs), nil
			},
			After: func(_ context.Context, call *executors.Call, result json.RawMessage) error {
				n.note(name, "after", string(call.Inputs), string(result))
				copy(result, "XXXXXX")
				return nil
			},
		}
	}
	h.runWorker(echo(), func(c *worker.Config) {
		c.Hooks = []worker.Hook{hook("first", `{"a":2}`), {Name: "none"}, hook("second", "")}
	})
	h.offer(work(1, func(w *workerv1.Work) { w.Inputs = []byte(`{"a":1}`) }))
	if r := h.wantResult(1, completed); string(r.GetCompleted()) != `{"a":2}` {
		t.Errorf("result %v", r)
	}
	want := []string{`first before {"a":1}`, `second before {"a":2}`, `first after {"a":2} {"a":2}`, `second after {"a":2} {"a":2}`}
	if !slices.Equal(n.lines, want) {
		t.Errorf("got %q, want %q", n.lines, want)
	}
}

// TestHooksDoNoHarm: whatever a hook does, the attempt runs with the inputs it had, and the log names the hook.
func TestHooksDoNoHarm(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(context.Context, *executors.Call) (json.RawMessage, error){
		"an error": func(context.Context, *executors.Call) (json.RawMessage, error) {
			return json.RawMessage(`{"a":2}`), errors.New("no")
		},
		"a panic":   func(context.Context, *executors.Call) (json.RawMessage, error) { panic("oops") },
		"its end":   func(context.Context, *executors.Call) (json.RawMessage, error) { runtime.Goexit(); return nil, nil },
		"no JSON":   func(context.Context, *executors.Call) (json.RawMessage, error) { return json.RawMessage(`{"a":`), nil },
		"empty":     func(context.Context, *executors.Call) (json.RawMessage, error) { return json.RawMessage{}, nil },
		"no object": func(context.Context, *executors.Call) (json.RawMessage, error) { return json.RawMessage(` [1]`), nil },
		"too large": func(context.Context, *executors.Call) (json.RawMessage, error) {
			return json.RawMessage(`{"a":"` + strings.Repeat("x", 2000) + `"}`), nil
		},
		"it tells all": func(_ context.Context, call *executors.Call) (json.RawMessage, error) {
			*call = executors.Call{}
			return nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			var log lockedBuffer
			h.runWorker(echo(), func(c *worker.Config) {
				c.MaxInputBytes = 1000
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
				c.Hooks = []worker.Hook{{Name: "mine", Before: before, After: func(ctx context.Context, call *executors.Call, _ json.RawMessage) error {
					_, err := before(ctx, call)
					return err
				}}}
			})
			h.offer(work(1, func(w *workerv1.Work) { w.Inputs = []byte(`{"a":1}`) }))
			if r := h.wantResult(1, completed); string(r.GetCompleted()) != `{"a":1}` {
				t.Errorf("result %v", r)
			}
			if name != "it tells all" && !strings.Contains(log.String(), "hook=mine") {
				t.Errorf("the log does not name the hook: %s", log.String())
			}
		})
	}
}

// TestAHookThatHangsEndsWithItsAttempt: it is waited for as long as the attempt has.
func TestAHookThatHangsEndsWithItsAttempt(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	free := make(chan struct{})
	t.Cleanup(func() { close(free) })
	h.runWorker(echo(), func(c *worker.Config) {
		c.Hooks = []worker.Hook{{Name: "hangs", Before: func(context.Context, *executors.Call) (json.RawMessage, error) { <-free; return nil, nil }}}
	})
	h.offer(work(1, func(w *workerv1.Work) { w.TimeoutMs = 50 }))
	h.wantResult(1, timedOut)
}

// TestNoHookComesAfterAFailure, and both come around a demonstration.
func TestNoHookComesAfterAFailure(t *testing.T) {
	t.Parallel()
	h, n := newHarness(t), &noted{}
	h.runWorker(does(func(context.Context, *executors.Call) (any, error) { return nil, errors.New("broken") }), func(c *worker.Config) {
		c.DemoSleepScale = -1
		c.Hooks = []worker.Hook{{
			Name:   "mine",
			Before: func(context.Context, *executors.Call) (json.RawMessage, error) { n.note("before"); return nil, nil },
			After: func(_ context.Context, _ *executors.Call, result json.RawMessage) error {
				n.note("after", string(result))
				return nil
			},
		}}
	})
	h.offer(work(1))
	h.wantResult(1, failed)
	h.offer(work(2, func(w *workerv1.Work) { w.Demo = true }))
	h.wantResult(2, completed)
	if want := []string{"before", "before", `after {"demo_mode":true,"result":"Demo execution result"}`}; !slices.Equal(n.lines, want) {
		t.Errorf("got %q, want %q", n.lines, want)
	}
}

// lockedBuffer takes a log from several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
