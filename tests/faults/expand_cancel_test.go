package faults

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/mapper"
)

// TestKilledWhileLargeExpansionsCome kills the coordinator that stores the parts of an expansion that does not fit into a message, and those that settle it and make its
// tasks: the worker sends again what is missing, each task is made once, and no part is left over.
func TestKilledWhileLargeExpansionsCome(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.smallMessages()
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range rounds(seedOf(t), []string{"coordinator.before-chunk-commit=kill", "coordinator.after-chunk-commit=kill", "coordinator.before-expand-commit=kill", "coordinator.after-expand-commit=kill", "coordinator.after-grow-commit=kill@2"}) {
		root := fmt.Sprintf("large%d", n)
		const items = 1200 // of some 300 KiB together
		list := make([]string, items)
		for i := range list {
			list[i] = fmt.Sprintf("%d %s", i, strings.Repeat("x", 250))
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
		eventually(t, root+" has ended", func() error { return settled(t.Context(), s.front, root) })
		tree, err := s.front.Tree(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.front.Task(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(list)
		if got.State != dag.Completed || s.runs(root) != 1 || string(got.Result) != string(want) || tree.Tasks != items+1 || tree.Completed != items+1 {
			t.Errorf("%s: %s (%s) at attempt %d, %d of %d tasks completed, result of %d bytes; want %d", point, got.State, got.Error, got.Attempt, tree.Completed, tree.Tasks, len(got.Result), len(want))
		}
	}
	s.noParts()
	s.check()
}

// TestKilledWhileAGrowingTreeIsCancelled kills coordinators around the steps of cancellations, of the whole tree and of a map whose items are maps, while tasks are
// made: nothing runs or waits in the end, and the same goes on when it is asked for, and ends.
func TestKilledWhileAGrowingTreeIsCancelled(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, round := range rounds(seedOf(t), []struct {
		point string
		whole bool
	}{
		{"coordinator.after-grow-commit=kill@3", true}, {"coordinator.after-followup-commit=kill", true}, {"coordinator.after-grow-commit=kill@3", false},
		{"coordinator.after-cancel-below-commit=kill", false}, {"coordinator.after-cancel-below-commit=kill@2", false},
	}) {
		root, m := fmt.Sprintf("cancelled%d", n), fmt.Sprintf("cancelled%d.map", n)
		const outer, inner = 6, 40
		leaf := fmt.Sprintf(`{"pool":%q,"schemas":{"method":%q},"inputs":{"script":{"add":1,"gate":true,"millis":20}}}`, Pools[1], ScriptedID)
		list := strings.TrimSuffix(strings.Repeat("1,", inner), ",")
		inputs := fmt.Sprintf(`{"items":[1,2,3,4,5,6],"window":3,"collect":"none","task":{"pool":%q,"schemas":{"method":%q},"inputs":{"items":[%s],"window":4,"collect":"none","task":%s}}}`, Pools[0], mapper.ID, list, leaf)
		tasks := []*dag.Task{commandTask(root, "", "echo root"), {ID: m, Name: m, ParentRef: root, Executor: mapper.ID, Pool: Pools[0], Priority: dag.Normal, Inputs: json.RawMessage(inputs)}}
		tasks[0].Dependencies = []dag.Dependency{{Ref: m}}
		open := func() {
			t.Helper()
			if err := OpenGate(s.base.Dir, root); err != nil {
				t.Fatal(err)
			}
		}
		target := m
		if round.whole {
			target = root
		}
		victim, toVictim := s.served(round.point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		dies := strings.Contains(round.point, "grow") // before the cancellation; of others, the tree waits for it at its gates
		if dies {
			open()
		}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
			t.Fatal(err)
		}
		if dies {
			s.dies(victim)
		} else {
			eventually(t, root+" grows", func() error {
				tree, err := s.front.Tree(t.Context(), root)
				if err == nil && tree.Tasks < 8 {
					err = fmt.Errorf("%d tasks", tree.Tasks)
				}
				return err
			})
		}
		if round.whole && !dies { // by the victim alone: who is asked to cancel a tree carries that out
			_, _ = toVictim.Cancel(t.Context(), target) // it may be dead before it answers
		} else if _, err := s.front.Cancel(t.Context(), target, coordinator.CancelOptions{}); err != nil {
			t.Fatal(err)
		}
		if !dies {
			s.dies(victim)
			open()
		}
		spare = s.start(CoordinatorRole, "")
		eventually(t, root+" has ended", func() error { return settled(t.Context(), s.front, root) })
		tree, err := s.front.Tree(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Unfinished != 0 || tree.Status != dag.StatusCancelled {
			t.Errorf("%s: %+v", round.point, tree)
		}
		eventually(t, root+" goes on", func() error { // workers have to say that they have stopped
			got, err := s.front.Execute(t.Context(), root, coordinator.ExecuteOptions{RerunCancelled: true})
			if err == nil && got.Outcome != coordinator.Started {
				err = fmt.Errorf("%+v", got)
			}
			return err
		})
		eventually(t, root+" has ended again", func() error { return settled(t.Context(), s.front, root) })
		if tree, err = s.front.Tree(t.Context(), root); err != nil || tree.Status != dag.StatusCompleted || tree.Tasks != 2+outer*(inner+1) {
			t.Errorf("%s: %+v, %v", round.point, tree, err)
		}
	}
	s.check()
}
