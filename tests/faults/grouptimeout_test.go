package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestKilledWhileAGroupTimesOut: wherever the coordinator dies between the begin of what is below a group with a timeout and its end, the group fails with the kind timeout, what is
// below it is cancelled, and what comes after it goes on.
func TestKilledWhileAGroupTimesOut(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, point := range []string{"coordinator.after-claim-commit", "coordinator.after-timer-commit", "coordinator.after-followup-commit", "coordinator.before-settle-commit"} {
		root := fmt.Sprintf("timed%d", n)
		id := func(of string) string { return root + "-" + of }
		tasks := []*dag.Task{
			{ID: root, Executor: "noop_executor", Dependencies: []dag.Dependency{{Ref: id("job"), Optional: true}, {Ref: id("after")}}},
			{ID: id("job"), ParentRef: root, Fold: true, Timeout: time.Second, Dependencies: []dag.Dependency{{Ref: id("one")}, {Ref: id("two")}}},
			{ID: id("one"), ParentRef: id("job"), Executor: "sleep_executor", Inputs: []byte(`{"seconds":600}`)},
			{ID: id("two"), ParentRef: id("job"), Executor: "noop_executor", Dependencies: []dag.Dependency{{Ref: id("one")}}},
			{ID: id("after"), ParentRef: root, Executor: "noop_executor", Dependencies: []dag.Dependency{{Ref: id("job"), Optional: true}}},
		}
		for _, task := range tasks {
			task.Name, task.Priority = task.ID, dag.Normal
			if task.Executor != "" {
				task.Pool = Pools[0]
			}
		}
		victim := s.start(CoordinatorRole, point+"=kill")
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		eventually(t, root+" ends", func() error { return settled(t.Context(), s.front, root) })
		for of, want := range map[string]dag.State{"job": dag.Failed, "one": dag.Cancelled, "two": dag.Cancelled, "after": dag.Completed} {
			got, err := s.front.Task(t.Context(), id(of))
			if err != nil || got.State != want || of == "job" && got.ErrorKind != dag.KindTimeout {
				t.Errorf("%s: %s is %+v, want %s, %v", point, of, got, want, err)
			}
		}
	}
	s.check()
}
