package worker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

func TestFailures(t *testing.T) {
	description := executors.Description{ID: "test", Type: "core"}
	for _, tt := range []struct {
		fact      string
		work      func(*workerv1.Work)
		run       func(context.Context, *executors.Call) (any, error)
		config    func(*worker.Config)
		outcome   dag.Outcome
		err       string
		permanent bool
		detail    string
	}{
		{
			fact:    "an error may be retried",
			run:     func(context.Context, *executors.Call) (any, error) { return nil, errors.New("exit status 1") },
			outcome: failed, err: "exit status 1",
		},
		{
			fact: "unless it is permanent",
			run: func(context.Context, *executors.Call) (any, error) {
				return nil, executors.Invalid("test", "url is missing")
			},
			outcome: failed, err: "[test] url is missing", permanent: true,
		},
		{
			fact:    "a panic is a failure with its stack",
			run:     func(context.Context, *executors.Call) (any, error) { panic("oops") },
			outcome: failed, err: "panic: oops", detail: "worker_test.TestFailures",
		},
		{
			fact: "an error that can't say what it is",
			run: func(context.Context, *executors.Call) (any, error) {
				var none *exitError
				return nil, none
			},
			outcome: failed, err: "panic: runtime error: invalid memory address or nil pointer dereference", detail: "exitError",
		},
		{
			fact: "an error that can't say what it wraps",
			run: func(context.Context, *executors.Call) (any, error) {
				return nil, &exitError{code: 1}
			},
			outcome: failed, err: "panic: nothing is wrapped", detail: "exitError",
		},
		{
			fact: "a result that can't be encoded without a panic",
			run: func(context.Context, *executors.Call) (any, error) {
				return &exitError{code: 1}, nil
			},
			outcome: failed, err: "panic: no JSON", detail: "exitError",
		},
		{
			fact:    "an unknown executor",
			work:    func(w *workerv1.Work) { w.Executor, w.Schemas = "nope", []byte(`{"type":"http","method":"nope"}`) },
			outcome: failed, permanent: true,
			err: "Task executor not found. type='http', method='nope'. Registered executor types: [core]. Registered executor ids: [test].",
		},
		{
			fact: "inputs that are not valid",
			config: func(c *worker.Config) {
				c.Validate = func(_ executors.Description, call *executors.Call) error { return errors.New("a is required") }
			},
			outcome: failed, err: "a is required", permanent: true,
		},
		{
			fact:    "a result that is no JSON",
			run:     func(context.Context, *executors.Call) (any, error) { return make(chan int), nil },
			outcome: failed, err: "result can't be encoded as JSON: json: unsupported type: chan int", permanent: true,
		},
		{
			fact:    "a partial result without a reason",
			run:     func(context.Context, *executors.Call) (any, error) { return executors.Partial(1), nil },
			outcome: failed, err: "executor returned a partial result without an error", permanent: true,
		},
		{
			fact:    "a result that is too large",
			run:     func(context.Context, *executors.Call) (any, error) { return strings.Repeat("a", 998), nil },
			config:  func(c *worker.Config) { c.MaxResultBytes = 999 },
			outcome: failed, err: "result has 1000 bytes, the most is 999", permanent: true,
		},
		{
			fact:    "the task's timeout",
			work:    func(w *workerv1.Work) { w.TimeoutMs = 20 },
			run:     untilItEnds,
			outcome: timedOut, err: "attempt timed out after 20ms (the task's timeout)",
		},
		{
			fact: "an executor's word about its timeout is kept",
			work: func(w *workerv1.Work) { w.TimeoutMs = 20 },
			run: func(ctx context.Context, _ *executors.Call) (any, error) {
				<-ctx.Done()
				return nil, errors.New("curl was slow")
			},
			outcome: timedOut, err: "attempt timed out after 20ms (the task's timeout): curl was slow",
		},
		{
			fact: "a detail that the executor adds",
			run: func(context.Context, *executors.Call) (any, error) {
				return nil, executors.Permanent(executors.WithDetail(errors.New("ValueError"), "in line 3\x00"))
			},
			outcome: failed, err: "ValueError", permanent: true, detail: "in line 3\uFFFD",
		},
		{
			fact:    "text that Postgres can't keep",
			run:     func(context.Context, *executors.Call) (any, error) { return nil, errors.New("a\x00b\xff") },
			outcome: failed, err: "a\uFFFDb\uFFFD",
		},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			if tt.run == nil {
				tt.run = func(context.Context, *executors.Call) (any, error) { return nil, errors.New("must not run") }
			}
			if tt.work == nil {
				tt.work = func(*workerv1.Work) {}
			}
			if tt.config == nil {
				tt.config = func(*worker.Config) {}
			}
			h.runWorker(&executor{description, tt.run}, tt.config)
			h.offer(work(1, tt.work))
			r := h.wantResult(1, tt.outcome)
			if r.Error != tt.err || r.GetFailed().GetPermanent() != tt.permanent || !strings.Contains(r.Detail, tt.detail) {
				t.Errorf("got %q, permanent %v, detail %q; want %q, %v, %q", r.Error, r.GetFailed().GetPermanent(), r.Detail, tt.err, tt.permanent, tt.detail)
			}
		})
	}
}

// exitError is an executor's error whose methods panic.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprint("exit status ", e.code) }

func (e *exitError) Unwrap() error { panic("nothing is wrapped") }

func (e *exitError) MarshalJSON() ([]byte, error) { panic("no JSON") }

// TestExecutorEndsItsGoroutine: each such attempt fails, and its slot is free again.
func TestExecutorEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	one := func(c *worker.Config) { c.Pools[0].Concurrency = 1 }
	w := h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
		runtime.Goexit()
		return nil, nil
	}), one)
	for task := range int64(3) {
		h.offer(work(task + 1))
		r := h.wantResult(task+1, failed)
		if r.Error != "executor ended its goroutine" || r.GetFailed().Permanent || !strings.Contains(r.Detail, "TestExecutorEndsItsGoroutine") {
			t.Errorf("got %q, permanent %v, detail %q", r.Error, r.GetFailed().Permanent, r.Detail)
		}
	}
	w.stop()
	w.wait(h)
}

func TestFailureSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]int64{
		0: 0, -time.Second: 0, time.Nanosecond: 1, time.Second: 1000, time.Second + 1: 1001, math.MaxInt64: math.MaxInt64/1_000_000 + 1,
	} {
		h := newHarness(t)
		h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
			return nil, fmt.Errorf("busy: %w", executors.RetryAfter(errors.New("429"), after))
		}))
		h.offer(work(1))
		if got := h.wantResult(1, failed).GetFailed().GetRetryAfterMs(); got != want {
			t.Errorf("after %v: got %d ms, want %d", after, got, want)
		}
	}
}

// untilItEnds works until its context ends, and fails with the cause.
func untilItEnds(ctx context.Context, _ *executors.Call) (any, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestExecutorsTimeoutIsTheDefault(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.runWorker(&executor{executors.Description{ID: "test", Type: "core", Timeout: 20 * time.Millisecond}, untilItEnds})
	h.offer(work(1))
	if r, want := h.wantResult(1, timedOut), "attempt timed out after 20ms (the executor's default: set the task's timeout)"; r.Error != want {
		t.Errorf("got %q, want %q", r.Error, want)
	}
}
