package coordinator_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// task is one of a tree with the root "r".
func task(id, executor, inputs string, deps ...dag.Dependency) *dag.Task {
	t := &dag.Task{ID: id, Name: "name of " + id, ParentRef: "r", Executor: executor, Priority: dag.Normal, Inputs: json.RawMessage(inputs), Dependencies: deps}
	if id == "r" {
		t.ParentRef = ""
	}
	return t
}

// refused are the texts of what a submission was refused for.
func refused(c *cluster.Cluster, opts coordinator.SubmitOptions, tasks ...*dag.Task) (texts []string) {
	c.T.Helper()
	_, err := c.Service().Submit(c.T.Context(), opts, func(yield func(*dag.Task, error) bool) {
		for _, t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	})
	bad, ok := errors.AsType[*dag.InvalidTreeError](err)
	if !ok && err != nil {
		c.T.Fatal(err)
	}
	if ok {
		for _, p := range bad.Problems {
			texts = append(texts, p.Reason)
		}
	}
	return texts
}

// TestBadInputsAreRefused as soon as a tree is submitted, also one that is held, all at once; what a result may mend, and what nobody will
// read, is not.
func TestBadInputsAreRefused(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	group := func() *dag.Task { return task("r", "", `{"seconds": "x"}`) }
	for _, hold := range []bool{false, true} {
		got := refused(c, coordinator.SubmitOptions{Hold: hold}, group(),
			task("a", "sleep_executor", `{"secondz": 1}`), task("b", "sleep_executor", `{"seconds": -1}`, dag.Dependency{Ref: "a"}),
			task("c", "sleep_executor", `{"fail_times": 1}`, dag.Dependency{Ref: "seconds"}), task("seconds", "noop_executor", `{"value": 1}`),
			task("d", "nobody-has-this", `{"seconds": "x"}`))
		want := []string{
			"tasks[1].inputs.seconds: is required (sleep_executor of task 'a'); is 'secondz' meant to be it?",
			"tasks[2].inputs.seconds: must be at least 0 (sleep_executor of task 'b')",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("hold %v: got\n%s\nwant\n%s", hold, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	own := task("r", "noop_executor", `{"value": 1}`)
	own.Schemas = json.RawMessage(`{"input_schema": {"properties": {"value": {"type": "string"}}}}`)
	if got := refused(c, coordinator.SubmitOptions{}, own); len(got) != 1 || got[0] != "tasks[0].inputs.value: got number, want string (schemas.input_schema of task 'r')" {
		t.Errorf("by its own schema: got %q", got)
	}
	if got := refused(c, coordinator.SubmitOptions{Demo: true}, task("r", "sleep_executor", `{}`)); got != nil {
		t.Errorf("a demonstration: %q", got)
	}
	large := []*dag.Task{group()}
	for i := range 5000 {
		large = append(large, task("large-"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "sleep_executor", `{}`))
	}
	if got := refused(c, coordinator.SubmitOptions{}, large...); len(got) != dag.MaxProblems {
		t.Errorf("%d faults of a large tree are told, want %d", len(got), dag.MaxProblems)
	}
}

// TestOtherInputsOfWorkersCount: where live workers describe other inputs of an executor than the coordinator knows, they judge.
func TestOtherInputsOfWorkersCount(t *testing.T) {
	t.Parallel()
	with := func(schema string) []executors.Executor {
		return []executors.Executor{&told{executors.Description{ID: "custom", Inputs: json.RawMessage(schema)}}}
	}
	c := cluster.Start(t, cluster.Options{Workers: -1, Executors: func() []executors.Executor { return with(`{"type": "object"}`) }})
	if _, err := c.TryCoordinator(node.Options{Executors: with(`{"required": ["x"]}`)}); err != nil {
		t.Fatal(err)
	}
	c.Coordinators = c.Coordinators[1:]
	c.Eventually("the second coordinator is ready", func() error { return c.Service().Ready(t.Context()) })
	bad := func() *dag.Task { return task("r", "custom", `{}`) }
	if got := refused(c, coordinator.SubmitOptions{Hold: true}, bad()); len(got) != 1 {
		t.Errorf("no worker: %q", got)
	}
	c.AddWorker()
	shown(c, "custom", workersOf(1))
	if got := refused(c, coordinator.SubmitOptions{Hold: true}, bad()); got != nil {
		t.Errorf("a worker with another schema: %q", got)
	}
}
