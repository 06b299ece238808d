package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
)

// TestKilledWhileEditing kills a coordinator that has committed a change of a stored tree, and not published what follows, or not answered. Who
// asks again gets the same, old messages start nothing, and the tree ends as it was changed.
func TestKilledWhileEditing(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	points := []string{"coordinator.after-edit-commit=kill", "coordinator.after-edit-commit=kill@2", "coordinator.after-edit-commit=kill@3"} // before anything is published
	for n, point := range points {
		root := fmt.Sprintf("edit%d", n)
		one := func(name, parent, echo string, after ...string) *dag.Task {
			inputs, _ := json.Marshal(map[string]any{"command": "echo " + echo})
			t := &dag.Task{ID: root + name, Name: root + name, ParentRef: parent, Executor: command.ID, Priority: dag.Normal, Inputs: inputs}
			for _, ref := range after {
				t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: root + ref})
			}
			return t
		}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{one("", "", "root", ".next"), one(".gate", root, "gate"),
			one(".next", root, "old", ".gate", ".other"), one(".other", root, "other"), one(".gone", root, "gone", ".other")})); err != nil {
			t.Fatal(err)
		}
		settings := s.settings(SubmitRole)
		settings.Edit, settings.Window = root, 1000 // it publishes what it can itself
		victim, err := StartProcess(settings, point)
		if err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		if err := settings.edit(t.Context(), s.front); err != nil {
			t.Errorf("%s: edited again: %v", point, err)
		}
	}
	s.start(WorkerRole, "")
	for n := range points {
		root := fmt.Sprintf("edit%d", n)
		eventually(t, root+" has ended", func() error {
			tree, err := s.front.Tree(t.Context(), root)
			if err == nil && tree.Unfinished > 0 {
				err = fmt.Errorf("%d tasks have not", tree.Unfinished)
			}
			return err
		})
		next, err := s.front.Task(t.Context(), root+".next")
		if err != nil || next.State != dag.Completed || !strings.Contains(string(next.Result), "new") {
			t.Errorf("got %+v, %v", next, err)
		}
		gate, err := s.front.Task(t.Context(), root+".gate")
		if err != nil || string(gate.Result) != `{"by":"hand"}` {
			t.Errorf("got %+v, %v", gate, err)
		}
		if _, err := s.front.Task(t.Context(), root+".gone"); !errors.Is(err, coordinator.ErrNotFound) {
			t.Errorf("what was deleted: %v", err)
		}
	}
	s.check()
}
