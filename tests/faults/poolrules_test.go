package faults

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
)

// TestKilledWhileARuleForbids: what a pool has come to forbid fails once and never starts, though coordinators are killed behind the commit that
// ends it, before its worker has the answer, and workers before they ask.
func TestKilledWhileARuleForbids(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	const tasks = 60
	tree := []*dag.Task{{ID: "root", Name: "root"}, {ID: "after", Name: "after", ParentRef: "root", Executor: "noop_executor"}}
	for n := range tasks {
		id := fmt.Sprint("t", n)
		inputs, _ := json.Marshal(map[string]any{"command": fmt.Sprintf("touch %s/ran-%s", s.base.Dir, id)})
		tree = append(tree, &dag.Task{ID: id, Name: id, ParentRef: "root", Executor: command.ID, Inputs: inputs, Repeatable: n%4 == 0, Retry: dag.RetryPolicy{MaxAttempts: 3}})
	}
	tree[1].Dependencies = []dag.Dependency{{Ref: "t0"}}
	if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(tree)); err != nil {
		t.Fatal(err)
	}
	if err := s.front.SetPoolRule(t.Context(), dag.PoolRule{Pool: command.ID, Namespaces: []string{"elsewhere"}}); err != nil {
		t.Fatal(err)
	}
	victim := s.start(CoordinatorRole, "coordinator.after-claim-commit=kill@2")
	asker := s.start(WorkerRole, "worker.before-claim=kill@2")
	s.dies(asker)
	s.start(WorkerRole, "")
	s.dies(victim)
	s.start(CoordinatorRole, "")
	s.start(CoordinatorRole, "")
	if err := settled(t.Context(), s.front, "root"); err != nil {
		t.Fatal(err, s.depths())
	}
	for n := range tasks {
		id := fmt.Sprint("t", n)
		task, err := s.front.Task(t.Context(), id)
		if err != nil || task.State != dag.Failed || !strings.Contains(task.Error, `it takes no tasks of namespace "default"`) || !task.StartedAt.IsZero() {
			t.Errorf("%s: got %+v, %v", id, task, err)
		}
		if list, err := s.front.Attempts(t.Context(), id); err != nil || len(list) != 1 {
			t.Errorf("%s: attempts %+v, %v", id, list, err)
		}
	}
	if after, err := s.front.Task(t.Context(), "after"); err != nil || after.State != dag.Blocked {
		t.Errorf("what depends on one: %+v, %v", after, err)
	}
	if ran, _ := filepath.Glob(filepath.Join(s.base.Dir, "ran-*")); len(ran) > 0 {
		t.Errorf("%d ran", len(ran))
	}
	eventually(t, "nothing is left over", func() error { return CheckSettled(t.Context(), s.base.Postgres) })
	if err := CheckStore(t.Context(), s.front); err != nil {
		t.Error(err)
	}
}
