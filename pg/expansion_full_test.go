package pg

import (
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

// TestFullTree: an attempt that finds more tasks than its tree may have fails for good, and nothing of what it found is stored; keys of tasks that are gone don't count.
func TestFullTree(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fact string
		keys int // that the tree has used, 0: as many as it has tasks
		find string
		full bool
	}{
		{"as many as there may be", 0, "[1,2,3,4]", false},
		{"one more", 0, "[1,2,3,4,5]", true},
		{"keys of tasks that are gone", 1000, "[1,2,3,4]", false},
		{"one more, behind those", 1000, "[1,2,3,4,5]", true},
		{"no keys are left", dag.TreeKeys - 3, "[1,2,3,4]", true},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			t.Parallel()
			n := newNoted(t, false)
			n.s.grownTasks = 5
			n.exec("update worker set level = $1", dag.ControlLevel)
			n.claim()
			if tt.keys > 0 {
				n.exec("update tree set span = $1", tt.keys)
			}
			plan, err := expansion.Read([]byte(`{"items":`+tt.find+`,"each":{"schemas":{"method":"e"}}}`), expansion.Options{Name: "t"})
			if err != nil {
				t.Fatal(err)
			}
			of, err := n.s.Expanding(t.Context(), n.w.Key)
			if err != nil {
				t.Fatal(err)
			}
			changed, _, err := n.s.Expand(t.Context(), of, dag.Result{Task: n.w.Key, Attempt: n.w.Attempt, Worker: n.worker, Outcome: dag.OutcomeExpanded}, plan, nil)
			if err != nil || !changed {
				t.Fatal(changed, err)
			}
			want := dag.Expanded
			if tt.full {
				want = dag.Failed
			}
			var stored int
			var kind *string
			var state dag.State
			if err := n.s.pool.QueryRow(t.Context(), "select (select count(*) from expansion) + (select count(*) from expansion_part), (select kind from attempt where task = $1), state from task where key = $1", n.w.Key).
				Scan(&stored, &kind, &state); err != nil {
				t.Fatal(err)
			}
			if state != want || (stored == 0) != tt.full || (kind != nil && *kind == string(dag.KindTreeFull)) != tt.full {
				t.Errorf("it is %s, %d rows are stored, kind %v", state, stored, kind)
			}
		})
	}
}
