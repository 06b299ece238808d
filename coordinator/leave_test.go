package coordinator_test

import (
	"maps"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

func TestAWorkerThatLeavesIsGoneAndNotLost(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Workers: 2})
	if err := c.Workers[0].Stop(); err != nil {
		t.Fatal(err)
	}
	workers, err := c.Service().Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]coordinator.WorkerState{}
	for _, w := range workers {
		got[w.ID] = w.State
	}
	want := map[string]coordinator.WorkerState{"worker-1": coordinator.WorkerGone, "worker-2": coordinator.WorkerAlive}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
