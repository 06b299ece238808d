package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/porttest"
)

// served starts a coordinator that serves clients, armed with a fail point, and a client of it.
func (s *site) served(point string) (*Process, *client.Client) {
	s.t.Helper()
	settings := s.settings(CoordinatorRole)
	settings.HTTP, settings.GRPC = fmt.Sprintf("127.0.0.1:%d", porttest.Port(s.t)), fmt.Sprintf("127.0.0.1:%d", porttest.Port(s.t))
	p, err := StartProcess(settings, point)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	eventually(s.t, settings.Name+" is ready", p.Ready)
	c, err := client.New(settings.GRPC)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() }) // nobody may be there
	return p, c
}

// TestKilledWhileAnswering kills the coordinator that was sent a signal or an approval, before and after it has written that. Who sends it again is told what
// is so; each wait ends once, by what was sent first.
func TestKilledWhileAnswering(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, one := range rounds(seedOf(t), []struct {
		what, executor, inputs string
		held                   bool // it is sent before the task waits
		choice                 string
		want                   dag.State
		attempts               int
	}{
		{"kept", "wait_executor", `{"signal":"go"}`, true, "", dag.Completed, 1},
		{"taken", "wait_executor", `{"signal":"go"}`, false, "", dag.Completed, 1},
		{"taken by one that goes on", ScriptedID, `{"script":{"add":1,"wait":{"kind":"signal","comes":true,"resume":true}}}`, false, "", dag.Completed, 2},
		{"approved", "approval_executor", `{"message":"May it?"}`, false, dag.ChoiceApprove, dag.Completed, 1},
		{"rejected", "approval_executor", `{"message":"May it?"}`, false, dag.ChoiceReject, dag.Failed, 1},
		{"rejected, which skips", "approval_executor", `{"message":"May it?","on_reject":"skip"}`, false, dag.ChoiceReject, dag.Skipped, 1},
		{"approved for one that goes on", ScriptedID, `{"script":{"add":1,"wait":{"kind":"approval","comes":true,"resume":true}}}`, false, dag.ChoiceApprove, dag.Completed, 2},
	}) {
		for _, point := range []string{"before", "after"} {
			id := fmt.Sprintf("answer%d-%s", n, point)
			fact := fmt.Sprintf("%s, killed %s the commit", one.what, point)
			task := &dag.Task{ID: id, Name: id, Executor: one.executor, Pool: Pools[0], Priority: dag.Normal, Inputs: json.RawMessage(one.inputs)}
			if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{Hold: one.held}, each([]*dag.Task{task})); err != nil {
				t.Fatal(err)
			}
			if !one.held {
				eventually(t, id+" waits", func() error {
					got, err := s.front.Task(t.Context(), id)
					if err == nil && got.State != dag.Awaiting {
						err = fmt.Errorf("it is %s", got.State)
					}
					return err
				})
			}
			victim, c := s.served("coordinator." + point + "-signal-commit=kill")
			signal := coordinator.Signal{Name: "go", Payload: json.RawMessage(`{"n":1}`), IdempotencyKey: "key of " + id}
			var err error
			if one.choice == "" {
				_, err = c.Signal(t.Context(), id, client.Signal{Name: signal.Name, Payload: signal.Payload, IdempotencyKey: signal.IdempotencyKey})
			} else {
				_, err = c.Approve(t.Context(), id, client.Approval{Choice: one.choice, Comment: "first"})
			}
			if err == nil {
				t.Errorf("%s: it was answered", fact)
			}
			s.dies(victim)
			if one.choice == "" {
				want := coordinator.SignalTaken
				if one.held {
					want = coordinator.SignalKept
				}
				if got, err := s.front.Signal(t.Context(), id, signal); err != nil || got.Status != want {
					t.Errorf("%s: sent again: %+v, %v; want %s", fact, got, err, want)
				}
			} else {
				_, err := s.front.Approve(t.Context(), id, coordinator.Approval{Choice: one.choice, Comment: "second"})
				if written := point == "after"; errors.Is(err, coordinator.ErrConflict) != written || !written && err != nil {
					t.Errorf("%s: answered again: %v", fact, err)
				}
			}
			if one.held {
				if _, err := s.front.Execute(t.Context(), id, coordinator.ExecuteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, id+" ends", func() error { return settled(t.Context(), s.front, id) })
			got, err := s.front.Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if runs := s.runs(id); got.State != one.want || runs != one.attempts {
				t.Errorf("%s: it is %s (%s) after %d attempts; want %s after %d", fact, got.State, got.Error, runs, one.want, one.attempts)
			}
			if one.executor == "approval_executor" && one.want == dag.Completed {
				var result struct{ Choice, By, Comment string }
				want := map[string]string{"before": "second", "after": "first"}[point]
				if json.Unmarshal(got.Result, &result) != nil || result.Choice != one.choice || result.Comment != want {
					t.Errorf("%s: its result is %s, want the comment %q", fact, got.Result, want)
				}
			}
		}
	}
	s.check()
}
