package faults

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/mapper"
)

// TestKilledWhileExpanding kills a coordinator between every two durable steps of an expansion: before and after the attempt that found tasks is settled, after some
// of them were made, and after the results were collected. Each task is made once, runs once, and the results are all there.
func TestKilledWhileExpanding(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range rounds(seedOf(t), []string{"coordinator.before-expand-commit=kill", "coordinator.after-expand-commit=kill", "coordinator.after-grow-commit=kill", "coordinator.after-grow-commit=kill@3",
		"coordinator.after-collect-commit=kill"}) {
		root := fmt.Sprintf("map%d", n)
		const items = 2300 // several parts
		list := make([]int, items)
		for i := range list {
			list[i] = i
		}
		inputs, _ := json.Marshal(map[string]any{"items": list, "task": map[string]any{"pool": Pools[1], "schemas": map[string]any{"method": "noop_executor"}, "inputs": map[string]any{"value": "{{item}}"}}})
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		task := &dag.Task{ID: root, Name: root, Executor: mapper.ID, Pool: Pools[0], Priority: dag.Normal, Inputs: inputs}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task})); err != nil {
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
		tree, err := s.front.Tree(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.front.Task(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(list)
		if string(got.Result) != string(want) || got.State != dag.Completed || tree.Tasks != items+1 || tree.Completed != items+1 {
			t.Errorf("%s: %s (%s), %d of %d tasks completed, result of %d bytes; want %d", point, got.State, got.Error, tree.Completed, tree.Tasks, len(got.Result), len(want))
		}
		if runs := s.runs(root); runs != 1 {
			t.Errorf("%s: %d attempts", point, runs)
		}
	}
	s.check()
}
