package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestKilledBetweenRepetitions kills coordinators before and after they settle a run of a repeated task, and workers while they run one. No run is counted twice, and
// none is left out.
func TestKilledBetweenRepetitions(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare, worker := s.start(CoordinatorRole, ""), s.start(WorkerRole, "")
	const runs = 6
	for n, point := range []string{"coordinator.before-settle-commit=kill@3", "coordinator.after-settle-commit=kill@3", "coordinator.before-ack=kill@3", "worker.mid-task=kill@3"} {
		id, role, other := fmt.Sprintf("loop%d", n), CoordinatorRole, &spare
		if point[0] == 'w' {
			role, other = WorkerRole, &worker
		}
		victim := s.start(role, point)
		if err := (*other).Stop(); err != nil {
			t.Error(err)
		}
		task := &dag.Task{ID: id, Name: id, Executor: ScriptedID, Pool: Pools[0], Priority: dag.Normal, Inputs: []byte(`{}`),
			Control: &dag.Control{Repeat: &dag.Repeat{Until: "false", Max: runs, Delay: time.Millisecond}}}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{task})); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		*other = s.start(role, "")
		eventually(t, id+" ends", func() error { return settled(t.Context(), s.front, id) })
		attempts, err := s.front.Attempts(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		ends := map[dag.Outcome]int{}
		for _, a := range attempts {
			ends[a.Outcome]++
		}
		if ends[dag.OutcomeRepeated] != runs-1 || ends[dag.OutcomeCompleted] != 1 {
			t.Errorf("%s: %v", point, ends)
		}
	}
	s.check()
}
