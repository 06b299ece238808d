package worker_test

import (
	"context"
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
	h := newHarness(t)
	calls := make(chan *executors.Call, 1)
	w := h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		calls <- call
		return map[string]any{"sum": 3}, nil
	}))
	h.offer(work(7, func(w *workerv1.Work) {
		w.Inputs, w.Params, w.UserId, w.Name = []byte(`{"a":1}`), []byte(`{"p":2}`), "ann", "add"
		w.Lock = &workerv1.Lock{Key: "ledger", Token: 41}
	}))
	call := next(h, calls, "the call")
	if call.Lock == nil || *call.Lock != (executors.Lock{Key: "ledger", Token: 41}) {
		t.Errorf("it holds %+v", call.Lock)
	}
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
	h.stored(0)
	h.until("the receipt has come", func() bool { st := w.Stats(); return st.Kept == 0 && st.InHand == 0 })
	if err := w.Ready(); err != nil {
		t.Errorf("Ready() = %v", err)
	}
}

func TestRefusedWorkNeverRuns(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
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
	h.stored(0)
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
			h := newHarness(t)
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
			h.stored(0)
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
	h := newHarness(t)
	hold := make(chan struct{})
	var runs atomic.Int32
	w := h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
		runs.Add(1)
		<-hold
		return nil, nil
	}))
	h.offer(work(1), work(1), work(1))
	h.stored(0)
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
	h := newHarness(t)
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
	h := newHarness(t)
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
	h := newHarness(t)
	h.script(func() { h.receipts = false })
	w := h.runWorker(echo(), func(c *worker.Config) { c.MaxKept, c.Pools[0].Concurrency = 2, 1 })
	h.offer(work(1), work(2), work(3))
	for range 2 { // in any order: messages with results overtake each other
		next(h, h.results, "a result")
	}
	h.until("it says so", func() bool { return w.Ready() != nil })
	h.stored(1)
	h.tell(w.id, &workerv1.News{Receipts: []*workerv1.Attempt{{Task: 1, Number: 1}}})
	h.wantResult(3, completed)
	h.tell(w.id, &workerv1.News{Receipts: []*workerv1.Attempt{{Task: 2, Number: 1}, {Task: 3, Number: 1}}})
}

func TestLogsAndProgress(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
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
	err := h.conn.ReadLogs(t.Context(), queue.LogQuery{Tasks: []int64{1}}, func(data []byte, _ uint64) error {
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
	h := newHarness(t)
	const id = "0af7651916cd43dd8448eb211c80319c"
	var told executors.Trace
	h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		told = call.Trace
		return trace.SpanContextFromContext(ctx).TraceID().String(), nil
	}))
	data, err := proto.Marshal(work(1))
	if err != nil {
		t.Fatal(err)
	}
	header := nats.Header{"traceparent": {"00-" + id + "-b7ad6b7169203331-01"}, "tracestate": {"a=b"}}
	h.publish(queue.WorkMessage{Pool: pool, Priority: 1, Data: data, Header: header})
	if r := h.wantResult(1, completed); string(worker.ValueOf(r)) != `"`+id+`"` {
		t.Errorf("trace id is %s", worker.ValueOf(r))
	}
	if !strings.HasPrefix(told.Parent, "00-"+id+"-") || !strings.HasSuffix(told.Parent, "-01") || told.State != "a=b" {
		t.Errorf("the world outside is told %+v", told)
	}
}

func TestATraceMayStayInside(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) { return call.Trace, nil }), func(c *worker.Config) { c.TraceInside = true })
	data, err := proto.Marshal(work(1))
	if err != nil {
		t.Fatal(err)
	}
	header := nats.Header{"traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	h.publish(queue.WorkMessage{Pool: pool, Priority: 1, Data: data, Header: header})
	if r := h.wantResult(1, completed); string(worker.ValueOf(r)) != `{"Parent":"","State":""}` {
		t.Errorf("the world outside is told %s", worker.ValueOf(r))
	}
}

func TestGarbageIsDropped(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.runWorker(echo(), func(c *worker.Config) { c.Pools[0].Concurrency = 1 })
	h.publish(queue.WorkMessage{Pool: pool, Priority: 1, Data: []byte("\xff\xff")})
	h.offer(work(1))
	h.wantResult(1, completed)
	h.stored(0)
}

// TestMissedHandoversAreHandedBack: what a coordinator claimed for the worker, in a message that never came, goes back
// when the answer to a beat names it; what the worker knows goes on.
func TestMissedHandoversAreHandedBack(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
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
