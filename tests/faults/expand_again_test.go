package faults

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/mapper"
	"github.com/taskgrove/taskgrove/internal/porttest"
)

// TestKilledWhileExpandingAgain kills a coordinator between every two durable steps of a re-run of a map: before and after it is written, after some tasks were let
// go, or made, and after the results were collected; of one whose failed items run again, of one that has items left to make, and of one that finds all of them anew.
// Each item runs as often as it has to, and the results are all there.
func TestKilledWhileExpandingAgain(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	const before, after = "coordinator.before-execute-commit=kill", "coordinator.after-execute-commit=kill"
	failed := func(i int) bool { return i%3 == 0 }
	third := func(i int) bool { return i == 2 }
	none := func(int) bool { return false }
	for n, round := range rounds(seedOf(t), []struct {
		point string
		items int
		fails func(i int) bool // its first attempt
		more  string           // inputs of the map
		force bool
	}{
		{before, 60, failed, "", false},
		{after, 60, failed, "", false},
		{after, 60, failed, `,"window":5`, false},
		{"coordinator.after-grow-commit=kill", 60, failed, `,"window":5`, false},
		{"coordinator.after-grow-commit=kill@3", 60, failed, `,"window":5`, false},
		{"coordinator.after-collect-commit=kill", 60, failed, `,"window":5`, false},
		{"coordinator.after-grow-commit=kill@2", 60, third, `,"window":3,"stop_on_failure":true`, false},
		{"coordinator.after-grow-commit=kill@5", 60, third, `,"window":3,"stop_on_failure":true`, false},
		{before, 1500, none, "", true}, // several parts
		{after, 1500, none, "", true},
		{"coordinator.before-expand-commit=kill", 1500, none, "", true},
		{"coordinator.after-expand-commit=kill", 1500, none, "", true},
		{"coordinator.after-grow-commit=kill", 1500, none, "", true},
		{"coordinator.after-collect-commit=kill", 1500, none, "", true},
	}) {
		root := fmt.Sprintf("again%d", n)
		list, want := make([]map[string]int, round.items), make([]int, round.items)
		for i := range list {
			list[i], want[i] = map[string]int{"add": i, "fail": 0}, i
			if round.fails(i) {
				list[i]["fail"] = 1
			}
		}
		items, _ := json.Marshal(list)
		inputs := fmt.Sprintf(`{"items":%s,"task":{"pool":%q,"schemas":{"method":%q},"inputs":{"script":{"add":"{{item.add}}","fail":"{{item.fail}}","permanent":true}}}%s}`, items, Pools[1], ScriptedID, round.more)
		task := &dag.Task{ID: root, Name: root, Executor: mapper.ID, Pool: Pools[0], Priority: dag.Normal, Inputs: json.RawMessage(inputs)}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task})); err != nil {
			t.Fatal(err)
		}
		ended := func() {
			t.Helper()
			eventually(t, root+" has ended", func() error { return settled(t.Context(), s.front, root) })
		}
		ended()
		settings := s.settings(CoordinatorRole)
		settings.HTTP, settings.GRPC = fmt.Sprintf("127.0.0.1:%d", porttest.Port(t)), fmt.Sprintf("127.0.0.1:%d", porttest.Port(t))
		victim, err := StartProcess(settings, round.point)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(victim.Kill)
		eventually(t, settings.Name+" is ready", victim.Ready)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		opts := coordinator.ExecuteOptions{Force: round.force}
		if strings.Contains(round.point, "execute") {
			c, err := client.New(settings.GRPC)
			if err != nil {
				t.Fatal(err)
			}
			var asked []client.ExecuteOption
			if round.force {
				asked = append(asked, client.Force())
			}
			if got, err := c.Execute(t.Context(), root, asked...); err == nil {
				t.Errorf("%s: answered %+v", round.point, got)
			}
			c.Close() //nolint:errcheck // nobody is there
		} else if got, err := s.front.Execute(t.Context(), root, opts); err != nil || got.Outcome != coordinator.Started {
			t.Fatalf("%s: %+v, %v", round.point, got, err)
		}
		s.dies(victim)
		if round.point == before {
			if got, err := s.front.Execute(t.Context(), root, opts); err != nil || got.Outcome != coordinator.Started {
				t.Fatalf("%s: %+v, %v", round.point, got, err)
			}
		}
		spare = s.start(CoordinatorRole, "")
		ended()
		tree, err := s.front.Tree(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.front.Task(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		var sums []struct{ Sum int }
		if err := json.Unmarshal(got.Result, &sums); err != nil || len(sums) != round.items {
			t.Errorf("%s: %d results, %v", round.point, len(sums), err)
		}
		for i := range sums {
			if sums[i].Sum != want[i] {
				t.Errorf("%s: item %d came to %d", round.point, i, sums[i].Sum)
			}
		}
		if got.State != dag.Completed || s.runs(root) != 2 || tree.Tasks != round.items+1 || tree.Completed != round.items+1 {
			t.Errorf("%s: %s (%s) at attempt %d, %d of %d tasks completed", round.point, got.State, got.Error, got.Attempt, tree.Completed, tree.Tasks)
		}
		page, err := s.front.Tasks(t.Context(), coordinator.TaskFilter{TreeOf: root, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range page.Items {
			var index int
			if _, err := fmt.Sscanf(child.Name, root+"[%d]", &index); err != nil {
				continue
			}
			attempts := 1
			if round.fails(index) {
				attempts = 2
			}
			if runs := s.runs(child.ID); runs != attempts {
				t.Errorf("%s: item %d ran %d times, want %d", round.point, index, runs, attempts)
			}
		}
	}
	s.check()
}
