package dag

import "testing"

// TestNothingStartsBesideAnUntoldEnd: the dependents of a task that a followup has yet to tell of its end would hear of it
// twice, once by the plan; where the part does not reach, it does not matter.
func TestNothingStartsBesideAnUntoldEnd(t *testing.T) {
	// 1 depends on 0, which is completed; 2 stands alone.
	deps := func(i int) []Edge {
		if i == 1 {
			return []Edge{{Task: 0, Required: true}}
		}
		return nil
	}
	for _, tt := range []struct {
		fact   string
		untold bool
		target int
		plan   int // tasks that start
		index  int // Untold
	}{
		{"what was told may be built on", false, 1, 1, -1},
		{"what was not told yet is waited for", true, 1, 0, 0},
		{"another part starts", true, 2, 1, -1},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			nodes := []Node{{State: Completed, Attempt: 1, Untold: tt.untold}, {State: Held, Attempt: 1}, {State: Held, Attempt: 1}}
			p := PlanExecution(nodes, deps, tt.target, false, ExecutionOptions{})
			if len(p.Restarts) != tt.plan || p.Untold != tt.index || p.Busy != -1 {
				t.Errorf("got %+v", p)
			}
		})
	}
}
