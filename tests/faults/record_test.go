package faults

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/porttest"
	"github.com/taskgrove/taskgrove/tests/history"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// TestKilledWhileRecording kills a coordinator between the entry of a call and what the call changes, and between that and the entry of how it ended:
// either way the record has the call, with the outcome unknown, and its chain holds.
func TestKilledWhileRecording(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	for n, tt := range []struct {
		point string
		state dag.State
	}{{"coordinator.after-record-begun=kill", dag.Held}, {"coordinator.before-record-ended=kill", dag.Cancelled}} {
		id := fmt.Sprintf("recorded%d", n)
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{Hold: true}, each([]*dag.Task{{ID: id, Name: id, Executor: "scripted", Priority: dag.Normal}})); err != nil {
			t.Fatal(err)
		}
		settings := s.settings(CoordinatorRole)
		settings.GRPC, settings.Record = porttest.Address(t), true
		victim, err := StartProcess(settings, tt.point)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the coordinator is ready", victim.Ready)
		c, err := client.New(settings.GRPC)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Cancel(t.Context(), id); err == nil {
			t.Errorf("%s: the call was answered", tt.point)
		}
		s.dies(victim)
		task, err := s.front.Task(t.Context(), id)
		if err != nil || task.State != tt.state {
			t.Errorf("%s: got %+v, %v, want a task that is %s", tt.point, task, err, tt.state)
		}
		page, err := s.front.Record(t.Context(), coordinator.RecordFilter{Namespace: coordinator.AllNamespaces, Task: id})
		if err != nil || len(page.Items) != 1 || page.Items[0].Outcome != "unknown" || page.Items[0].Method != "Cancel" {
			t.Errorf("%s: the record has %+v, %v", tt.point, page.Items, err)
		}
	}
	for report, err := range s.front.VerifyRecord(t.Context(), nil) {
		if err != nil || len(report.Faults) > 0 || report.Entries != 2 {
			t.Errorf("got %+v, %v", report, err)
		}
	}
}

// TestFewTreesArePoisoned: trees that nobody can judge, as leases ended on a machine that is too busy, fail a test where no worker may be lost, and where they are many.
func TestFewTreesArePoisoned(t *testing.T) {
	t.Parallel()
	lost := coordinator.Attempt{Outcome: dag.OutcomeLost}
	if n := lostOf([]coordinator.Attempt{lost, {}, lost}); n != 2 {
		t.Errorf("%d lost attempts, want 2", n)
	}
	for _, tt := range []struct {
		exact           bool
		poisoned, trees int
		ok              bool
	}{{true, 0, 0, true}, {true, 1, 8, false}, {false, 1, 0, true}, {false, 2, 8, true}, {false, 3, 8, false}} {
		r := NewRecord(tt.exact, 0)
		r.Poisoned = make([]string, tt.poisoned)
		for i := range tt.trees {
			tree := oracle.Tree{Tasks: []oracle.Task{{ID: fmt.Sprint(i), Parent: -1}}}
			r.trees, r.Submits = append(r.trees, tree), append(r.Submits, history.Submit{Root: fmt.Sprint(i), Answer: history.Refused})
		}
		if err := r.Check(); (err == nil) != tt.ok {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}
