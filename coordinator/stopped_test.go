package coordinator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// stubborn stops only when it is let.
type stubborn struct {
	told
	let chan struct{}
}

func (e *stubborn) Run(ctx context.Context, _ *executors.Call) (*executors.Outcome, error) {
	<-ctx.Done()
	<-e.let
	return nil, context.Cause(ctx)
}

// TestReceiptsTellHowLongStoppingTook, of a task and of a tree.
func TestReceiptsTellHowLongStoppingTook(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor {
		return []executors.Executor{&stubborn{told{executors.Description{ID: "x", Name: "X", Type: "go", Cancelable: true}}, let}}
	}})
	t.Cleanup(func() { close(let) }) // before the cluster ends
	task := func(id, parent string) *dag.Task {
		return &dag.Task{ID: id, Name: id, ParentRef: parent, Priority: dag.Normal, Executor: "x"}
	}
	c.Submit(coordinator.SubmitOptions{}, task("root", ""), task("child", "root"))
	only := func(id string, as func(*coordinator.Attempt) bool) coordinator.Attempt {
		t.Helper()
		var last coordinator.Attempt
		c.Eventually("the attempt of "+id+" is as wanted", func() error {
			all, err := c.Service().Attempts(t.Context(), id)
			if err != nil || len(all) != 1 || !as(&all[0]) {
				return fmt.Errorf("%+v, %w", all, err)
			}
			last = all[0]
			return nil
		})
		return last
	}
	for _, id := range []string{"root", "child"} {
		only(id, func(a *coordinator.Attempt) bool { return a.Running })
	}
	for _, id := range []string{"child", "root"} { // by itself, and with its tree
		if _, err := c.Service().Cancel(t.Context(), id, coordinator.CancelOptions{}); err != nil {
			t.Fatal(err)
		}
		open := only(id, func(a *coordinator.Attempt) bool {
			return !a.Running && a.Outcome == dag.OutcomeCancelled
		})
		if !open.CancelledAt.IsZero() {
			t.Errorf("%s: it has not stopped, and got %+v", id, open)
		}
		const stays = 100 * time.Millisecond // the least that it must be told to take
		<-time.After(stays)
		let <- struct{}{}
		done := only(id, func(a *coordinator.Attempt) bool { return !a.CancelledAt.IsZero() })
		if took := done.FinishedAt.Sub(done.CancelledAt); took < stays || took > time.Minute {
			t.Errorf("%s took %v to stop, want over %v: %+v", id, took, stays, done)
		}
	}
}
