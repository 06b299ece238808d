package dag

import (
	"slices"
	"testing"
)

// TestTheFirstExecutionLeavesImportedTasks: what had ended before it was submitted stays so when a held tree starts, whatever its outcome, unless it is asked
// for; a later execution takes it as any other, and then it is imported no more.
func TestTheFirstExecutionLeavesImportedTasks(t *testing.T) {
	// 0 the root behind 5; 1 to 4 imported; 5 runs after 1; 4 is blocked by 2
	deps := [][]Edge{{{Task: 5, Required: true}}, nil, nil, nil, {{Task: 2, Required: true}}, {{Task: 1, Required: true}}}
	nodes := func(root, last State, imported Flags) []Node {
		return []Node{{State: root, Attempt: 1}, {State: Completed, Flags: imported, Attempt: 1}, {State: Failed, Flags: imported, Attempt: 1},
			{State: Cancelled, Flags: imported, Attempt: 1}, {State: Blocked, Flags: imported, Attempt: 1}, {State: last, Attempt: 1}}
	}
	for name, tt := range map[string]struct {
		nodes []Node
		opts  ExecutionOptions
		want  []int
	}{
		"the first":            {nodes(Held, Held, FlagImported), ExecutionOptions{First: true}, []int{0, 5}},
		"all by force":         {nodes(Held, Held, FlagImported), ExecutionOptions{First: true, Force: true}, []int{0, 1, 2, 3, 4, 5}},
		"cancelled ones, too":  {nodes(Held, Held, FlagImported), ExecutionOptions{First: true, RerunCancelled: true}, []int{0, 3, 5}},
		"not imported":         {nodes(Held, Held, 0), ExecutionOptions{First: true}, []int{0, 2, 4, 5}},
		"a later one":          {nodes(Completed, Completed, FlagImported), ExecutionOptions{}, []int{2, 4}},
		"of which nothing ran": {nodes(Completed, Completed, FlagImported), ExecutionOptions{First: true}, nil},
	} {
		plan := PlanExecution(tt.nodes, func(i int) []Edge { return deps[i] }, 0, true, tt.opts)
		var got []int
		for _, r := range plan.Restarts {
			got = append(got, r.Index)
			if r.Flags&FlagImported != 0 {
				t.Errorf("%s: task %d runs, and is still said to be imported", name, r.Index)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v start, want %v", name, got, tt.want)
		}
	}
	task := Task{Imported: &Imported{State: Failed}}
	if task.Beyond()&FlagImported == 0 {
		t.Error("an imported task has no flag")
	}
}
