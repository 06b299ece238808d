package coordinator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/node"
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
	_, err = c.TryCoordinator(node.Options{})
	if old, ok := errors.AsType[*dag.OutdatedError](err); !ok || old.Version != taskgrove.Version {
		t.Errorf("starting a coordinator below the level: got %v", err)
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

// TestACoordinatorThatWaitsKeepsItsLease locks what the loops read, and looks whether the lease is extended all the same.
func TestACoordinatorThatWaitsKeepsItsLease(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "begin; lock table worker in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	lease := func() time.Time {
		list, err := c.Service().Coordinators(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("got coordinators %+v, %v", list, err)
		}
		return list[0].LeaseUntil
	}
	seen := []time.Time{lease()}
	for end := time.Now().Add(20 * time.Second); len(seen) < 3 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if until := lease(); until.After(seen[len(seen)-1]) {
			seen = append(seen, until)
		}
	}
	if len(seen) < 3 { // one may have been under way when the lock was taken
		t.Errorf("in 20 s the lease ended at %v, want two extensions", seen)
	}
}

// TestACoordinatorThatStartsTakesNoWork: it may be refused yet.
func TestACoordinatorThatStartsTakesNoWork(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("held", ""))
	resting := c.AddResting().P
	starting := coordinator.New(coordinator.Config{}, resting.Store, resting.Queue)
	if _, err := starting.Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("new", "")})); !errors.Is(err, coordinator.ErrUnavailable) {
		t.Errorf("submit: got %v", err)
	}
	if _, err := starting.Execute(t.Context(), "held", coordinator.ExecuteOptions{}); !errors.Is(err, coordinator.ErrUnavailable) {
		t.Errorf("execute: got %v", err)
	}
	if _, err := resting.Execute(t.Context(), "held", coordinator.ExecuteOptions{}); err != nil {
		t.Errorf("execute by one that rests: got %v", err)
	}
}
