package coordinator_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// when gives a task a condition.
func when(t *dag.Task, text string) *dag.Task {
	t.Control = &dag.Control{When: text}
	return t
}

// afterAny adds dependencies whose outcome does not matter.
func afterAny(t *testing.T, task *dag.Task, deps ...string) *dag.Task {
	t.Helper()
	mode, ok := dag.EdgeOf([]string{dag.AcceptAny}, "", false, false)
	if !ok {
		t.Fatal("no such mode")
	}
	for _, d := range deps {
		task.Dependencies = append(task.Dependencies, dag.Dependency{Ref: d, Mode: mode})
	}
	return task
}

// TestConditions: a task runs, is skipped or fails as its condition says, whatever it looks at.
func TestConditions(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2})
	large := `{"value":{"text":"` + strings.Repeat("x", 600<<10) + `"}}`
	tasks := []*dag.Task{
		noop("root", ""),
		with(noop("find", "root"), `{"value":{"count":3,"items":["a","b"]}}`),
		with(noop("none", "root"), `{"value":{"count":0,"items":[]}}`),
		with(noop("bad", "root"), `{"fail":"exit status 3"}`),
		with(noop("large1", "root"), large), with(noop("large2", "root"), large),
	}
	want := map[string]struct {
		state dag.State
		error string
	}{}
	add := func(task *dag.Task, state dag.State, text string) {
		tasks = append(tasks, task)
		want[task.ID] = struct {
			state dag.State
			error string
		}{state, text}
	}
	add(when(noop("found", "root", "find"), `size(deps.find.result.items) > 0`), dag.Completed, "")
	add(when(noop("nothing", "root", "none"), `size(deps.none.result.items) > 0`), dag.Skipped, "")
	add(when(group("gate", "root", "find"), `deps["find"].result.count == 3 && deps.find.outcome == "success"`), dag.Completed, "")
	add(when(group("shut", "root", "find"), `deps.find.attempts > 1`), dag.Skipped, "")
	add(when(noop("alone", "root"), `task.id == "alone" && tree.id == "root"`), dag.Completed, "")
	add(with(when(noop("inputs", "root", "find"), `deps.find.result.count >= inputs.least`), `{"least":4}`), dag.Skipped, "")
	add(when(afterAny(t, noop("handler", "root"), "bad", "find"), `deps.bad.outcome == "failed" && deps.bad.error.contains("status 3")`), dag.Completed, "")
	add(when(noop("blocked", "root", "bad"), `true`), dag.Blocked, "")
	add(when(noop("missing", "root", "find"), `deps.find.result.total > 1`), dag.Failed, `when_error: line 1, column 17: there is no key "total"`)
	add(when(noop("too much", "root", "large1", "large2"), `deps.all(d, deps[d].result.text != "")`), dag.Failed, "when_error: ")
	add(when(noop("one of them", "root", "large1", "large2"), `deps.large1.result.text.size() > 1`), dag.Completed, "")
	named := with(noop("named", "root"), `{"value":{"n":3}}`)
	named.Control = &dag.Control{Outputs: json.RawMessage(`{"n":"{{result.n}}"}`)}
	tasks = append(tasks, named)
	add(when(group("outputs", "root", "named"), `deps.named.outputs.n == 3 && deps.named.result.n == 3`), dag.Completed, "")
	add(when(afterAny(t, group("gate of a flow", "root"), "named", "none", "nothing"), `flow_compare(">", flow_output([deps.none.outputs, deps.named.outputs], "n"), 2) && flow_skip_reason(deps.nothing.result) == "condition=false"`), dag.Completed, "")
	add(when(noop("no order", "root", "named"), `flow_compare(">", "word", flow_get(deps.named.outputs, "n"))`), dag.Failed, "when_error: line 1, column 13: when.type_error: > does not order a text and a number")
	add(noop("behind", "root", "found"), dag.Completed, "")
	add(noop("behind skipped", "root", "nothing"), dag.Completed, "")
	c.Submit(coordinator.SubmitOptions{}, tasks...)
	c.Settled("root")
	got := c.Tasks("root")
	for id, w := range want {
		task := got[id]
		if task.State != w.state || !strings.HasPrefix(task.Error, w.error) || w.error == "" && task.State == dag.Failed {
			t.Errorf("%s: got %s %q, want %s %q", id, task.State, task.Error, w.state, w.error)
		}
		if w.error != "" && (!task.StartedAt.IsZero() || task.CompletedAt.IsZero() || task.Attempt != 1) {
			t.Errorf("%s: started %s, completed %s, attempt %d", id, task.StartedAt, task.CompletedAt, task.Attempt)
		}
	}
	if result := string(got["nothing"].Result); result != `{"skipped":true,"reason":"when_false"}` {
		t.Errorf("the result of a skipped task: %s", result)
	}
}

// TestConditionsAreChecked: all faults of a tree's conditions are reported with the others, and nothing is stored.
func TestConditionsAreChecked(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Workers: 0})
	repeated := noop("r", "root")
	repeated.Control = &dag.Control{Repeat: &dag.Repeat{Until: "result.done && deps.a.result.x", Max: 3}}
	_, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{
		noop("root", ""), noop("a", "root"), with(noop("b", "root"), `{"value":1,"fail":7}`),
		when(noop("x", "root", "a"), "deps.a.outcome == \"ok\" ||\n nothing"), repeated,
		when(noop("y", "root", "a", "z"), `deps.b.outcome == "failed" || has(deps.aa.result.x) || deps["a"].attempts > 1`), noop("z", "root"),
	}))
	tree, ok := errors.AsType[*dag.InvalidTreeError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"tasks[3].when: line 2, column 2: undeclared reference to 'nothing' (of task 'x')",
		"tasks[4].repeat.until: line 1, column 16: undeclared reference to 'deps' (of task 'r')",
		"tasks[2].inputs.fail",
		"tasks[5].when: line 1, column 5: the task does not depend on 'b' (of task 'y')",
		"tasks[5].when: line 1, column 39: the task does not depend on 'aa'; is 'a' meant?",
	} {
		if !strings.Contains(tree.Error(), want) {
			t.Errorf("no %q in %s", want, tree.Error())
		}
	}
	if _, err := c.Service().Task(t.Context(), "root"); err == nil {
		t.Error("the tree was stored")
	}
}
