package oracle_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// TestBeyond has one small tree for each sentence of control 1 to 6 and 13 that says how tasks end; the last task is judged.
func TestBeyond(t *testing.T) {
	type tasks = []oracle.Task
	type deps = []oracle.Dep
	ok, failing := oracle.Script{Add: 1}, oracle.Script{Fail: -1}
	skip := oracle.Script{Skip: "nothing"}
	on := func(accept ...string) deps { return deps{{On: 0, Accept: accept}} }
	for _, tt := range []struct {
		fact   string
		tasks  tasks
		want   dag.State
		reason string
	}{
		{"an executor skips", tasks{{Script: skip}}, dag.Skipped, "nothing"},
		{"a skip lets go who requires it", tasks{{Script: skip}, {Script: ok, Deps: on()}}, dag.Completed, ""},
		{"a failure handler runs", tasks{{Script: failing}, {Script: ok, Deps: on(oracle.HasFailed)}}, dag.Completed, ""},
		{"a failure handler is skipped after a success", tasks{{Script: ok}, {Script: ok, Deps: on(oracle.HasFailed)}}, dag.Skipped, "dependency_success"},
		{"and after a skip", tasks{{Script: skip}, {Script: ok, Deps: on(oracle.HasFailed)}}, dag.Skipped, "dependency_skipped"},
		{"a finally runs", tasks{{Cancelled: true}, {Script: ok, Deps: on(oracle.Any)}}, dag.Completed, ""},
		{"a refused failure blocks", tasks{{Script: failing}, {Script: ok, Deps: on(oracle.Success)}}, dag.Blocked, ""},
		{"or skips", tasks{{Script: failing}, {Script: ok, Deps: deps{{On: 0, Otherwise: "skip"}}}}, dag.Skipped, "dependency_failed"},
		{"a refused success blocks if it says so", tasks{{Script: ok}, {Script: ok, Deps: deps{{On: 0, Accept: []string{"failed"}, Otherwise: "block"}}}}, dag.Blocked, ""},
		{"a block counts more than a skip", tasks{{Script: ok}, {Script: failing}, {Script: ok, Deps: deps{{On: 0, Accept: []string{"failed"}}, {On: 1}}}}, dag.Blocked, ""},
		{"what depends on a gate is skipped with it", tasks{{Script: ok}, {Group: true, Deps: deps{{On: 0}}, When: &oracle.When{Is: []string{"failed"}}},
			{Script: ok, Deps: deps{{On: 1}}}}, dag.Skipped, "dependency_skipped"},
		{"what depends on a task with a condition is not", tasks{{Script: ok}, {Deps: deps{{On: 0}}, When: &oracle.When{Is: []string{"failed"}}},
			{Script: ok, Deps: deps{{On: 1}}}}, dag.Completed, ""},
		{"a condition that is false", tasks{{Script: ok}, {Deps: deps{{On: 0}}, When: &oracle.When{Is: []string{"failed"}}}}, dag.Skipped, "when_false"},
		{"a condition that errs", tasks{{When: &oracle.When{Errs: true}}}, dag.Failed, ""},
		{"a fold takes the worst", tasks{{Script: failing}, {Cancelled: true}, {Group: true, Fold: true, Deps: deps{{On: 0}, {On: 1}}}}, dag.Failed, ""},
		{"a cancellation is worse than a block", tasks{{Script: failing, AllowFailure: true}, {Deps: deps{{On: 0}}}, {Cancelled: true}, {Group: true, Fold: true, Deps: deps{{On: 1}, {On: 2}}}}, dag.Cancelled, ""},
		{"an allowed failure folds as success", tasks{{Script: failing, AllowFailure: true}, {Group: true, Fold: true, Deps: deps{{On: 0}}}}, dag.Completed, ""},
		{"and blocks all the same", tasks{{Script: failing, AllowFailure: true}, {Deps: deps{{On: 0}}}}, dag.Blocked, ""},
		{"a fold is skipped if all were", tasks{{Script: skip}, {Group: true, Fold: true, Deps: deps{{On: 0}}}}, dag.Skipped, "dependency_skipped"},
		{"not if one was", tasks{{Script: skip}, {Script: ok}, {Group: true, Fold: true, Deps: deps{{On: 0}, {On: 1}}}}, dag.Completed, ""},
		{"but if its edge says so", tasks{{Script: skip}, {Script: ok}, {Group: true, Fold: true, Deps: deps{{On: 0, Skips: true}, {On: 1}}}}, dag.Skipped, "nothing"},
		{"a signal comes", tasks{{Script: oracle.Script{Wait: &oracle.Wait{Kind: "signal", Comes: true}}}}, dag.Completed, ""},
		{"a signal does not come", tasks{{Script: oracle.Script{Wait: &oracle.Wait{Kind: "signal"}}}}, dag.Failed, ""},
		{"and that skips", tasks{{Script: oracle.Script{Wait: &oracle.Wait{Kind: "signal", Skips: true}}}}, dag.Skipped, "timeout"},
		{"a rejection fails", tasks{{Script: oracle.Script{Wait: &oracle.Wait{Kind: "approval", Comes: true, Rejects: true}}}}, dag.Failed, ""},
		{"or skips", tasks{{Script: oracle.Script{Wait: &oracle.Wait{Kind: "approval", Comes: true, Rejects: true, Skips: true}}}}, dag.Skipped, "rejected"},
		{"a child's failure fails who found it", tasks{{By: 2, Script: failing}, {Script: oracle.Script{Collect: "list"}}}, dag.Failed, ""},
		{"unless it is allowed", tasks{{By: 2, Script: failing, AllowFailure: true}, {Script: oracle.Script{Collect: "list"}}}, dag.Completed, ""},
		{"an import ends as it says", tasks{{Imported: &oracle.End{State: dag.Failed}}, {Script: ok, Deps: on("failed")}}, dag.Completed, ""},
		{"a user skips", tasks{{Skipped: true, Script: failing}}, dag.Skipped, "user"},
		{"a kind that is not tried again", tasks{{MaxAttempts: 3, NoRetryOn: []string{"x"}, RetryOn: []string{"x"}, Script: oracle.Script{Fail: 1, Kind: "x"}}}, dag.Failed, ""},
		{"another kind", tasks{{MaxAttempts: 3, RetryOn: []string{"y"}, Script: oracle.Script{Fail: 1, Kind: "x"}}}, dag.Failed, ""},
		{"one that is", tasks{{MaxAttempts: 3, RetryOn: []string{"x"}, Script: oracle.Script{Fail: 1, Kind: "x"}}}, dag.Completed, ""},
		{"a map that stops makes no item after a failure", tasks{{Script: oracle.Script{Collect: "list", Map: &oracle.Map{Window: 1, Stop: true}}}, {By: 1, Script: failing}, {By: 1, Script: ok}}, dag.Held, ""},
		{"but after one that is allowed", tasks{{Script: oracle.Script{Collect: "list", Map: &oracle.Map{Window: 1, Stop: true}}}, {By: 1, Script: failing, AllowFailure: true}, {By: 1, Script: ok}}, dag.Completed, ""},
		{"one that does not stop makes all", tasks{{Script: oracle.Script{Collect: "list", Map: &oracle.Map{Window: 1}}}, {By: 1, Script: failing}, {By: 1, Script: ok}}, dag.Completed, ""},
		{"a repetition succeeds", tasks{{Script: oracle.Script{Repeat: &oracle.Repeat{Until: 3, Max: 2}}}}, dag.Completed, ""},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			for i := range tt.tasks {
				tt.tasks[i].MaxAttempts = max(1, tt.tasks[i].MaxAttempts)
			}
			ends := (oracle.Tree{Tasks: tt.tasks}).Run()
			if end := ends[len(ends)-1]; end.State != tt.want || end.Reason != tt.reason || end.Absent != (tt.want == dag.Held) {
				t.Errorf("got %s %q, want %s %q", end.State, end.Reason, tt.want, tt.reason)
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	failing := oracle.Task{MaxAttempts: 1, Script: oracle.Script{Fail: -1}}
	allowed := failing
	allowed.AllowFailure = true
	blocked := oracle.Task{MaxAttempts: 1, Deps: []oracle.Dep{{On: 0}}}
	for _, tt := range []struct {
		tasks []oracle.Task
		want  dag.State
	}{
		{[]oracle.Task{failing}, dag.Failed},
		{[]oracle.Task{allowed, blocked}, dag.Completed},
		{[]oracle.Task{allowed, {Cancelled: true}}, dag.Cancelled},
		{[]oracle.Task{failing, {Cancelled: true}}, dag.Failed},
	} {
		tree := oracle.Tree{Tasks: tt.tasks}
		if got := tree.Outcome(tree.Run()); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestRandomBeyond: every tree settles, and all that there is beyond the protocol comes up.
func TestRandomBeyond(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		shape := oracle.Shape{Prefix: "t", Tasks: 1 + int(seed)%60, Fails: 0.3, Optional: 0.3, Group: 0.1, Cancel: 0.05, Beyond: float64(seed%3) / 2}
		tree := oracle.Random(rand.New(rand.NewPCG(seed, 0)), shape)
		if again := oracle.Random(rand.New(rand.NewPCG(seed, 0)), shape); !reflect.DeepEqual(tree, again) {
			t.Fatalf("seed %d: two trees", seed)
		}
		if shape.Beyond == 0 && !tree.Plain() {
			t.Errorf("seed %d: the tree is not plain", seed)
		}
		for i, end := range tree.Run() {
			task := tree.Tasks[i]
			if !end.State.Settled() && !end.Absent {
				t.Errorf("seed %d: task %d is %s", seed, i, end.State)
			}
			if end.Absent {
				seen["absent"]++
				continue
			}
			seen[end.State.String()]++
			for what, is := range map[string]bool{"fold": task.Fold, "gate": task.Group && task.When != nil, "child": task.By > 0, "import": task.Imported != nil,
				"expand": task.Script.Collect != "", "wait": task.Script.Wait != nil, "repeat": task.Script.Repeat != nil, "reason " + end.Reason: end.Reason != ""} {
				if is {
					seen[what+" "+end.State.String()]++
				}
			}
		}
	}
	for _, what := range []string{"absent", "skipped", "blocked", "cancelled", "fold failed", "fold cancelled", "fold blocked", "fold completed", "fold skipped", "gate completed", "gate skipped",
		"gate failed", "child skipped", "child failed", "child blocked", "expand failed", "expand completed", "wait failed", "wait skipped", "wait completed", "repeat completed",
		"reason when_false skipped", "reason dependency_success skipped", "reason dependency_failed skipped", "reason dependency_skipped skipped", "reason timeout skipped", "reason rejected skipped"} {
		if seen[what] == 0 {
			t.Errorf("never: %s", what)
		}
	}
	t.Log(seen)
}
