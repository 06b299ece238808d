package coordinator_test

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestWhatATaskAsksForChangesWhileItWaits: a task that waits for a lock goes on when an update gives it another one, or none, and who stands in its line goes on
// without it.
func TestWhatATaskAsksForChangesWhileItWaits(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2})
	locked := func(task *dag.Task) *dag.Task {
		task.Limiting = &dag.Limiting{Lock: &dag.Lock{Key: "k"}}
		return task
	}
	reaches := func(id string, want dag.State) {
		t.Helper()
		c.Eventually(fmt.Sprintf("%s is %s", id, want), func() error {
			got, err := c.Service().Task(t.Context(), id)
			if err == nil && got.State != want {
				err = fmt.Errorf("it is %s: %s", got.State, got.Error)
			}
			return err
		})
	}
	holder := with(noop("holder", ""), `{"signal":"go"}`)
	holder.Executor = "wait_executor"
	c.Submit(coordinator.SubmitOptions{}, locked(holder))
	reaches("holder", dag.Awaiting)
	out := c.Submit(coordinator.SubmitOptions{}, noop("root", "", "other", "none", "stays"), locked(noop("other", "root")), locked(noop("none", "root")), locked(noop("stays", "root")))
	for _, id := range []string{"other", "none", "stays"} {
		reaches(id, dag.Ready)
	}
	for id, lock := range map[string]*dag.Lock{"other": {Key: "k2"}, "none": nil} {
		if _, err := c.Service().Update(t.Context(), id, coordinator.TaskChange{HasLock: true, Limiting: &dag.Limiting{Lock: lock}}); err != nil {
			t.Fatal(err)
		}
		reaches(id, dag.Completed)
	}
	reaches("stays", dag.Ready)
	if _, err := c.Service().Signal(t.Context(), "holder", coordinator.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	reaches("stays", dag.Completed)
	if st := c.Settled(out.TreeID); st.Status != dag.StatusCompleted {
		t.Errorf("got %+v", st)
	}
}
