package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

func TestNothingIsTakenBeforeTheFirstLease(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() {
		h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
			return &workerv1.BeatReply{Number: b.Number, Error: "no database"}
		}
	})
	w := h.runWorker(echo())
	h.offer(work(1))
	h.nextBeat("the second", func(b *workerv1.Beat) bool { return b.Number >= 2 })
	if len(h.claims) > 0 || w.Stats().InHand > 0 || w.Ready() == nil {
		t.Errorf("%d claims, %d in hand, ready: %v", len(h.claims), w.Stats().InHand, w.Ready())
	}
	h.script(func() { h.onBeat = nil })
	h.wantResult(1, completed)
}

func TestBeatsTellWhatTheWorkerIs(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.runWorker(echo(), func(c *worker.Config) { c.Host, c.Build = "here", "v1" })
	b := next(h, h.beats, "a beat")
	if b.Number == 0 || b.Version != workerv1.Version || b.Instance == "" || b.Host != "here" || b.Build != "v1" || b.Draining || b.Leaving ||
		len(b.Executors) != 1 || len(b.Pools) != 1 || b.Pools[0].Pool != pool || b.Pools[0].Concurrency != 4 {
		t.Errorf("beat is %v", b)
	}
	if again := next(h, h.beats, "a beat"); again.Number <= b.Number || again.Instance != b.Instance {
		t.Errorf("second beat is %v", again)
	}
}

// TestNothingStartsAfterTheLease: what was claimed in time, and got to its start too late, does not start.
func TestNothingStartsAfterTheLease(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var once sync.Once
	h.script(func() {
		h.onBeat = func(b *workerv1.Beat) (reply *workerv1.BeatReply) {
			once.Do(func() { reply = &workerv1.BeatReply{Number: b.Number, LeaseMs: 2000} })
			return reply // the others have no answer
		}
	})
	ran := make(chan struct{}, 1)
	checking := make(chan struct{})
	w := h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
		ran <- struct{}{}
		return nil, nil
	}), func(c *worker.Config) {
		c.Validate = func(_ executors.Description, call *executors.Call) error {
			close(checking)
			time.Sleep(time.Until(call.Lease.Until())) // as in a process that stood still
			return nil
		}
	})
	h.offer(work(1))
	<-checking
	h.until("the attempt is let go", func() bool { return len(ran) > 0 || w.Stats().InHand == 0 })
	if len(ran) > 0 {
		t.Error("it ran")
	}
}

func TestAWorkerWithoutBeatsFencesItself(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	grant := true
	h.script(func() {
		h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
			if !grant {
				return nil
			}
			return &workerv1.BeatReply{Number: b.Number, LeaseMs: 1000}
		}
	})
	type end struct {
		cause error
		until time.Duration // the lease's end
	}
	ends := make(chan end, 2)
	started := make(chan struct{}, 2)
	w := h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		if call.TaskID == "task-1" {
			started <- struct{}{}
			<-ctx.Done()
			ends <- end{context.Cause(ctx), time.Until(call.Lease.Until())}
			return nil, context.Cause(ctx)
		}
		return nil, nil
	}), func(c *worker.Config) { c.KillGrace = 400 * time.Millisecond })
	h.offer(work(1))
	next(h, started, "the start")
	first := w.Stats().Instance
	h.script(func() { grant = false })
	e := next(h, ends, "the fence")
	if !errors.Is(e.cause, executors.ErrLeaseLost) || e.until <= 0 {
		t.Errorf("ended by %v, %v before the lease's end", e.cause, e.until)
	}
	h.wantResult(1, returned)
	h.script(func() {
		if h.instances[1] != first {
			t.Errorf("the result is of instance %s, want %s", h.instances[1], first)
		}
	})
	h.nextBeat("of a new instance", func(b *workerv1.Beat) bool { return b.Instance != first && b.Number == 1 })
	for len(h.claims) > 0 {
		<-h.claims
	}
	h.offer(work(2))
	h.nextBeat("another", func(*workerv1.Beat) bool { return true })
	if len(h.claims) > 0 {
		t.Error("claimed before the new instance was granted a lease")
	}
	h.script(func() { grant = true })
	h.wantResult(2, completed)
	if c := next(h, h.claims, "a claim"); c.Instance == first {
		t.Error("claimed under the old instance")
	}
}

func TestDrainWaitsForWhatEndsInTime(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	started, may := make(chan struct{}), make(chan struct{})
	w := h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
		close(started)
		<-may
		return "done", nil
	}))
	h.offer(work(1))
	next(h, started, "the start")
	w.Drain()
	h.nextBeat("that drains", func(b *workerv1.Beat) bool { return b.Draining && !b.Leaving && len(b.Running) == 1 })
	h.offer(work(2)) // not for this worker any more
	close(may)
	h.wantResult(1, completed)
	last := h.nextBeat("the last", func(b *workerv1.Beat) bool { return b.Leaving })
	if len(last.Running)+len(last.Asked)+len(last.Reported) > 0 {
		t.Errorf("left with %v", last)
	}
	w.wait(h)
	if err := w.Ready(); err == nil {
		t.Error("ready after its end")
	}
	h.stored(1) // the one that came late
}

func TestDrainHandsBackWhatDoesNot(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	started := make(chan struct{})
	w := h.runWorker(does(func(ctx context.Context, _ *executors.Call) (any, error) {
		close(started)
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, executors.ErrDraining) {
			t.Errorf("ended by %v", cause)
		}
		return nil, ctx.Err()
	}), func(c *worker.Config) { c.DrainGrace = 50 * time.Millisecond })
	h.offer(work(1))
	next(h, started, "the start")
	w.stop() // as SIGTERM does
	h.wantResult(1, returned)
	h.nextBeat("the last", func(b *workerv1.Beat) bool { return b.Leaving })
	w.wait(h)
}

func TestDrainGivesBackWhatWasNotGranted(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() { h.onClaim = func(*workerv1.ClaimRequest) *workerv1.ClaimReply { return nil } })
	w := h.runWorker(echo(), func(c *worker.Config) { c.DrainGrace = 50 * time.Millisecond })
	h.offer(work(1))
	next(h, h.claims, "the claim")
	w.Drain()
	w.wait(h)
	again, err := h.connect("w2").Taker(pool).Take(t.Context(), 1) // at once, not after the ack wait
	if err != nil || again[0].Delivered != 2 {
		t.Errorf("offered again: %v, %v", again, err)
	}
}

func TestDrainHandsBackWhatIsGrantedLate(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	may := make(chan struct{})
	h.script(func() {
		h.onClaim = func(c *workerv1.ClaimRequest) *workerv1.ClaimReply {
			<-may
			return verdicts(c, workerv1.Verdict_VERDICT_YES)
		}
	})
	w := h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
		t.Error("started while draining")
		return nil, nil
	}), func(c *worker.Config) { c.AskWithin = patience })
	h.offer(work(1))
	next(h, h.claims, "the claim")
	w.Drain()
	close(may)
	h.wantResult(1, returned)
	h.stored(0)
	w.wait(h)
}

func TestRunEndsWhenTheConnectionIsClosed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	conn := h.connect("w9")
	w, err := worker.New(worker.Config{ID: "w9", Pools: []worker.Pool{{Name: pool, Concurrency: 1}}, Executors: []executors.Executor{echo()}}, conn)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(context.Background()) }()
	next(h, h.beats, "a beat")
	conn.Close()
	if err := next(h, ended, "the end"); err == nil {
		t.Error("Run returned nil")
	}
}

func TestWorkGoesOnOverARestartOfTheServer(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	started, may := make(chan struct{}), make(chan struct{})
	w := h.runWorker(does(func(context.Context, *executors.Call) (any, error) {
		started <- struct{}{}
		<-may
		return nil, nil
	}), func(c *worker.Config) { c.Beat = time.Hour }) // only the reconnection asks for a second beat
	h.offer(work(1))
	next(h, started, "the start")
	first := next(h, h.beats, "a beat")
	h.stop()
	h.until("it notices", func() bool { return w.Ready() != nil })
	close(may) // its result waits
	h.start()
	if b := next(h, h.beats, "a beat after the reconnection"); b.Instance != first.Instance || b.Number <= 1 {
		t.Errorf("beat is %v", b)
	}
	h.wantResult(1, completed)
	h.until("the receipt has come", func() bool { return w.Stats().Kept == 0 })
	go func() { <-started }()
	h.offer(work(2))
	h.passOver(1) // a result whose receipt was lost comes again
	h.wantResult(2, completed)
}

func TestAnOutdatedWorkerEnds(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() {
		h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
			if b.Level != uint32(dag.AllLevels.Highest()) {
				t.Errorf("the worker says level %d", b.Level)
			}
			return &workerv1.BeatReply{Number: b.Number, Error: "upgrade it", LevelUsed: b.Level + 1}
		}
	})
	w, err := worker.New(worker.Config{ID: "w1", Executors: []executors.Executor{echo()}, Pools: []worker.Pool{{Name: pool, Concurrency: 1}}}, h.connect("w1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(t.Context()); !errors.Is(err, worker.ErrOutdated) || !strings.Contains(err.Error(), "upgrade it") {
		t.Errorf("it ended with %v", err)
	}
}
