package worker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

func TestCancelledWorkIsStoppedWithItsPartialResult(t *testing.T) {
	one := []*workerv1.Attempt{{Task: 1, Number: 1}}
	for fact, cancel := range map[string]func(h *harness, w *running){
		"by news": func(h *harness, w *running) { h.tell(w.id, &workerv1.News{Cancel: one}) },
		"by the answer to a beat": func(h *harness, w *running) {
			h.script(func() {
				h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
					return &workerv1.BeatReply{Number: b.Number, LeaseMs: 30_000, Cancel: one}
				}
			})
		},
	} {
		t.Run(fact, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			started, may := make(chan struct{}), make(chan struct{})
			w := h.runWorker(does(func(ctx context.Context, _ *executors.Call) (any, error) {
				close(started)
				<-ctx.Done()
				<-may // stopping takes its time
				return map[string]int{"pages": 3}, context.Cause(ctx)
			}))
			h.offer(work(1))
			next(h, started, "the start")
			cancel(h, w)
			h.nextBeat("after the cancellation", func(b *workerv1.Beat) bool { return len(b.Running) == 1 })
			if got := w.Stats().InHand; got != 1 {
				t.Errorf("%d attempts in hand before the work has stopped, want 1", got)
			}
			close(may)
			if r := h.wantResult(1, cancelled); string(worker.ValueOf(r)) != `{"pages":3}` {
				t.Errorf("partial result is %s", worker.ValueOf(r))
			}
		})
	}
}

func TestDisownedWorkIsStoppedAndNotReported(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	causes := make(chan error, 2)
	w := h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		if call.TaskID == "task-1" {
			<-ctx.Done()
			causes <- context.Cause(ctx)
		}
		return nil, nil
	}))
	h.offer(work(1))
	h.script(func() {
		h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
			reply := granted(b)
			reply.Disowned = b.Running
			return reply
		}
	})
	if cause := next(h, causes, "the end"); !errors.Is(cause, executors.ErrLeaseLost) {
		t.Errorf("ended by %v", cause)
	}
	h.until("it is forgotten", func() bool { st := w.Stats(); return st.InHand == 0 && st.Kept == 0 })
	h.offer(work(2))
	h.wantResult(2, completed)
}
