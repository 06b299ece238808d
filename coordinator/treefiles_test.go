package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// writing submits the tree of its input, whatever that is.
type writing struct{}

func (writing) Describe() executors.Description {
	return executors.Description{ID: "write_executor", Name: "Write", Description: "Submits the tree of its input."}
}

func (writing) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Text json.RawMessage `json:"text"`
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Permanent(err)
	}
	return executors.Awaiting(executors.Await{Kind: executors.AwaitTree, Data: map[string]any{"tree": in.Text}}), nil
}

// TestTreeFilesInTrees: what a map makes, and what a subtree or an executor of one's own submits, may be written as in tree files.
func TestTreeFilesInTrees(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{ending{}, finding{}, writing{}} }})
	const tasks = `"tasks":[{"name":"a","executor":"end_executor","inputs":{"value":"{{parameters.p}}"}},{"name":"b","needs":["a"],"executor":"end_executor","inputs":{"value":["{{deps.a.result}}",2]}}]`
	const text = `"taskgrove: 1\nname: t\ntasks: [{name: a, executor: end_executor, inputs: {value: {n: 1}}}]\n"`
	for _, test := range []struct {
		name, executor, inputs, want, fault string
		rendered                            bool // before it is stored
	}{
		{name: "a tree", rendered: true, executor: dag.SubtreeExecutor, inputs: `{"tree":{"name":"t",` + tasks + `,"parameters":{"p":{"type":"integer"}},"taskgrove":1},"parameters":{"p":1}}`, want: `{}`},
		{name: "a text", rendered: true, executor: dag.SubtreeExecutor, inputs: `{"tree":` + text + `}`, want: `{}`},
		{name: "a task of each item", rendered: true, executor: "map_executor", inputs: `{"items":[1,2],"task":{"taskgrove":1,"executor":"end_executor","inputs":{"value":"{{item}}"}}}`, want: `[1,2]`},
		{name: "tasks of each item", rendered: true, executor: "map_executor", inputs: `{"items":[1],"tasks":{"taskgrove":1,"parameters":{"p":{"default":7}},` + tasks + `}}`, want: `[[7,2]]`},
		{name: "a map in a subtree", executor: dag.SubtreeExecutor, inputs: `{"tree":[{"name":"m","schemas":{"method":"map_executor"},"inputs":{"items":[3],"task":{"taskgrove":1,"executor":"end_executor","inputs":{"value":"{{item}}"}}}}]}`, want: `[3]`},
		{name: "written by an executor", executor: "write_executor", inputs: `{"text":` + text + `}`, want: `{}`},
		{name: "an object of an executor", executor: "write_executor", inputs: `{"text":{"taskgrove":1,"name":"t","tasks":[{"name":"a","executor":"end_executor"}]}}`, want: `{}`},
		{name: "faults of an executor", executor: "write_executor", inputs: `{"text":"taskgrove: 1\nname: t\ntasks: [{name: a, executor: end_executor, timeout: 1h, neds: []}]\n"}`,
			fault: "the tree is invalid: tree.tasks[0].timeout: must be a number of seconds (line 3, column 43); tree.tasks[0].neds: there is no such key; did you mean needs? (line 3, column 56)"},
		{name: "found", executor: "find_executor", inputs: `{"tasks":[{"name":"m","schemas":{"method":"map_executor"},"inputs":{"items":[3],"task":{"taskgrove":1,"executor":"end_executor"}}}]}`, fault: "is written as in a tree file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			id := "tf " + test.name
			c.Submit(coordinator.SubmitOptions{}, using(test.executor, id, "", test.inputs))
			c.Settled(id)
			task, err := c.Service().Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if string(task.Result) != test.want || !strings.Contains(task.Error, test.fault) || (test.fault == "") != (task.Error == "") {
				t.Errorf("%s: got %s, %q; want %s, %q", task.State, task.Result, task.Error, test.want, test.fault)
			}
			if test.rendered && strings.Contains(string(task.Inputs), "taskgrove") {
				t.Errorf("it is stored as %s", task.Inputs)
			}
		})
	}
	t.Run("faults", func(t *testing.T) {
		t.Parallel()
		bad := using(dag.SubtreeExecutor, "bad", "root", `{"tree":{"taskgrove":1,"name":"t","tasks":[{"name":"a","executor":"end_executor","time_out":3}]},"parameters":{"x":1}}`)
		worse := using("map_executor", "worse", "root", `{"items":[1],"tasks":{"taskgrove":1,"tasks":[{"name":"a","executor":"end_executor","priority":9},{"name":"b"}]}}`)
		_, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("root", ""), bad, worse}))
		refused, ok := errors.AsType[*dag.InvalidTreeError](err)
		if !ok {
			t.Fatal(err)
		}
		var got []string
		for _, p := range refused.Problems {
			got = append(got, fmt.Sprintf("%s %s", dag.FieldOf(p), p.Reason))
		}
		for _, want := range []string{
			"tasks[1].inputs.parameters.x tasks[1].inputs.parameters.x: the file has no parameters", "tasks[1].inputs.tree.tasks[0].time_out tasks[1].inputs.tree.tasks[0].time_out: there is no such key; did you mean timeout?",
			"tasks[2].inputs.tasks.tasks tasks[2].inputs.tasks.tasks: one task must come last",
		} {
			if !slices.ContainsFunc(got, func(one string) bool { return strings.HasPrefix(one, want) }) {
				t.Errorf("%q is not among %q", want, got)
			}
		}
		if _, err := c.Service().Task(t.Context(), "root"); !errors.Is(err, coordinator.ErrNotFound) {
			t.Errorf("something is stored: %v", err)
		}
	})
}
