package faults

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/porttest"
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
