package faults

import (
	"testing"
	"time"
)

// TestCoordinatorAndWorkerKilledTogether kills a coordinator and a worker with what both have in hand: results whose worker can't
// send them again, and messages of work that nobody has claimed. Others get them at the latest when the worker's lease ends.
func TestCoordinatorAndWorkerKilledTogether(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	spare := []*Process{s.start(CoordinatorRole, ""), s.start(WorkerRole, "")}
	for n, at := range []struct{ coordinator, worker string }{
		{coordinator: "coordinator.before-settle-commit=kill@3"},
		{worker: "worker.before-claim=kill@3"},
	} {
		first, second := s.start(CoordinatorRole, at.coordinator), s.start(WorkerRole, at.worker)
		if at.worker != "" {
			first, second = second, first
		}
		for _, p := range spare {
			if err := p.Stop(); err != nil {
				t.Errorf("%s: %v", p.Settings.Name, err)
			}
		}
		s.load(seed+uint64(n)*10, 2, 100)
		s.dies(first)
		second.Kill()
		began := time.Now()
		spare = []*Process{s.start(CoordinatorRole, ""), s.start(WorkerRole, "")}
		s.settle()
		t.Logf("%s%s: all settled %s later; a lease lasts %s", at.coordinator, at.worker, time.Since(began).Round(10*time.Millisecond), s.base.Lease)
	}
	s.check()
}
