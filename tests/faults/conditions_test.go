package faults

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
)

// TestKilledWhileDecidingConditions kills a coordinator that has evaluated conditions and has not written what follows, or has written it and told nobody.
// Another one evaluates them anew, or goes on from there; each condition is decided once.
func TestKilledWhileDecidingConditions(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range []string{"coordinator.after-conditions-evaluated=kill", "coordinator.after-conditions-commit=kill"} {
		root := fmt.Sprintf("when%d", n)
		tasks := []*dag.Task{commandTask(root, "", "echo root"), commandTask(root+".find", root, "echo found")}
		for i, text := range []string{`deps["%s.find"].result.stdout.contains("found")`, `deps["%s.find"].outcome == "failed"`, `deps["%s.find"].result.nothing > 1`} {
			for k := range 3 {
				one := commandTask(fmt.Sprintf("%s.%d.%d", root, i, k), root, "echo one")
				if k == 0 {
					one.Executor, one.Inputs = "", nil
				}
				one.Control = &dag.Control{When: fmt.Sprintf(text, root)}
				one.Dependencies = []dag.Dependency{{Ref: root + ".find"}}
				tasks = append(tasks, one)
			}
		}
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		eventually(t, root+" has ended", func() error {
			tree, err := s.front.Tree(t.Context(), root)
			if err == nil && tree.Unfinished > 0 {
				err = fmt.Errorf("%d tasks have not", tree.Unfinished)
			}
			return err
		})
		for i, want := range []dag.State{dag.Completed, dag.Skipped, dag.Failed} {
			for k := range 3 {
				id := fmt.Sprintf("%s.%d.%d", root, i, k)
				task, err := s.front.Task(t.Context(), id)
				if err != nil || task.State != want {
					t.Errorf("%s, %s: got %+v, %v; want %s", point, id, task, err, want)
				}
				if runs := s.runs(id); runs != 1 {
					t.Errorf("%s, %s: %d attempts", point, id, runs)
				}
			}
		}
	}
	s.check()
}

// commandTask runs a command.
func commandTask(id, parent, line string) *dag.Task {
	inputs, _ := json.Marshal(map[string]any{"command": line})
	return &dag.Task{ID: id, Name: id, ParentRef: parent, Executor: command.ID, Priority: dag.Normal, Inputs: inputs}
}
