package faults

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/mapper"
)

// TestKilledWhileForEach kills a coordinator between every two durable steps of a step of a flow that runs others for each item of a list: each item runs once, with what its
// templates name of the flow, and the step gives its outputs.
func TestKilledWhileForEach(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range rounds(seedOf(t), []string{"coordinator.before-expand-commit=kill", "coordinator.after-expand-commit=kill", "coordinator.after-grow-commit=kill", "coordinator.after-collect-commit=kill"}) {
		root, first := fmt.Sprintf("each%d", n), fmt.Sprintf("seen%d", n)
		const items = 300
		list, results := make([]int, items), make([]string, items)
		for i := range list {
			list[i], results[i] = i, fmt.Sprintf("value-%d", i)
		}
		inputs, _ := json.Marshal(map[string]any{"items": list, "collect": "counted", "window": 40, "task": map[string]any{
			"pool": Pools[1], "schemas": map[string]any{"method": "noop_executor"}, "template": true, "flow_step": map[string]any{"outer": true}, "inputs": map[string]any{"value": "{{steps.first}}-{{item}}"},
		}})
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		seen := &dag.Task{ID: first, Name: first, Executor: "noop_executor", Pool: Pools[1], ParentRef: root, Priority: dag.Normal, Inputs: json.RawMessage(`{"value":"value"}`)}
		task := &dag.Task{ID: root, Name: root, Executor: mapper.ID, Pool: Pools[0], Priority: dag.Normal, Inputs: inputs, Dependencies: []dag.Dependency{{Ref: first}},
			Control: &dag.Control{Template: true, Outputs: json.RawMessage(`{"all":"{{result.count}} of {{steps.first}}"}`), FlowStep: &dag.FlowStep{Steps: map[string]string{"first": first}}}}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task, seen})); err != nil {
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
		got, err := s.front.Task(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(results)
		if text := fmt.Sprintf(`{"count":%d,"succeeded":%[1]d,"skipped":0,"failed":0,"results":%s}`, items, want); string(got.Result) != text || got.State != dag.Completed {
			t.Errorf("%s: %s (%s), result %.300s; want %.300s", point, got.State, got.Error, got.Result, text)
		}
		if string(got.Outputs) != `{"all":"300 of value"}` {
			t.Errorf("%s: outputs %s", point, got.Outputs)
		}
		if runs := s.runs(root); runs != 1 {
			t.Errorf("%s: %d attempts", point, runs)
		}
	}
	s.check()
}
