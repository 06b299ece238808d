package worker_test

import (
	"context"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

func TestLargeResultsTravelInChunks(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	big := strings.Repeat("0123456789", 150_000) // 1.5 MB: three chunks
	h.runWorker(does(func(context.Context, *executors.Call) (any, error) { return big, nil }))
	h.offer(work(1))
	r := h.wantResult(1, completed)
	want := string(jsonOf(t, big))
	if len(worker.ValueOf(r)) != 0 || r.GetCompletedInChunks() != uint64(len(want)) {
		t.Errorf("result carries %d bytes and refers to %d", len(worker.ValueOf(r)), r.GetCompletedInChunks())
	}
	h.script(func() {
		var got strings.Builder
		for _, c := range h.chunks[1] {
			got.Write(c)
		}
		if len(h.chunks[1]) != 3 || got.String() != want {
			t.Errorf("%d chunks of %d bytes, want 3 of %d", len(h.chunks[1]), got.Len(), len(want))
		}
	})
}

func TestLargeInputsAreFetched(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	big := jsonOf(t, map[string]string{"text": strings.Repeat("0123456789", 150_000)})
	h.script(func() { h.inputs[1] = big })
	got := make(chan string, 1)
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) {
		got <- string(call.Inputs)
		return nil, nil
	}))
	h.offer(work(1, func(w *workerv1.Work) { w.Inputs, w.InputsSize = nil, uint64(len(big)) }))
	h.wantResult(1, completed)
	if got := <-got; got != string(big) {
		t.Errorf("got inputs of %d bytes, want %d", len(got), len(big))
	}
}
