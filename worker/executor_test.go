package worker_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/worker"
)

type executor struct {
	description executors.Description
	run         func(ctx context.Context, call *executors.Call) (any, error)
}

func (e *executor) Describe() executors.Description { return e.description }

func (e *executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	value, err := e.run(ctx, call)
	if err != nil {
		return executors.Partial(value), err
	}
	if o, ok := value.(*executors.Outcome); ok {
		return o, nil
	}
	return executors.Completed(value), nil
}

func does(run func(ctx context.Context, call *executors.Call) (any, error)) *executor {
	return &executor{executors.Description{ID: "test", Type: "core", Cancelable: true}, run}
}

// echo returns its inputs.
func echo() *executor {
	return does(func(_ context.Context, call *executors.Call) (any, error) { return call.Inputs, nil })
}

// running is a worker under test.
type running struct {
	*worker.Worker
	id    string
	stop  context.CancelFunc
	ended chan error
}

// runWorker starts a worker that ends with the test at the latest.
func (h *harness) runWorker(e executors.Executor, change ...func(*worker.Config)) *running {
	h.t.Helper()
	cfg := worker.Config{
		ID: "w1", Pools: []worker.Pool{{Name: pool, Concurrency: 4}}, Beat: 100 * time.Millisecond,
		KillGrace: 2 * time.Second, DrainGrace: 5 * time.Second, AskWithin: 200 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(h.t.Output(), nil)), Executors: []executors.Executor{e},
	}
	for _, c := range change {
		c(&cfg)
	}
	w, err := worker.New(cfg, h.connect(cfg.ID))
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{Worker: w, id: cfg.ID, stop: stop, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- w.Run(ctx)
	}()
	h.t.Cleanup(func() {
		stop()
		h.script(func() { h.receipts, h.onBeat, h.onClaim = true, nil, nil })
		<-done
	})
	return r
}

// wait returns once Run has.
func (r *running) wait(h *harness) {
	h.t.Helper()
	if err := next(h, r.ended, "the worker's end"); err != nil {
		h.t.Fatalf("Run returned %v", err)
	}
}

func jsonOf(t testing.TB, v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
