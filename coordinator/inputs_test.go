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

// TestBadMapsAreRefused: what a map could never make is known when its tree is submitted, and nothing is stored; what items that are found may mend is left to the run.
func TestBadMapsAreRefused(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	find := dag.Dependency{Ref: "find"}
	got := refused(c, coordinator.SubmitOptions{}, task("r", "", `{}`), task("find", "noop_executor", `{"value":[1]}`),
		task("a", "map_executor", `{"items":"deps.fnd.result","task":{"schemas":{"method":"noop_executor"},"retry":{"often":1}},"collect":"all"}`, find),
		task("b", "map_executor", `{"items":[1,"x"],"task":{"schemas":{"method":"sleep_executor"},"inputs":{"seconds":"{{item}}"},"when":"deps.find.result > 1"}}`, find),
		task("c", "map_executor", `{"items":[1],"tasks":[{"id":"x","name":"x"},{"id":"y","name":"y","parent_id":"x","when":"1 +"}]}`),
		task("d", "map_executor", `{"items":"deps.find.result","task":{"schemas":{"method":"sleep_executor"},"inputs":{"seconds":"{{item}}"}}}`, find))
	want := []string{
		"tasks[2].inputs.collect: value must be one of 'list', 'map', 'none', 'counted' (map_executor of task 'a')",
		"tasks[2].inputs.items: the task does not depend on 'fnd'; is 'find' meant? (map_executor of task 'a')",
		"tasks[2].inputs.task.retry.often: is not known; there are max_attempts, backoff, initial_delay, max_delay, multiplier, jitter, retry_on and no_retry_on (map_executor of task 'a')",
		"tasks[3].inputs.items[0]: tasks[0].when: line 1, column 5: the task does not depend on 'find': it has no dependencies (of task 'name of b[0]') (map_executor of task 'b')",
		"tasks[4].inputs.items[0]: tasks[1].when: line 1, column 4: the expression ends where a value is expected (of task 'y') (map_executor of task 'c')",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
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
