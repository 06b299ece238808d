package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// TestEndsBeforeAllIsMade: a found task that a user cancels or skips while others are still to be made is known to those of them that depend on it.
func TestEndsBeforeAllIsMade(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, what := range []string{"cancel", "skip"} {
		want := map[string]dag.State{"cancel": dag.Failed, "skip": dag.Completed}[what] // a cancelled child fails who found it
		root := fmt.Sprintf("growing%d", n)
		const tasks = 1500 // two parts
		tree := oracle.Tree{Tasks: []oracle.Task{{ID: root, Parent: -1, MaxAttempts: 1, Script: oracle.Script{Collect: oracle.CollectNone}}}}
		for i := range tasks {
			child := oracle.Task{ID: fmt.Sprintf("%s-%d", root, i), Parent: 0, By: 1, Local: fmt.Sprintf("c%d", i), Ref: fmt.Sprintf("c%d", i), MaxAttempts: 1, AllowFailure: true}
			if i == tasks-1 {
				child.Deps = []oracle.Dep{{On: 1, Optional: true}}
			}
			tree.Tasks = append(tree.Tasks, child)
		}
		victim := s.start(CoordinatorRole, "coordinator.after-grow-commit=kill")
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(TasksOf(tree, time.Now()))); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		page, err := s.front.Tasks(t.Context(), coordinator.TaskFilter{TreeOf: root, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		for _, task := range page.Items {
			made++
			if task.Name != root+"-0" {
				continue
			}
			if what == "cancel" {
				_, err = s.front.Cancel(t.Context(), task.ID, coordinator.CancelOptions{})
			} else {
				_, err = s.front.Skip(t.Context(), task.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%s: %d tasks are there", what, made)
		spare = s.start(CoordinatorRole, "")
		s.ends(root)
		got, err := s.front.Task(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if got.State != want {
			t.Errorf("%s: %s: %.300s, want %s", what, got.State, got.Error, want)
		}
	}
	s.check()
}
