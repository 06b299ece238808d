package coordinator_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// napping is a task of the only pool that keeps its slot for some time.
func napping(id, parent string, deps ...string) *dag.Task {
	t := noop(id, parent, deps...)
	t.Executor, t.Pool, t.Inputs = "sleep_executor", "noop_executor", []byte(`{"seconds": 0.3}`)
	return t
}

// TestTheMostUrgentOfWhatIsUnlockedStartsFirst: with one slot, in whatever order dependents were submitted.
func TestTheMostUrgentOfWhatIsUnlockedStartsFirst(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Concurrency: 1, Pools: []string{"noop_executor"}})
	for n := range 6 {
		first := fmt.Sprintf("first-%d", n)
		tasks := []*dag.Task{noop(first, "")}
		for p := dag.Low; p >= dag.Urgent; p-- {
			task := noop(fmt.Sprintf("p%d-%d", p, n), first, first)
			task.Priority = p
			tasks = append(tasks, task)
		}
		out := c.Submit(coordinator.SubmitOptions{}, tasks...)
		c.Settled(out.TreeID)
		all := c.Tasks(out.TreeID)
		urgent := all[fmt.Sprintf("p0-%d", n)]
		for id, task := range all {
			if id != first && task.StartedAt.Before(urgent.StartedAt) {
				t.Errorf("%s started before %s", id, urgent.ID)
			}
		}
	}
}

// TestWhatWaitsInNATSIsNotPassed: a task that waits there for the only slot starts before one that a result unlocks and that
// is less urgent, or as urgent.
func TestWhatWaitsInNATSIsNotPassed(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Concurrency: 1, Pools: []string{"noop_executor"}})
	for _, tt := range []struct {
		fact             string
		waits, unlocked  dag.Priority
		unlockedIsBefore bool
	}{
		{"a more urgent one", dag.Urgent, dag.Low, false},
		{"one that is just as urgent", dag.Normal, dag.Normal, false},
		{"a less urgent one is", dag.Low, dag.Normal, true},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			c := c.For(t)
			prefix := fmt.Sprintf("%d-%d-", tt.waits, tt.unlocked)
			holder, unlocked := napping(prefix+"holder", ""), noop(prefix+"unlocked", prefix+"holder", prefix+"holder")
			holder.Priority, unlocked.Priority = tt.unlocked, tt.unlocked
			tree := c.Submit(coordinator.SubmitOptions{}, holder, unlocked)
			c.Eventually("the slot is taken", func() error {
				if got := c.Tasks(tree.TreeID)[holder.ID]; got.State != dag.Running {
					return fmt.Errorf("%s is %s", holder.ID, got.State)
				}
				return nil
			})
			waits := noop(prefix+"waits", "")
			waits.Priority = tt.waits
			other := c.Submit(coordinator.SubmitOptions{}, waits)
			c.Settled(tree.TreeID)
			c.Settled(other.TreeID)
			started := func(tree, id string) time.Time { return c.Tasks(tree)[id].StartedAt }
			if got := started(tree.TreeID, unlocked.ID).Before(started(other.TreeID, waits.ID)); got != tt.unlockedIsBefore {
				t.Errorf("the unlocked one starts first: %v, want %v", got, tt.unlockedIsBefore)
			}
		})
	}
}
