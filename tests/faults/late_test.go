package faults

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// TestKilledWhileRunsAreLate: wherever the coordinator dies, a late run has one event of that, in its tree or once that begins, and so has a tree that says when it is due; a webhook is
// told of each.
func TestKilledWhileRunsAreLate(t *testing.T) {
	t.Parallel()
	s, r := newSharedSite(t), newHookReceiver(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	if _, err := s.front.CreateWebhook(t.Context(), coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: r.URL + "/late"}, Events: []coordinator.WebhookEvent{coordinator.TreeLate}}); err != nil {
		t.Fatal(err)
	}
	// goesOn has a tree that is late go on to its end.
	goesOn := func(point, tree string, by *client.Client) {
		t.Helper()
		eventually(t, point+": the webhook is told", func() error { return r.told("/late", tree, []string{"tree_late " + tree}) })
		if _, err := by.Signal(t.Context(), tree, client.Signal{Name: "go"}); err != nil {
			t.Fatal(err)
		}
		s.ends(tree)
		late := 0
		for e, err := range s.front.Watch(t.Context(), tree, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Type == coordinator.EventLate {
				late++
			}
		}
		if late != 1 {
			t.Errorf("%s: %d events of %s say that it is late", point, late, tree)
		}
	}
	for n, point := range []string{"coordinator.before-late-runs", "coordinator.after-late-runs", "coordinator.after-webhook-sent"} {
		if err := spare.Stop(); err != nil { // so that the victim finds at once what is triggered here
			t.Error(err)
		}
		id := fmt.Sprint("late", n)
		spec, faults := scheduledoc.Decode(fmt.Appendf(nil, `{"id":%q,"cron":"0 2 1 1 *","due":1,"tree":{"name":"w","pool":%q,"schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}}`, id, Pools[0]))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if _, err := s.front.CreateSchedule(t.Context(), *spec); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second one waits for the first one
			if _, err := s.front.TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id, Overlap: "queue_one"}); err != nil {
				t.Fatal(err)
			}
		}
		victim := s.launch(CoordinatorRole, point+"=kill")
		s.dies(victim)
		s.endLeases()
		var by *client.Client
		spare, by = s.served("") // who ends a run begins the next one at once
		// late waits until both runs are late, and has so many trees.
		late := func(trees int, status string) (list []*coordinator.ScheduleRun) {
			t.Helper()
			eventually(t, point+": runs of "+id, func() error {
				page, err := s.front.ScheduleRuns(t.Context(), coordinator.ScheduleRunFilter{ID: id})
				if err != nil {
					return err
				}
				list = nil
				for _, run := range page.Items {
					if !run.Late || status != "" && string(run.Status) != status {
						return fmt.Errorf("the run of %s is %s, late: %t", run.FireTime.Format(time.StampMilli), run.Status, run.Late)
					}
					if run.TreeID != "" {
						list = append(list, run)
					}
				}
				if len(page.Items) != 2 || len(list) < trees {
					return fmt.Errorf("%d runs, %d with trees", len(page.Items), len(list))
				}
				return nil
			})
			return list
		}
		first := late(1, "")[0].TreeID
		goesOn(point, first, by)
		for _, run := range late(2, "") {
			if run.TreeID != first {
				goesOn(point, run.TreeID, by)
			}
		}
		late(2, "completed")
	}
	const point = "coordinator.after-late-trees"
	victim := s.start(CoordinatorRole, point+"=kill")
	if err := spare.Stop(); err != nil {
		t.Error(err)
	}
	root := &dag.Task{ID: "due", Name: "due", Executor: "wait_executor", Pool: Pools[0], Priority: dag.Normal, Inputs: json.RawMessage(`{"signal":"go"}`), Due: &dag.Due{After: time.Second}}
	if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{root})); err != nil {
		t.Fatal(err)
	}
	s.dies(victim)
	s.endLeases()
	_, by := s.served("")
	goesOn(point, "due", by)
	s.check()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, bad := range r.bad {
		t.Error(bad)
	}
}
