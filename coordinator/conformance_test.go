package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestConformance holds the coordinator, with its stores and a worker, against the scenarios that every surface passes.
func TestConformance(t *testing.T) {
	t.Parallel()
	h := &hands{orders: map[string]chan order{}, idle: make(chan struct{})}
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Pools: []string{apitest.HandExecutor}, Concurrency: 64,
		Executors: func() []executors.Executor { return []executors.Executor{h} }})
	shown(c, apitest.HandExecutor, workersOf(1)) // the worker has described it
	t.Run("scenarios", func(t *testing.T) {      // ends before the cluster does
		apitest.Run(t, apitest.Direct, func(t testing.TB) apitest.Backend {
			return &backend{Service: c.Service(), c: c.For(t), hands: h}
		})
	})
	close(h.idle)
}

// hands is an executor whose attempts end by order.
type hands struct {
	mu     sync.Mutex
	orders map[string]chan order // by task
	idle   chan struct{}         // closed when no more orders come
}

// order makes an attempt write a line, use a model or tell something live, or ends it.
type order struct {
	log, result, fail string
	use               dag.Used
	tell              []coordinator.Piece
}

// Describe implements [executors.Executor].
func (h *hands) Describe() executors.Description {
	return executors.Description{ID: apitest.HandExecutor, Name: "Hands", Type: "core", Cancelable: true}
}

func (h *hands) of(id string) chan order {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.orders[id] == nil {
		h.orders[id] = make(chan order)
	}
	return h.orders[id]
}

// Run implements [executors.Executor].
func (h *hands) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	for {
		select {
		case o := <-h.of(call.TaskID):
			switch u := o.use; {
			case u != (dag.Used{}):
				call.Record(u.Model, executors.Usage{Calls: u.Calls, PromptTokens: u.Prompt, CompletionTokens: u.Completion, CachedTokens: u.Cached,
					CostNanos: u.CostNanos, Unpriced: u.Unpriced, Currency: u.Currency})
			case o.log != "":
				call.Reporter.Log("stdout", o.log)
			case o.tell != nil:
				for _, p := range o.tell {
					call.Tell(executors.Piece{Kind: executors.PieceKind(p.Kind), Agent: p.Agent, Name: p.Name, Text: p.Text})
				}
			case o.fail != "":
				return nil, errors.New(o.fail)
			default:
				return executors.Completed(json.RawMessage(o.result)), nil
			}
		case <-h.idle: // so that the worker need not wait for what a scenario left behind
			return nil, errors.New("no more orders")
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// backend is a cluster whose workers obey the scenarios.
type backend struct {
	coordinator.Service
	c     *cluster.Cluster
	hands *hands
}

func (b *backend) reached(id string, want func(dag.State) bool) {
	b.c.T.Helper()
	b.c.Eventually(id+" has come further", func() error {
		t, err := b.Task(context.Background(), id)
		if err == nil && !want(t.State) {
			err = fmt.Errorf("%s", t.State)
		}
		return err
	})
}

// Start implements [apitest.Backend].
func (b *backend) Start(id string) {
	b.c.T.Helper()
	b.reached(id, func(s dag.State) bool { return s == dag.Running })
}

func (b *backend) end(id string, o order) {
	b.c.T.Helper()
	b.Start(id)
	b.hands.of(id) <- o
	b.reached(id, dag.State.Settled)
}

// Complete implements [apitest.Backend].
func (b *backend) Complete(id, result string) {
	b.c.T.Helper()
	b.end(id, order{result: result})
}

// Fail implements [apitest.Backend].
func (b *backend) Fail(id, text string) {
	b.c.T.Helper()
	b.end(id, order{fail: text})
}

// Use implements [apitest.Backend].
func (b *backend) Use(id string, u dag.Used) {
	b.c.T.Helper()
	b.Start(id)
	b.hands.of(id) <- order{use: u}
}

// Tell lets the attempt tell pieces.
func (b *backend) Tell(id string, pieces ...coordinator.Piece) {
	b.hands.of(id) <- order{tell: pieces}
}

// Log makes the attempt write a line, and waits until it can be read.
func (b *backend) Log(id, text string) {
	b.c.T.Helper()
	b.Start(id)
	b.hands.of(id) <- order{log: text}
	b.c.Eventually(text+" is in the log", func() error {
		for line, err := range b.Logs(context.Background(), coordinator.LogFilter{TaskID: id}) {
			if err != nil || line.Text == text {
				return err
			}
		}
		return errors.New("it is not")
	})
}
