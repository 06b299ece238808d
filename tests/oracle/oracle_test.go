package oracle_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

func TestRun(t *testing.T) {
	ok := oracle.Script{Add: 1}
	failing := oracle.Script{Fail: -1}
	for _, tt := range []struct {
		fact  string
		tasks []oracle.Task
		want  []dag.State
	}{
		{"a task without dependencies runs", []oracle.Task{{Script: ok}}, []dag.State{dag.Completed}},
		{"a retry succeeds", []oracle.Task{{MaxAttempts: 2, Script: oracle.Script{Fail: 1}}}, []dag.State{dag.Completed}},
		{"attempts run out", []oracle.Task{{MaxAttempts: 2, Script: failing}}, []dag.State{dag.Failed}},
		{"a required failure blocks", []oracle.Task{{Script: failing}, {Deps: []oracle.Dep{{On: 0}}}}, []dag.State{dag.Failed, dag.Blocked}},
		{"an optional failure does not", []oracle.Task{{Script: failing}, {Deps: []oracle.Dep{{On: 0, Optional: true}}, Script: ok}},
			[]dag.State{dag.Failed, dag.Completed}},
		{"blocking spreads, and ends at an optional edge", []oracle.Task{{Cancelled: true}, {Deps: []oracle.Dep{{On: 0}}},
			{Deps: []oracle.Dep{{On: 1}}}, {Deps: []oracle.Dep{{On: 2, Optional: true}}, Script: ok}},
			[]dag.State{dag.Cancelled, dag.Blocked, dag.Blocked, dag.Completed}},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			for i := range tt.tasks {
				tt.tasks[i].MaxAttempts = max(1, tt.tasks[i].MaxAttempts)
			}
			for i, end := range (oracle.Tree{Tasks: tt.tasks}).Run() {
				if end.State != tt.want[i] {
					t.Errorf("task %d: got %s, want %s", i, end.State, tt.want[i])
				}
			}
		})
	}
}

func TestMerge(t *testing.T) {
	tree := oracle.Tree{Tasks: []oracle.Task{
		{ID: "a", MaxAttempts: 1, Script: oracle.Script{Add: 1}},
		{ID: "b", MaxAttempts: 1, Script: oracle.Script{Add: 2, Value: oracle.Number}},
		{ID: "c", MaxAttempts: 1, Script: oracle.Script{Add: 4, Value: oracle.Null}},
		{ID: "d", MaxAttempts: 1, Script: oracle.Script{Add: 8}},
		{ID: "e", MaxAttempts: 1, Script: oracle.Script{Add: 16}, Deps: []oracle.Dep{{On: 0}, {On: 1}, {On: 2}, {On: 3}}},
		{ID: "f", Mapped: true, MaxAttempts: 1, Script: oracle.Script{Add: 32}, Deps: []oracle.Dep{{On: 0}, {On: 1}, {On: 3}}},
	}}
	ends := tree.Run()
	for i, want := range map[int]any{
		4: map[string]any{"sum": 27.0, "keys": []any{"a", "b", "d"}},
		5: map[string]any{"sum": 42.0, "keys": []any{"b", "keys", "sum"}},
	} {
		if got := ends[i].Result; !reflect.DeepEqual(got, want) {
			t.Errorf("task %d: got %v, want %v", i, got, want)
		}
	}
}

// TestRandom: every tree settles, has one root, and is the same for the same seed.
func TestRandom(t *testing.T) {
	for seed := range uint64(200) {
		shape := oracle.Shape{Prefix: "t", Tasks: 1 + int(seed), Fails: 0.2, Optional: 0.3, Group: 0.1, Gate: seed%2 == 0, Cancel: 0.1}
		tree := oracle.Random(rand.New(rand.NewPCG(seed, 0)), shape)
		if again := oracle.Random(rand.New(rand.NewPCG(seed, 0)), shape); !reflect.DeepEqual(tree, again) {
			t.Fatalf("seed %d: two trees", seed)
		}
		roots := 0
		for i, end := range tree.Run() {
			if !end.State.Settled() {
				t.Errorf("seed %d: task %d is %s", seed, i, end.State)
			}
			if tree.Tasks[i].Parent < 0 {
				roots++
			}
		}
		if roots != 1 {
			t.Errorf("seed %d: %d roots", seed, roots)
		}
	}
}
