package coordinator_test

import (
	"context"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// endless finds itself, below a group.
type endless struct{}

func (endless) Describe() executors.Description {
	return executors.Description{ID: "endless_executor", Name: "Endless", Description: "Finds itself."}
}

func (endless) Run(context.Context, *executors.Call) (*executors.Outcome, error) {
	return executors.Expanding(executors.Expand{Tasks: []byte(`[{"id":"g","name":"g"},{"id":"x","name":"x","parent_id":"g","schemas":{"method":"endless_executor"}}]`)}), nil
}

// TestWhatFindsItselfComesToAnEnd: nobody else stops it before its tree has four million tasks.
func TestWhatFindsItselfComesToAnEnd(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{endless{}} }})
	root := noop("deep", "")
	root.Executor = "endless_executor"
	c.Settled(c.Submit(coordinator.SubmitOptions{}, root).TreeID)
	task, err := c.Service().Task(t.Context(), "deep")
	if err != nil {
		t.Fatal(err)
	}
	full, n := 0, 0
	for _, t := range c.Tasks("deep") {
		if n++; strings.HasPrefix(t.Error, "tree_full") {
			full++
		}
	}
	if want := 2*dag.MaxNestedExpansions + 1; task.State != dag.Failed || full != 1 || n != want {
		t.Errorf("got %d tasks of %d, of which %d found no room, and %s: %.300s", n, want, full, task.State, task.Error)
	}
}
