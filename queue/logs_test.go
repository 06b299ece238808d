package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/queue"
)

// stored waits until LOGS holds n batches.
func stored(t *testing.T, h *house, n uint64) {
	t.Helper()
	js := h.vandal()
	eventually(t, "stored logs", func() bool {
		stream, err := js.Stream(h.context(), "TG_LOGS")
		return err == nil && stream.CachedInfo().State.Msgs == n
	})
}

func TestReadLogsReplays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	w1, w2 := h.worker("w1"), h.worker("w2")
	names := numbered("line ", 300)
	for i, name := range names {
		worker := w1
		if i >= 150 { // a later attempt, elsewhere
			worker = w2
			if i == 150 {
				stored(t, h, 300) // NATS keeps the order of one connection only
			}
		}
		must(t, worker.PublishLogs(7, []byte(name)))
		must(t, worker.PublishLogs(8, []byte("of another task")))
	}
	stored(t, h, 600)
	var got []string
	err := c.ReadLogs(h.context(), queue.LogQuery{Tasks: []int64{7}}, func(data []byte, _ uint64) error {
		got = append(got, string(data))
		return nil
	})
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("read: got %d batches, %v, want all 300 in order", len(got), err)
	}
	calls := 0
	if err := c.ReadLogs(h.context(), queue.LogQuery{Tasks: []int64{9}}, func(batch []byte, left uint64) error {
		calls++
		if batch != nil || left != 0 {
			t.Errorf("no lines: got %q with %d left", batch, left)
		}
		return nil
	}); err != nil || calls != 1 {
		t.Errorf("no lines: got %d calls, %v, want one with an empty batch", calls, err)
	}
}

// TestReadLogsOfManyTasks reads the lines of a whole tree in the order in which they were stored, and those from a time on.
func TestReadLogsOfManyTasks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c, w := h.coordinator(), h.worker("w1")
	tasks := make([]int64, 1000)
	for i := range tasks {
		tasks[i] = int64(i + 1)
	}
	for _, task := range []int64{1000, 1, 1001, 500} { // one is of another tree
		must(t, w.PublishLogs(task, fmt.Appendf(nil, "of %d", task)))
	}
	stored(t, h, 4)
	read := func(q queue.LogQuery) (got []string) {
		q.Tasks = tasks
		must(t, c.ReadLogs(h.context(), q, func(batch []byte, left uint64) error {
			got = append(got, fmt.Sprintf("%s, %d left", batch, left))
			return nil
		}))
		return got
	}
	want := []string{"of 1000, 2 left", "of 1, 1 left", "of 500, 0 left"}
	if got := read(queue.LogQuery{}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := read(queue.LogQuery{Since: time.Now().Add(time.Minute)}); !slices.Equal(got, []string{", 0 left"}) {
		t.Errorf("from a time to come on: got %q", got)
	}
}

func TestReadLogsReturnsTheHandlersError(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator()
	must(t, h.worker("w1").PublishLogs(7, []byte("one")))
	stored(t, h, 1)
	full := errors.New("full")
	for _, follow := range []bool{false, true} {
		if err := c.ReadLogs(h.context(), queue.LogQuery{Tasks: []int64{7}, Follow: follow}, func([]byte, uint64) error { return full }); err != full {
			t.Errorf("follow %v: got %v, want %v", follow, err, full)
		}
	}
}

func TestReadLogsFollows(t *testing.T) {
	t.Parallel()
	faults := map[string]func(*house){
		"nothing": func(*house) {},
		"a deleted consumer": func(h *house) {
			js := h.vandal()
			stream, err := js.Stream(h.context(), "TG_LOGS")
			must(h.t, err)
			for name := range stream.ConsumerNames(h.context()).Name() {
				must(h.t, stream.DeleteConsumer(h.context(), name))
			}
		},
		"a deleted stream":   func(h *house) { must(h.t, h.vandal().DeleteStream(h.context(), "TG_LOGS")) },
		"a restarted server": func(h *house) { h.restart() },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			c := h.coordinator()
			w := h.worker("w1")
			must(t, w.PublishLogs(7, []byte("stored")))
			stored(t, h, 1)
			lines, ended := make(chan string, 100), make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				ended <- c.ReadLogs(ctx, queue.LogQuery{Tasks: []int64{7}, Follow: true}, func(data []byte, _ uint64) error {
					lines <- string(data)
					return nil
				})
			}()
			if got := want(t, "stored line", lines); got != "stored" {
				t.Errorf("got %q first", got)
			}
			fault(h)
			eventually(t, "connection", func() bool { return w.Connected() && c.Connected() })
			eventually(t, "publish", func() bool {
				_, err := h.vandal().Stream(h.context(), "TG_LOGS")
				return err == nil && w.PublishLogs(7, []byte("later")) == nil
			})
			if got := want(t, "later line", lines); got != "later" {
				t.Errorf("got %q, want the later line and no line twice", got)
			}
			cancel()
			if err := want(t, "end of reading", ended); !errors.Is(err, context.Canceled) {
				t.Errorf("end: got %v", err)
			}
		})
	}
}

func TestEventsReachSubscribers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first, second := h.coordinator(), h.coordinator()
	ctx, cancel := context.WithCancel(t.Context())
	all, err := first.SubscribeEvents(ctx, "tree.*", 10)
	must(t, err)
	one, err := second.SubscribeEvents(ctx, "tree.42", 2)
	must(t, err)
	for _, topic := range []string{"tree.41", "tree.42", "ready"} {
		must(t, first.PublishEvent(topic, []byte(topic)))
	}
	if got := string(want(t, "event", all)); got != "tree.41" {
		t.Errorf("got %q", got)
	}
	if got := string(want(t, "event", all)); got != "tree.42" {
		t.Errorf("got %q", got)
	}
	if got := string(want(t, "event", one)); got != "tree.42" {
		t.Errorf("got %q", got)
	}

	// A slow reader keeps the first ones.
	for _, data := range []string{"1", "2", "3", "4"} {
		must(t, first.PublishEvent("tree.42", []byte(data)))
	}
	for range 4 {
		want(t, "event", all)
	}
	eventually(t, "two buffered", func() bool { return len(one) == 2 })
	cancel()
	for range all { // until it is closed
	}
	var kept []string
	for data := range one {
		kept = append(kept, string(data))
	}
	if !slices.Equal(kept, []string{"1", "2"}) {
		t.Errorf("slow reader: got %v, want the first two", kept)
	}
}
