package worker_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

func TestRepeatableWorkStartsBesideItsClaim(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() { h.onClaim = func(*workerv1.ClaimRequest) *workerv1.ClaimReply { return nil } })
	w := h.runWorker(echo())
	h.offer(work(1, func(w *workerv1.Work) { w.Repeatable = true }))
	if r := h.wantResult(1, completed); !r.Early {
		t.Error("result does not say that it is early")
	}
	h.stored(0) // the stored result answers the message
	h.until("the receipt has come", func() bool { return w.Stats().Kept == 0 })
}

func TestEarlyWorkThatIsRefusedIsStopped(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	started, causes := make(chan struct{}), make(chan error, 1)
	h.script(func() {
		h.onClaim = func(c *workerv1.ClaimRequest) *workerv1.ClaimReply {
			<-started
			return verdicts(c, workerv1.Verdict_VERDICT_NO)
		}
	})
	w := h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		close(started)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, nil
	}))
	h.offer(work(1, func(w *workerv1.Work) { w.Repeatable = true }))
	next(h, causes, "the end")
	h.until("it is forgotten", func() bool { st := w.Stats(); return st.InHand == 0 && st.Kept == 0 })
	h.stored(0)
}

func TestRedeliveredWorkNeverStartsEarly(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.offer(work(1, func(w *workerv1.Work) { w.Repeatable = true }))
	first, err := h.connect("w0").Taker(pool).Take(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	first[0].Nak()
	var granted atomic.Bool
	asked := 0
	h.script(func() {
		h.onClaim = func(c *workerv1.ClaimRequest) *workerv1.ClaimReply {
			if asked++; asked == 1 {
				return nil // unanswered: time enough to start early
			}
			granted.Store(true)
			return verdicts(c, workerv1.Verdict_VERDICT_YES)
		}
	})
	h.runWorker(does(func(context.Context, *executors.Call) (any, error) { return granted.Load(), nil }))
	r := h.wantResult(1, completed)
	if string(worker.ValueOf(r)) != "true" || r.Early {
		t.Errorf("granted before the start: %s, early: %v", worker.ValueOf(r), r.Early)
	}
}
