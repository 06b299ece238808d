package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/worker"
)

const (
	completed = dag.OutcomeCompleted
	failed    = dag.OutcomeFailed
	cancelled = dag.OutcomeCancelled
	returned  = dag.OutcomeReturned
	timedOut  = dag.OutcomeTimedOut
)

func TestGrantedWorkRunsAndIsReported(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	calls := make(chan *executors.Call, 1)
	w := h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		calls <- call
		return map[string]any{"sum": 3}, nil
	}))
	h.offer(work(7, func(w *workerv1.Work) {
		w.Inputs, w.Params, w.UserId, w.Name = []byte(`{"a":1}`), []byte(`{"p":2}`), "ann", "add"
	}))
	call := next(h, calls, "the call")
	if call.TaskID != "task-7" || call.TreeID != "tree" || call.UserID != "ann" || call.Name != "add" || call.Attempt != 1 ||
		call.IdempotencyKey != "key-7" || string(call.Inputs) != `{"a":1}` || string(call.Params) != `{"p":2}` {
		t.Errorf("call is %+v", call)
	}
	if left := time.Until(call.Lease.Until()); left < 20*time.Second {
		t.Errorf("lease has %v left, want about 30 s", left)
	}
	r := h.wantResult(7, completed)
	if string(worker.ValueOf(r)) != `{"sum":3}` || r.Error != "" || r.Early {
		t.Errorf("result is %v", r)
	}
	if r.StartedUnixUs == 0 || r.FinishedUnixUs < r.StartedUnixUs {
		t.Errorf("started %d, finished %d", r.StartedUnixUs, r.FinishedUnixUs)
	}
	h.noneStored()
	h.until("the receipt has come", func() bool { st := w.Stats(); return st.Kept == 0 && st.InHand == 0 })
	if err := w.Ready(); err != nil {
		t.Errorf("Ready() = %v", err)
	}
}

func TestRefusedWorkNeverRuns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.script(func() {
		h.onClaim = func(c *workerv1.ClaimRequest) *workerv1.ClaimReply {
			reply := verdicts(c, workerv1.Verdict_VERDICT_YES)
			for i, g := range c.Grants {
				if g.Attempt.Task == 1 {
					reply.Verdicts[i] = workerv1.Verdict_VERDICT_NO
				}
			}
			return reply
		}
	})
	ran := make(chan string, 10)
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) {
		ran <- call.TaskID
		return nil, nil
	}), func(c *worker.Config) { c.Pools[0].Concurrency = 1 })
	h.offer(work(1), work(2))
	h.wantResult(2, completed) // the slot of 1 is free again
	h.noneStored()
	if got := next(h, ran, "a run"); got != "task-2" {
		t.Errorf("ran %s", got)
	}
	if len(ran) > 0 {
		t.Errorf("ran %s, too", <-ran)
	}
}

func TestClaimsAreRepeatedUntilDecided(t *testing.T) {
	for fact, reply := range map[string]func(*workerv1.ClaimRequest) *workerv1.ClaimReply{
		"no answer":       func(*workerv1.ClaimRequest) *workerv1.ClaimReply { return nil },
		"undecided":       func(c *workerv1.ClaimRequest) *workerv1.ClaimReply { return verdicts(c, 0) },
		"an error":        func(*workerv1.ClaimRequest) *workerv1.ClaimReply { return &workerv1.ClaimReply{Error: "no database"} },
		"too few answers": func(*workerv1.ClaimRequest) *workerv1.ClaimReply { return &workerv1.ClaimReply{} },
	} {
		t.Run(fact, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			asked := 0
			h.script(func() {
				h.onClaim = func(c *workerv1.ClaimRequest) *workerv1.ClaimReply {
					if asked++; asked <= 2 {
						return reply(c)
					}
					return verdicts(c, workerv1.Verdict_VERDICT_YES)
				}
			})
			var runs atomic.Int32
			h.runWorker(does(func(context.Context, *executors.Call) (any, error) { return runs.Add(1), nil }))
			h.offer(work(1))
			h.wantResult(1, completed)
			h.noneStored()
			first := next(h, h.claims, "a claim")
			for range 2 {
				if again := next(h, h.claims, "a claim"); !proto.Equal(again, first) {
					t.Errorf("asked %v, then %v", first, again)
				}
			}
			if got := runs.Load(); got != 1 {
				t.Errorf("ran %d times", got)
			}
		})
	}
}

func TestSecondCopiesAreAbsorbed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	hold := make(chan struct{})
	var runs atomic.Int32
	w := h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
		runs.Add(1)
		<-hold
		return nil, nil
	}))
	h.offer(work(1), work(1), work(1))
	h.noneStored()
	if got := w.Stats().InHand; got != 1 {
		t.Errorf("%d attempts in hand", got)
	}
	close(hold)
	h.wantResult(1, completed)
	if got := runs.Load(); got != 1 {
		t.Errorf("ran %d times", got)
	}
}

func TestResultsAreSentUntilTheReceipt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.script(func() { h.receipts = false })
	w := h.runWorker(echo(), func(c *worker.Config) { c.Resend = 50 * time.Millisecond })
	h.offer(work(1))
	for range 3 {
		h.wantResult(1, completed)
	}
	h.tell(w.id, &workerv1.News{Receipts: []*workerv1.Attempt{{Task: 1, Number: 1}}})
	h.until("the result is forgotten", func() bool { return w.Stats().Kept == 0 })
}

func TestBeatRepliesRepeatReceipts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.script(func() {
		h.receipts = false
		h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
			reply := granted(b)
			reply.Settled = b.Reported
			return reply
		}
	})
	w := h.runWorker(echo())
	h.offer(work(1))
	h.wantResult(1, completed)
	h.until("the result is forgotten", func() bool { return w.Stats().Kept == 0 })
	h.nextBeat("that lists the result", func(b *workerv1.Beat) bool { return len(b.Reported) == 1 })
}

func TestNothingIsTakenWithoutReceipts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.script(func() { h.receipts = false })
	w := h.runWorker(echo(), func(c *worker.Config) { c.MaxKept, c.Pools[0].Concurrency = 2, 1 })
	h.offer(work(1), work(2), work(3))
	for range 2 { // in any order: messages with results overtake each other
		next(h, h.results, "a result")
	}
	h.until("it says so", func() bool { return w.Ready() != nil })
	n, _, err := h.conn.Depth(t.Context(), pool, 1)
	if n != 1 || err != nil {
		t.Errorf("%d messages are stored (%v), want 1", n, err)
	}
	h.tell(w.id, &workerv1.News{Receipts: []*workerv1.Attempt{{Task: 1, Number: 1}}})
	h.wantResult(3, completed)
	h.tell(w.id, &workerv1.News{Receipts: []*workerv1.Attempt{{Task: 2, Number: 1}, {Task: 3, Number: 1}}})
}

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
			outcome: timedOut, err: "attempt timed out after 20ms",
		},
		{
			fact: "an executor's word about its timeout is kept",
			work: func(w *workerv1.Work) { w.TimeoutMs = 20 },
			run: func(ctx context.Context, _ *executors.Call) (any, error) {
				<-ctx.Done()
				return nil, errors.New("curl was slow")
			},
			outcome: timedOut, err: "attempt timed out after 20ms: curl was slow",
		},
		{
			fact:    "text that Postgres can't keep",
			run:     func(context.Context, *executors.Call) (any, error) { return nil, errors.New("a\x00b\xff") },
			outcome: failed, err: "a\uFFFDb\uFFFD",
		},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
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

// untilItEnds works until its context ends, and fails with the cause.
func untilItEnds(ctx context.Context, _ *executors.Call) (any, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestExecutorsTimeoutIsTheDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.runWorker(&executor{executors.Description{ID: "test", Type: "core", Timeout: 20 * time.Millisecond}, untilItEnds})
	h.offer(work(1))
	h.wantResult(1, timedOut)
}

func TestCancelledWorkIsStoppedWithItsPartialResult(t *testing.T) {
	one := []*workerv1.Attempt{{Task: 1, Number: 1}}
	for fact, cancel := range map[string]func(h *house, w *running){
		"by news": func(h *house, w *running) { h.tell(w.id, &workerv1.News{Cancel: one}) },
		"by the answer to a beat": func(h *house, w *running) {
			h.script(func() {
				h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
					return &workerv1.BeatReply{Number: b.Number, LeaseMs: 30_000, Cancel: one}
				}
			})
		},
	} {
		t.Run(fact, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
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
	h := newHouse(t)
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

func TestLargeResultsTravelInChunks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
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
	h := newHouse(t)
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

func TestRepeatableWorkStartsBesideItsClaim(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.script(func() { h.onClaim = func(*workerv1.ClaimRequest) *workerv1.ClaimReply { return nil } })
	w := h.runWorker(echo())
	h.offer(work(1, func(w *workerv1.Work) { w.Repeatable = true }))
	if r := h.wantResult(1, completed); !r.Early {
		t.Error("result does not say that it is early")
	}
	h.noneStored() // the stored result answers the message
	h.until("the receipt has come", func() bool { return w.Stats().Kept == 0 })
}

func TestEarlyWorkThatIsRefusedIsStopped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
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
	h.noneStored()
}

func TestRedeliveredWorkNeverStartsEarly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
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

func TestLogsAndProgress(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seen := make(chan struct{})
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) {
		call.Reporter.Log("stdout", "hello")
		call.Reporter.Log("stderr", strings.Repeat("x", 600))
		call.Reporter.Log("stdout", "dropped")
		call.Reporter.Log("stdout", "dropped")
		call.Reporter.Progress(.5, "half")
		<-seen
		return nil, nil
	}), func(c *worker.Config) { c.MaxLogBytes = 750 })
	h.offer(work(1))
	p := next(h, h.progress, "progress")
	if p.Fraction != .5 || p.Message != "half" || p.Attempt.Task != 1 || len(p.Token) == 0 {
		t.Errorf("progress is %v", p)
	}
	close(seen)
	h.wantResult(1, completed)
	var lines []*workerv1.LogLine
	err := h.conn.ReadLogs(t.Context(), 1, false, func(data []byte) error {
		lines = append(lines, read(h, data, &workerv1.LogBatch{}).Lines...)
		return nil
	})
	if err != nil || len(lines) != 3 {
		t.Fatalf("%d lines (%v): %v", len(lines), err, lines)
	}
	if lines[0].Text != "hello" || lines[0].Stream != "stdout" || lines[0].Number != 1 || lines[1].Stream != "stderr" ||
		!strings.Contains(lines[2].Text, "dropped: it exceeds the limit") {
		t.Errorf("lines are %v", lines)
	}
}

func TestTraceIsContinued(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const id = "0af7651916cd43dd8448eb211c80319c"
	h.runWorker(does(func(ctx context.Context, _ *executors.Call) (any, error) {
		return trace.SpanContextFromContext(ctx).TraceID().String(), nil
	}))
	data, err := proto.Marshal(work(1))
	if err != nil {
		t.Fatal(err)
	}
	header := nats.Header{"traceparent": {"00-" + id + "-b7ad6b7169203331-01"}}
	h.publish(queue.WorkMessage{Pool: pool, Priority: 1, Data: data, Header: header})
	if r := h.wantResult(1, completed); string(worker.ValueOf(r)) != `"`+id+`"` {
		t.Errorf("trace id is %s", worker.ValueOf(r))
	}
}

func TestGarbageIsDropped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.runWorker(echo(), func(c *worker.Config) { c.Pools[0].Concurrency = 1 })
	h.publish(queue.WorkMessage{Pool: pool, Priority: 1, Data: []byte("\xff\xff")})
	h.offer(work(1))
	h.wantResult(1, completed)
	h.noneStored()
}

// TestMissedHandoversAreHandedBack: what a coordinator claimed for the worker, in a message that never came, goes back
// when the answer to a beat names it; what the worker knows goes on.
func TestMissedHandoversAreHandedBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	running, may := make(chan struct{}), make(chan struct{})
	h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
		close(running)
		<-may
		return nil, nil
	}))
	h.offer(work(1))
	next(h, running, "the start")
	h.script(func() {
		h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
			reply := granted(b)
			for _, w := range []*workerv1.Work{work(1), work(2)} {
				reply.Missed = append(reply.Missed, &workerv1.Grant{Attempt: w.Attempt, Token: w.Token})
			}
			h.onBeat = nil
			return reply
		}
	})
	if r := h.wantResult(2, returned); r.Error != worker.ErrMissed.Error() {
		t.Errorf("handed back because of %q", r.Error)
	}
	close(may)
	h.wantResult(1, completed)
}
