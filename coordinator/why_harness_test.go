package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// gate is an executor whose attempts end when the test says so.
type gate struct {
	mu     sync.Mutex
	closed map[string]chan struct{}
	begun  sync.Map // ids of tasks that an attempt of runs, or ran
	locks  sync.Map // by these: the key of the lock that it was told of
}

func (g *gate) of(id string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed[id] == nil {
		g.closed[id] = make(chan struct{})
	}
	return g.closed[id]
}

// open lets the task's attempts end, this one and all later ones.
func (g *gate) open(id string) { close(g.of(id)) }

// Describe implements [executors.Executor].
func (g *gate) Describe() executors.Description {
	return executors.Description{ID: "gate_executor", Name: "Gate", Type: "core", Cancelable: true}
}

// Run implements [executors.Executor]. Inputs: fail, the text that the first attempt fails with; stubborn: it does not
// stop when it is told to.
func (g *gate) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Fail     string
		Stubborn bool
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, err
	}
	if in.Fail != "" && call.Attempt == 1 {
		return nil, errors.New(in.Fail)
	}
	if in.Stubborn {
		ctx = context.WithoutCancel(ctx)
	}
	if call.Lock != nil && call.Lock.Token > 0 {
		g.locks.Store(call.TaskID, call.Lock.Key)
	}
	g.begun.Store(call.TaskID, true)
	select {
	case <-g.of(call.TaskID):
		return executors.Completed(map[string]any{}), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// gated is a task that runs until its gate is opened.
func gated(id, parent, pool, inputs string, deps ...string) *dag.Task {
	t := noop(id, parent, deps...)
	t.Executor, t.Pool = "gate_executor", pool
	return with(t, inputs)
}

// pooled is a task of a pool that runs at once.
func pooled(id, parent, pool string, deps ...string) *dag.Task {
	t := noop(id, parent, deps...)
	t.Pool = pool
	return t
}

func group(id, parent string, deps ...string) *dag.Task {
	t := noop(id, parent, deps...)
	t.Executor = ""
	return t
}

// causes are an explanation's waits, in short.
func causes(e *coordinator.Explanation) string {
	var out []string
	for _, w := range e.Waits {
		switch w.Kind {
		case coordinator.WaitDependency:
			out = append(out, fmt.Sprintf("%s %s %s", w.Kind, w.TaskID, w.TaskState))
		case coordinator.WaitBlocked:
			out = append(out, fmt.Sprintf("%s %s %s (%s)", w.Kind, w.TaskID, w.TaskState, w.Error))
		case coordinator.WaitCapacity:
			out = append(out, fmt.Sprintf("%s %s ahead %d of %d", w.Kind, w.Pool, w.Ahead, w.Capacity))
		case coordinator.WaitPool, coordinator.WaitDispatch:
			out = append(out, w.Kind.String()+" "+w.Pool)
		case coordinator.WaitRetry:
			out = append(out, fmt.Sprintf("%s %d (%s)", w.Kind, w.Attempt, w.Error))
		case coordinator.WaitWorker, coordinator.WaitSlot:
			out = append(out, fmt.Sprintf("%s %s %d", w.Kind, w.Worker, w.Attempt))
		default:
			out = append(out, w.Kind.String())
		}
	}
	return strings.Join(out, ", ")
}

// whyTest is what each story of TestWhy works with.
type whyTest struct {
	*cluster.Cluster
	*testing.T
	gate *gate
	db   *pgx.Conn

	commands *atomic.Bool // whether workers that are added allow commands
}

// why waits until the causes are as wanted.
func (w *whyTest) why(id, want string) *coordinator.Explanation {
	w.Helper()
	var e *coordinator.Explanation
	w.Eventually("why "+id+": "+want, func() (err error) {
		if e, err = w.Service().Why(w.Context(), id); err != nil {
			return err
		}
		if got := causes(e); got != want {
			return fmt.Errorf("got %q: %+v", got, *e)
		}
		return nil
	})
	for _, wait := range e.Waits {
		if wait.Text == "" || e.Summary == "" {
			w.Errorf("%s: nothing for people: %+v", id, *e)
		}
	}
	return e
}

// starts waits until the task runs, or has completed.
func (w *whyTest) starts(id string) {
	w.Helper()
	w.Eventually(id+" starts", func() error {
		task, err := w.Service().Task(w.Context(), id)
		if err == nil && task.State != dag.Running && task.State != dag.Completed {
			err = fmt.Errorf("%s", task.State)
		}
		return err
	})
}

// begins waits for the executor to run: a worker that drains hands back what was claimed and has not begun.
func (w *whyTest) begins(id string) {
	w.Helper()
	w.Eventually(id+" begins", func() error {
		if _, begun := w.gate.begun.Load(id); !begun {
			return errors.New("not begun")
		}
		return nil
	})
}

func (w *whyTest) exec(statement string, args ...any) {
	w.Helper()
	if _, err := w.db.Exec(w.Context(), statement, args...); err != nil {
		w.Fatal(err)
	}
}
