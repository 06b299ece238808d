package coordinator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// spanTree is a tree with a job of two steps, which wait for their gates, with a lock around them. All ids begin with the name.
func spanTree(name string, lock dag.Lock) []*dag.Task {
	id := func(of string) string { return name + "-" + of }
	job := &dag.Task{ID: id("job"), Name: id("job"), ParentRef: name, Fold: true,
		Dependencies: []dag.Dependency{{Ref: id("take")}, {Ref: id("a")}, {Ref: id("b")}}}
	lock.Hold = dag.HoldParent
	take := limited(noop(id("take"), id("job")), &dag.Limiting{Lock: &lock})
	return []*dag.Task{noop(name, "", id("job")), job, take, gated(id("a"), id("job"), "gate_executor", `{}`, id("take")),
		gated(id("b"), id("job"), "gate_executor", `{}`, id("take"), id("a"))}
}

// waitsFor waits until a task has a state.
func (l *limits) waitsFor(id string, want dag.State) {
	l.t.Helper()
	l.Eventually(fmt.Sprint(id, " is ", want), func() error {
		task, err := l.Service().Task(l.t.Context(), id)
		if err != nil {
			return err
		}
		if task.State != want {
			return fmt.Errorf("it is %s (%s)", task.State, task.Error)
		}
		return nil
	})
}

// TestALockAroundSeveralTasks: what takes a lock for its parent keeps others out until that has ended, however it ends, and whoever ends it.
func TestALockAroundSeveralTasks(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 8})
	ledger := dag.Lock{Key: "ledger"}
	for name, end := range map[string]func(name string){
		"completed": func(name string) { l.gate.open(name + "-a"); l.gate.open(name + "-b") },
		"cancelled": func(name string) {
			if _, err := l.Service().Cancel(t.Context(), name, coordinator.CancelOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		"its parent is cancelled": func(name string) {
			if _, err := l.Service().Cancel(t.Context(), name+"-job", coordinator.CancelOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l.Submit(coordinator.SubmitOptions{}, spanTree(name, ledger)...)
			l.running(name, name+"-a")
			l.Eventually("the step is told the lock around it", func() error {
				if key, _ := l.gate.locks.Load(name + "-a"); key != "ledger" {
					return fmt.Errorf("it is told %v", key)
				}
				return nil
			})
			second := name + " 2"
			l.Submit(coordinator.SubmitOptions{}, spanTree(second, ledger)...)
			e, err := l.Service().Why(t.Context(), second+"-take")
			if err != nil {
				t.Fatal(err)
			}
			if got := causes(e); got != "lock" || !strings.HasPrefix(e.Waits[0].Text, `the lock "ledger"; held by `+name+"-job since ") || e.Waits[0].TaskID != name+"-job" {
				t.Errorf("why: %s: %+v, want that the job holds it", got, e.Waits)
			}
			for v, err := range l.Service().Verify(t.Context(), "") {
				t.Errorf("while it is held: %+v, %v", v, err)
			}
			end(name)
			l.running(second, second+"-a")
			l.gate.open(second + "-a")
			l.gate.open(second + "-b")
			l.Settled(second)
			l.Eventually("nothing is held", func() error {
				var held int
				if err := l.db.QueryRow(t.Context(), "select count(*) from hold").Scan(&held); err != nil || held > 0 {
					return fmt.Errorf("%d holds, %v", held, err)
				}
				return nil
			})
			l.empty()
		})
	}
}

// TestALockForAParentThatIsNotGiven: a task that does not succeed gives the lock back at once, and who does not wait, or not so long, ends.
func TestALockForAParentThatIsNotGiven(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 8})
	fails := spanTree("fails", dag.Lock{Key: "k"})
	fails[2].Inputs = []byte(`{"fail":"no"}`)
	l.Submit(coordinator.SubmitOptions{}, fails...)
	l.Settled("fails")
	l.empty()

	l.Submit(coordinator.SubmitOptions{}, spanTree("holds", dag.Lock{Key: "k"})...)
	l.running("holds", "holds-a")
	l.Submit(coordinator.SubmitOptions{}, spanTree("denied", dag.Lock{Key: "k", OnContention: dag.FailOnContention})...)
	l.Submit(coordinator.SubmitOptions{}, spanTree("skipped", dag.Lock{Key: "k", OnContention: dag.SkipOnContention})...)
	l.Submit(coordinator.SubmitOptions{}, spanTree("late", dag.Lock{Key: "k", WaitTimeout: 10 * time.Millisecond})...)
	l.waitsFor("denied-job", dag.Failed)
	l.waitsFor("late-job", dag.Failed)
	l.waitsFor("skipped-take", dag.Skipped)
	for _, id := range []string{"holds-a", "holds-b", "skipped-a", "skipped-b"} {
		l.gate.open(id)
	}
	for _, id := range []string{"holds", "denied", "skipped", "late"} {
		l.Settled(id)
	}
	l.empty()
}

// TestALockIsTakenAgain: what runs again below a lock does so with the lock, which is taken anew, and what had completed stays so.
func TestALockIsTakenAgain(t *testing.T) {
	t.Parallel()
	l := startLimits(t, cluster.Options{Concurrency: 8})
	tree := spanTree("tree", dag.Lock{Key: "k"})
	tree[4].Executor, tree[4].Pool, tree[4].Inputs = "noop_executor", "noop_executor", []byte(`{"fail":"no"}`)
	l.Submit(coordinator.SubmitOptions{}, tree...)
	l.gate.open("tree-a")
	l.Settled("tree")
	l.waitsFor("tree-job", dag.Failed)
	l.empty()

	l.Submit(coordinator.SubmitOptions{}, spanTree("other", dag.Lock{Key: "k"})...)
	l.running("other", "other-a")
	again := func(target string) {
		t.Helper()
		if got, err := l.Service().Execute(t.Context(), target, coordinator.ExecuteOptions{}); err != nil || got.Outcome != coordinator.Started {
			t.Fatal(got, err)
		}
	}
	again("tree")
	l.waitsFor("tree-take", dag.Ready)
	if b := l.Tasks("tree")["tree-b"]; b.State != dag.Waiting {
		t.Errorf("tree-b is %s, and another tree has the lock", b.State)
	}
	l.gate.open("other-a")
	l.gate.open("other-b")
	l.Settled("tree")
	again("tree-b") // its job comes along
	l.Settled("tree")
	for id, want := range map[string]int{"tree-take": 3, "tree-b": 3, "tree-job": 3} {
		if got := l.Tasks("tree")[id]; int(got.Attempt) != want {
			t.Errorf("%s has attempt %d, want %d", id, got.Attempt, want)
		}
	}
	if a := l.Tasks("tree")["tree-a"]; a.Attempt != 1 || a.State != dag.Completed {
		t.Errorf("tree-a has attempt %d and is %s, want its first to stay", a.Attempt, a.State)
	}
	l.empty()
}
