package coordinator_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

func noop(id, parent string, deps ...string) *dag.Task {
	t := &dag.Task{ID: id, Name: id, ParentRef: parent, Executor: "noop_executor", Priority: dag.Normal}
	for _, d := range deps {
		t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: d})
	}
	return t
}

func TestATreeRunsToItsEnd(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	root := noop("root", "", "b", "c")
	root.Inputs = json.RawMessage(`{"value":{"sum":1}}`)
	out := c.Submit(coordinator.SubmitOptions{}, root, noop("a", "root"), noop("b", "root", "a"), noop("c", "root", "a"))
	st := c.Settled(out.TreeID)
	if st.Status != dag.StatusCompleted || st.Completed != 4 || st.Progress != 1 {
		t.Errorf("got %+v, want 4 completed", *st)
	}
	tasks := c.Tasks("root")
	if got := string(tasks["root"].Result); got != `{"sum":1}` {
		t.Errorf("result of root: got %s", got)
	}
	if tasks["a"].CompletedAt.After(tasks["b"].StartedAt) {
		t.Errorf("b started at %s, before a ended at %s", tasks["b"].StartedAt, tasks["a"].CompletedAt)
	}
}

func TestManyTasks(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Concurrency: 200})
	tasks := []*dag.Task{noop("root", "")}
	for i := range 5000 {
		tasks = append(tasks, noop(fmt.Sprintf("t%d", i), "root"))
	}
	for i := range 100 {
		root := tasks[0]
		root.Dependencies = append(root.Dependencies, dag.Dependency{Ref: fmt.Sprintf("t%d", i)})
	}
	out := c.Submit(coordinator.SubmitOptions{}, tasks...)
	if st := c.Settled(out.TreeID); st.Completed != 5001 {
		t.Errorf("got %+v", *st)
	}
}
