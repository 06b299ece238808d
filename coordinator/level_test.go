package coordinator_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
	"github.com/taskgrove/taskgrove/worker"
)

// next is a table with a level above this version's, which tasks called "new" need: all that a new level takes.
var next = append(dag.AllLevels[:len(dag.AllLevels):len(dag.AllLevels)], dag.FeatureLevel{
	Level: dag.AllLevels.Highest() + 1, Name: "made up", Since: "9.0.0", Needs: func(t *dag.Task) bool { return t.Name == "new" },
})

// TestALevelKeepsOutWhoIsBelowIt upgrades a cluster's coordinator to a level that its worker lacks.
func TestALevelKeepsOutWhoIsBelowIt(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Levels: next})
	task := noop("needs-it", "")
	task.Name = "new"
	_, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{task}))
	if _, ok := errors.AsType[*dag.LevelError](err); !ok || !strings.Contains(err.Error(), `worker "worker-1"`) {
		t.Fatalf("got %v, want a refusal that names the worker", err)
	}
	if st := c.Settled(c.Submit(coordinator.SubmitOptions{}, noop("plain", "")).TreeID); st.Completed != 1 {
		t.Errorf("a plain tree: got %+v", *st)
	}
	workers, err := c.Service().Workers(t.Context())
	if err != nil || len(workers) != 1 || workers[0].Level != dag.AllLevels.Highest() {
		t.Errorf("got workers %+v, %v", workers, err)
	}

	if err := c.Workers[0].Stop(); err != nil {
		t.Fatal(err)
	}
	c.Submit(coordinator.SubmitOptions{}, task)
	if err := c.AddWorker().Ended(t.Context()); !errors.Is(err, worker.ErrOutdated) {
		t.Errorf("a worker below the level ended with %v", err)
	}
	c.Upgrade(nil)
	err = c.AddCoordinator().Ended(t.Context())
	if old, ok := errors.AsType[*dag.OutdatedError](err); !ok || old.Version != taskgrove.Version {
		t.Errorf("a coordinator below the level ended with %v", err)
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
}

// TestACoordinatorThatStoppedIsNotBelowALevel: its row goes with it.
func TestACoordinatorThatStoppedIsNotBelowALevel(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	c.Upgrade(next)
	upgraded := c.AddCoordinator()
	c.Eventually("the second coordinator is ready", func() error { return upgraded.P.Ready(t.Context()) })
	if err := c.Workers[0].Stop(); err != nil {
		t.Fatal(err)
	}
	task := noop("needs-it", "")
	task.Name = "new"
	submit := func() error {
		_, err := upgraded.P.Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{task}))
		return err
	}
	if err := submit(); err == nil || !strings.Contains(err.Error(), `coordinator "coordinator-1"`) {
		t.Fatalf("got %v, want a refusal that names the coordinator", err)
	}
	if err := c.Coordinators[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if err := submit(); err != nil {
		t.Error(err)
	}
}
