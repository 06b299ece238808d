package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// finding finds the tasks of its inputs.
type finding struct{}

func (finding) Describe() executors.Description {
	return executors.Description{ID: "find_executor", Name: "Find", Description: "Finds the tasks of its inputs."}
}

func (finding) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Tasks   json.RawMessage
		Collect string
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Permanent(err)
	}
	return executors.Expanding(executors.Expand{Tasks: in.Tasks, Collect: in.Collect}), nil
}

func expanders(t *testing.T, opts cluster.Options) *cluster.Cluster {
	opts.Executors = func() []executors.Executor { return []executors.Executor{ending{}, finding{}} }
	return cluster.Start(t, opts)
}

// expands is a task of an executor that finds others.
func expands(id, parent, executor, inputs string, deps ...string) *dag.Task {
	t := noop(id, parent, deps...)
	t.Executor = executor
	return with(t, inputs)
}

func TestMap(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 2})
	for _, test := range []struct{ name, inputs, want string }{
		{"values", `{"items":[{"n":1},{"n":2}],"task":{"schemas":{"method":"end_executor"},"inputs":{"value":{"item":"{{item}}","text":"{{index}}: {{item.n}}"}}}}`,
			`[{"item":{"n":1},"text":"0: 1"},{"item":{"n":2},"text":"1: 2"}]`},
		{"by index", `{"items":["a","b"],"collect":"map","task":{"schemas":{"method":"end_executor"},"inputs":{"value":"{{item}}"}}}`, `{"0":"a","1":"b"}`},
		{"nothing is collected", `{"items":["a","b"],"collect":"none","task":{"schemas":{"method":"end_executor"},"inputs":{"value":"{{item}}"}}}`, `{}`},
		{"no items", `{"items":[],"task":{"schemas":{"method":"end_executor"}}}`, `[]`},
		{"a window", `{"items":[1,2,3,4,5,6,7,8,9],"window":2,"task":{"schemas":{"method":"end_executor"},"inputs":{"value":"{{item}}"}}}`, `[1,2,3,4,5,6,7,8,9]`},
		{"trees", `{"items":["x","y","z"],"collect":"map","window":1,"tasks":[{"id":"a","name":"a{{index}}","parent_id":"b","schemas":{"method":"end_executor"},"inputs":{"value":"{{item}}"}},
			{"id":"b","name":"b","dependencies":["a"],"schemas":{"method":"end_executor"},"inputs":{"value":"{{index}}"}}]}`, `{"0.b":0,"1.b":1,"2.b":2}`},
		{"skips and allowed failures are null", `{"items":["skip","fail","value"],"task":{"schemas":{"method":"end_executor"},"allow_failure":true,"params":{"x":"{{item}}"},"inputs":{"skip":"","fail":"no"}}}`, `[null,null,null]`},
		{"items are no templates", `{"items":["{{deps.a.result}}",{"secret":"x"}],"task":{"template":true,"schemas":{"method":"end_executor"},"inputs":{"value":["{{item}}","{{index}} of {{task.name}}"]},"outputs":{"o":"{{item}}"}}}`,
			`[["{{deps.a.result}}","0 of map items are no templates[0]"],[{"secret":"x"},"1 of map items are no templates[1]"]]`},
		{"nested", `{"items":[[1,2],[3]],"task":{"schemas":{"method":"map_executor"},"inputs":{"items":"{{item}}","task":{"schemas":{"method":"end_executor"},"inputs":{"value":"{{item}}"}}}}}`, `[[1,2],[3]]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			id := "map " + test.name
			out := c.Submit(coordinator.SubmitOptions{}, expands(id, "", "map_executor", test.inputs))
			c.Settled(out.TreeID)
			task, err := c.Service().Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if string(task.Result) != test.want {
				t.Errorf("%s (%s): got %s, want %s", task.State, task.Error, task.Result, test.want)
			}
		})
	}
}

func TestExpandedLists(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 2})
	find := func(id, collect, tasks string) *dag.Task {
		return expands(id, "", "find_executor", fmt.Sprintf(`{"collect":%q,"tasks":%s}`, collect, tasks))
	}
	many := make([]string, 2500) // several parts, of which later ones wait for earlier ones, and the first for the last
	for i := range many {
		dep := ""
		switch {
		case i == 0:
			dep = fmt.Sprintf(`{"id":"t%d"}`, len(many)-1)
		case i%100 == 99 && i < 2400:
			dep = fmt.Sprintf(`{"id":"t%d"}`, i+3)
		}
		many[i] = fmt.Sprintf(`{"id":"t%d","name":"t","schemas":{"method":"noop_executor"},"dependencies":[%s]}`, i, dep)
	}
	for _, test := range []struct {
		task        *dag.Task
		want, fault string
	}{
		{task: find("deps", "map", `[{"name":"a","schemas":{"method":"end_executor"},"inputs":{"value":1}},{"name":"b","dependencies":["a"],"schemas":{"method":"end_executor"},"inputs":{"value":2}},{"name":"c","parent_id":"b","schemas":{"method":"end_executor"},"inputs":{"value":3}}]`), want: `{"a":1,"b":2}`},
		{task: find("list", "list", `[{"name":"a","schemas":{"method":"end_executor"},"inputs":{"value":1}},{"name":"b","schemas":{"method":"end_executor"},"inputs":{"value":2}}]`), want: `[1,2]`},
		{task: find("none", "", `[]`), want: `{}`},
		{task: find("groups", "list", `[{"name":"a"},{"name":"b","dependencies":["a"]}]`), want: `[{},{}]`},
		{task: find("many", "none", "["+strings.Join(many, ",")+"]"), want: `{}`},
		{task: find("bad", "all", `[{"name":"a","dependencies":["zzz"]},{"name":"a"},{"name":"b","outcome":"success"}]`), fault: "collect: must be none, list, map or counted"},
		{task: find("bad condition", "", `[{"name":"a","when":"1 +"},{"name":"b","dependencies":["a"],"when":"deps.c.outcome == 'failed'"}]`), fault: "tasks[1].when: line 1, column 5: the task does not depend on 'c'"},
		{task: find("a child fails", "", `[{"name":"a","schemas":{"method":"end_executor"},"inputs":{"fail":"no luck"}},{"name":"b","schemas":{"method":"end_executor"},"inputs":{"value":2}}]`), fault: "no luck"},
	} {
		t.Run(test.task.ID, func(t *testing.T) {
			t.Parallel()
			out := c.Submit(coordinator.SubmitOptions{}, test.task)
			c.Settled(out.TreeID)
			task, err := c.Service().Task(t.Context(), test.task.ID)
			if err != nil {
				t.Fatal(err)
			}
			if string(task.Result) != test.want || !strings.Contains(task.Error, test.fault) || (test.fault == "") != (task.Error == "") {
				t.Errorf("%s: got %s, %q; want %s, %q", task.State, task.Result, task.Error, test.want, test.fault)
			}
		})
	}
}

// TestCancelsGoBelow: cancelling an expanded task cancels what it found, and what that found.
func TestCancelsGoBelow(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	wait := `{"schemas":{"method":"end_executor"},"inputs":{"wait":true}}`
	nested := fmt.Sprintf(`{"items":[1,2,3],"task":{"schemas":{"method":"map_executor"},"inputs":{"items":[1,2],"window":1,"task":%s}}}`, wait)
	out := c.Submit(coordinator.SubmitOptions{}, noop("root", ""), expands("map", "root", "map_executor", nested))
	c.Eventually("tasks run", func() error {
		n, expanded := 0, 0
		for _, s := range states(c, "root") {
			switch s {
			case dag.Running:
				n++
			case dag.Expanded:
				expanded++
			}
		}
		if n != 3 || expanded != 4 {
			return fmt.Errorf("%d run, %d wait for what they found", n, expanded)
		}
		return nil
	})
	if _, err := c.Service().Cancel(t.Context(), "map", coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settled(out.TreeID)
	count := map[dag.State]int{}
	for _, s := range states(c, "root") {
		count[s]++
	}
	if count[dag.Cancelled] != 7 || count[dag.Completed] != 1 || len(count) != 2 {
		t.Errorf("%v", count)
	}
}

// TestStopOnFailure: after a failure no item is made, and those in progress go on.
func TestStopOnFailure(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	out := c.Submit(coordinator.SubmitOptions{}, expands("map", "", "map_executor",
		`{"items":["","no luck","","",""],"window":1,"stop_on_failure":true,"task":{"schemas":{"method":"end_executor"},"inputs":{"fail":"{{item:}}"}}}`))
	c.Settled(out.TreeID)
	task, err := c.Service().Task(t.Context(), "map")
	if err != nil {
		t.Fatal(err)
	}
	all := states(c, "map")
	if task.State != dag.Failed || !strings.Contains(task.Error, "no luck") || len(all) != 3 {
		t.Errorf("%s, %q: %v", task.State, task.Error, all)
	}
}

// TestMapTasksAreWritten by people: what a dependency's result says is no task, whose inputs could name secrets.
func TestMapTasksAreWritten(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	out := c.Submit(coordinator.SubmitOptions{}, expands("m", "", "map_executor", `{"items":[1]}`, "task"),
		expands("task", "m", "end_executor", `{"value":{"name":"x","schemas":{"method":"end_executor"},"inputs":{"a":{"secret":"theirs"}}}}`))
	c.Settled(out.TreeID)
	got, err := c.Service().Task(t.Context(), "m")
	if err != nil || got.State != dag.Failed || !strings.Contains(got.Error, "task was written by the result of a dependency") {
		t.Errorf("%s: %s, %v", got.State, got.Error, err)
	}
}

// TestExpandedTasksShowWhatTheyFound while they wait for it, and not after.
func TestExpandedTasksShowWhatTheyFound(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	out := c.Submit(coordinator.SubmitOptions{}, expands("m", "", "map_executor", `{"items":[1,2,3,4,5],"window":2,"task":{"schemas":{"method":"end_executor"},"inputs":{"wait":true}}}`))
	want := coordinator.Expansion{Tasks: 5, Made: 2, Unfinished: 5, Window: 2}
	c.Eventually("it shows two of five", func() error {
		task, err := c.Service().Task(t.Context(), "m")
		if err == nil && (task.Expansion == nil || *task.Expansion != want) {
			err = fmt.Errorf("%s: %+v", task.State, task.Expansion)
		}
		return err
	})
	if _, err := c.Service().Cancel(t.Context(), "m", coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settled(out.TreeID)
	if task, err := c.Service().Task(t.Context(), "m"); err != nil || task.Expansion != nil {
		t.Errorf("%+v, %v", task.Expansion, err)
	}
}

// TestFoundTasksAreNotEdited: neither changed nor deleted by themselves; with the task that found them, they go.
func TestFoundTasksAreNotEdited(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	out := c.Submit(coordinator.SubmitOptions{}, noop("top", ""), expands("m", "top", "map_executor", `{"items":[1],"task":{"schemas":{"method":"end_executor"},"inputs":{"value":"{{item}}"}}}`))
	c.Settled(out.TreeID)
	child := ""
	for id, task := range c.Tasks(out.TreeID) {
		if task.ParentID == "m" {
			child = id
		}
	}
	if _, err := c.Service().Update(t.Context(), child, coordinator.TaskChange{Inputs: json.RawMessage(`{"value":2}`)}); err == nil || !strings.Contains(err.Error(), "found by another task") {
		t.Errorf("it was changed: %v", err)
	}
	for _, force := range []bool{false, true} {
		if _, err := c.Service().Delete(t.Context(), child, coordinator.DeleteOptions{Force: force}); err == nil || !strings.Contains(err.Error(), "found by another task") {
			t.Errorf("it was deleted: %v", err)
		}
	}
	if _, err := c.Service().Delete(t.Context(), "m", coordinator.DeleteOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if tasks := c.Tasks(out.TreeID); len(tasks) != 1 {
		t.Errorf("%d tasks are left", len(tasks))
	}
}
