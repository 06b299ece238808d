package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestKilledWhileSubmittingASubtree kills the coordinator between every two durable steps of a tree that a task submits: after the task began to wait, after the
// tree was stored, after it ended, after the task was told, and before and after a cancellation went down. There is one tree, which runs once, and the
// task ends as it does.
func TestKilledWhileSubmittingASubtree(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	no := false // a cancellation goes down whatever is said of that; and whoever asks for it does nothing beside
	for n, one := range rounds(seedOf(t), []struct {
		point          string
		detach, cancel bool
	}{
		{point: "coordinator.before-subtree-submit=kill"},
		{point: "coordinator.after-subtree-submit=kill"},
		{point: "coordinator.before-subtree-tell=kill"},
		{point: "coordinator.after-subtree-tell=kill"},
		{point: "coordinator.after-subtree-submit=kill", detach: true},
		{point: "coordinator.after-subtree-end=kill", detach: true},
		{point: "coordinator.before-subtree-leave=kill", cancel: true},
		{point: "coordinator.after-subtree-leave=kill", cancel: true},
	}) {
		root, name := fmt.Sprintf("subtree%d", n), fmt.Sprintf("inner%d", n)
		inner := map[string]any{"name": name, "pool": Pools[1], "schemas": map[string]any{"method": "noop_executor"}, "inputs": map[string]any{"value": n}}
		if one.cancel { // it waits for ever
			inner["schemas"], inner["inputs"] = map[string]any{"method": "wait_executor"}, map[string]any{"signal": "never"}
		}
		inputs, _ := json.Marshal(map[string]any{"tree": []any{inner}, "detach": one.detach})
		victim := s.start(CoordinatorRole, one.point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		task := &dag.Task{ID: root, Name: root, Executor: dag.SubtreeExecutor, Pool: Pools[0], Priority: dag.Normal, Inputs: inputs}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task})); err != nil {
			t.Fatal(err)
		}
		if one.cancel {
			eventually(t, root+" waits for its tree", func() error {
				got, err := s.front.Task(t.Context(), root)
				if err != nil || got.Waiting == nil || got.Waiting.TreeID == "" {
					return errors.Join(err, fmt.Errorf("it does not"))
				}
				below, err := s.front.Task(t.Context(), got.Waiting.TreeID)
				if err == nil && below.State != dag.Awaiting { // so that it has run once, too
					err = fmt.Errorf("its tree is %s", below.State)
				}
				return err
			})
			if _, err := s.front.Cancel(t.Context(), root, coordinator.CancelOptions{Cascade: &no}); err != nil {
				t.Fatal(err)
			}
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		eventually(t, root+" ends", func() error { return settled(t.Context(), s.front, root) })
		got, err := s.front.Task(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" ends", func() error { return settled(t.Context(), s.front, got.SubtreeID) })
		trees, err := s.front.Trees(t.Context(), coordinator.TreeFilter{Name: name})
		if err != nil || len(trees.Items) != 1 {
			t.Fatalf("%s: there are %d trees, %v", one.point, len(trees.Items), err)
		}
		tree, err := s.front.Task(t.Context(), trees.Items[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		runs, below := s.runs(root), s.runs(tree.ID)
		state, result := dag.Completed, string(tree.Result)
		switch {
		case one.cancel:
			state = dag.Cancelled
		case one.detach:
			result = fmt.Sprintf(`{"subtree_id":%q}`, tree.ID)
		}
		if got.State != state || tree.State != state || string(got.Result) != result || got.SubtreeID != tree.ID || runs != 1 || below != 1 {
			t.Errorf("%s: it is %s with %s (%s) after %d attempts; its tree is %s with %s after %d", one.point, got.State, got.Result, got.Error, runs, tree.State, tree.Result, below)
		}
	}
	s.check()
}

// TestKilledWhileAStepBeginsARun kills the coordinator before and after the run of a flow is stored that a task begins, and before and after the task is told of its end: there is one
// run, and the task ends as it does.
func TestKilledWhileAStepBeginsARun(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range []string{"coordinator.before-subtree-submit=kill", "coordinator.after-subtree-submit=kill", "coordinator.before-subtree-tell=kill", "coordinator.after-subtree-tell=kill"} {
		root, flow := fmt.Sprintf("runs%d", n), fmt.Sprintf("run%d", n)
		if _, err := s.front.ApplyFlow(t.Context(), coordinator.FlowSpec{Text: fmt.Appendf(nil, "flow: {id: %s, pool: fault-a}\njobs: [{id: j, steps: [{id: s, type: noop, inputs: {value: %d}, outputs: {n: \"%d\"}}]}]", flow, n, n)}); err != nil {
			t.Fatal(err)
		}
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		task := &dag.Task{ID: root, Name: root, Executor: dag.SubtreeExecutor, Pool: Pools[0], Priority: dag.Normal, Inputs: fmt.Appendf(nil, `{"flow":%q}`, flow)}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task})); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		eventually(t, root+" ends", func() error { return settled(t.Context(), s.front, root) })
		got, err := s.front.Task(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		runs, err := s.front.FlowRuns(t.Context(), coordinator.FlowRunFilter{Flow: flow})
		if err != nil || len(runs.Items) != 1 {
			t.Fatalf("%s: %d runs, %v", point, len(runs.Items), err)
		}
		if run := runs.Items[0]; run.TreeID != got.SubtreeID || run.Outcome != "SUCCESS" || got.State != dag.Completed || s.runs(root) != 1 ||
			string(got.Result) != fmt.Sprintf(`{"run_id":%q,"flow_id":%q,"outcome":"SUCCESS","jobs":{"j":{"status":"SUCCESS","outputs":{"n":"%d"}}}}`, run.RunID, flow, n) {
			t.Errorf("%s: it is %s with %s (%s), of %+v", point, got.State, got.Result, got.Error, run)
		}
	}
	s.check()
}
