package faults

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestKilledWhileWaiting kills the coordinator that has a task take a signal that was kept for it, or ends its wait by its time: before and after that is
// committed. Each wait ends once, by what was sent first, and no attempt is made for it.
func TestKilledWhileWaiting(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, one := range []struct {
		point, inputs, want string
		signalled           bool
	}{
		{"coordinator.before-kept-commit=kill", `{"signal":"go"}`, `{"n":1}`, true},
		{"coordinator.after-kept-commit=kill", `{"signal":"go"}`, `{"n":1}`, true},
		{"coordinator.after-timer-commit=kill", `{"signal":"go","timeout":0.2,"on_timeout":{"n":2}}`, `{"n":2}`, false},
	} {
		root := fmt.Sprintf("wait%d", n)
		task := &dag.Task{ID: root, Name: root, Executor: "wait_executor", Pool: Pools[0], Priority: dag.Normal, Inputs: json.RawMessage(one.inputs)}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{Hold: true}, each([]*dag.Task{task})); err != nil {
			t.Fatal(err)
		}
		send := func(payload string) *coordinator.Signalled {
			t.Helper()
			got, err := s.front.Signal(t.Context(), root, coordinator.Signal{Name: "go", Payload: json.RawMessage(payload), IdempotencyKey: "key" + payload})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if one.signalled {
			if got := send(`{"n":1}`); got.Status != coordinator.SignalKept {
				t.Fatalf("%s: the signal is %s", root, got.Status)
			}
			if got := send(`{"n":3}`); got.Status != coordinator.SignalLate {
				t.Errorf("%s: another is %s", root, got.Status)
			}
		}
		victim := s.start(CoordinatorRole, one.point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := s.front.Execute(t.Context(), root, coordinator.ExecuteOptions{}); err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		eventually(t, root+" ends", func() error { return settled(t.Context(), s.front, root) })
		got, err := s.front.Task(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if runs := s.runs(root); got.State != dag.Completed || string(got.Result) != one.want || runs != 1 {
			t.Errorf("%s: it is %s with %s (%s) after %d attempts, want %s after one", one.point, got.State, got.Result, got.Error, runs, one.want)
		}
		if one.signalled {
			if got := send(`{"n":1}`); got.Status != coordinator.SignalKept {
				t.Errorf("%s: the repeated signal is %s, want the first answer", root, got.Status)
			}
		}
	}
	s.check()
}
