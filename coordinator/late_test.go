package coordinator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// untilGo is the tree of a schedule that goes on once it is told to.
const untilGo = `{"name":"w","schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}`

// eventsOf are the events of a tree, up to its end.
func eventsOf(t *testing.T, c *cluster.Cluster, tree string) (all []*coordinator.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for e, err := range c.Service().Watch(ctx, tree, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Sequence > 0 {
			all = append(all, e)
		}
	}
	return all
}

// lateOf are those events of a tree that say that it is late.
func lateOf(events []*coordinator.Event) (late []*coordinator.Event) {
	for _, e := range events {
		if e.Type == coordinator.EventLate {
			late = append(late, e)
		}
	}
	return late
}

// lateRun waits until the run of a schedule is late, and gives it.
func lateRun(t *testing.T, c *cluster.Cluster, id string) *coordinator.ScheduleRun {
	t.Helper()
	return untilRuns(t, c, id, func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Late })[0]
}

// TestALateRunIsTold: once, to who watches its tree and to webhooks that ask for it; it goes on, and ends as it would have.
func TestALateRunIsTold(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{Coordinators: 2})
	r, others := newReceiver(t), newReceiver(t)
	for url, events := range map[string][]coordinator.WebhookEvent{r.URL: {coordinator.TreeLate}, others.URL: {coordinator.TreeFailed}} {
		if _, err := c.Service().CreateWebhook(t.Context(), coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: url}, Events: events}); err != nil {
			t.Fatal(err)
		}
	}
	schedule(t, c, `{"id":"report","cron":"0 2 1 1 *","due":1,"tree":`+untilGo+`}`)
	if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: "report"}); err != nil {
		t.Fatal(err)
	}
	run := lateRun(t, c, "report")
	got := r.until(t, "that it is late", func(d []delivered) bool { return len(d) > 0 })
	if d := got[0]; typesOf(got) != "tree_late "+run.TreeID+" in_progress" || d.field("root_task_id") != run.TreeID || d.field("final") != false || d.field("message") != "Task tree is late: it has not ended when it was due" {
		t.Errorf("got %s: %s", typesOf(got), d.Body)
	}
	if out, err := c.Service().Signal(t.Context(), run.TreeID, coordinator.Signal{Name: "go"}); err != nil || out.Status != coordinator.SignalTaken {
		t.Fatal(out, err)
	}
	events := eventsOf(t, c, run.TreeID)
	late := lateOf(events)
	if len(late) != 1 {
		t.Fatalf("%d of %d events say that it is late", len(late), len(events))
	}
	if e := late[0]; e.TaskID != run.TreeID || e.Name != "w" || e.Status != dag.StatusInProgress || e.Attempt != 0 || e.Message == "" || e.At.Before(run.Due) {
		t.Errorf("the event is %+v; it was due at %s", e, run.Due)
	}
	if last := events[len(events)-1]; last.Type != coordinator.EventFinal || last.Status != dag.StatusCompleted {
		t.Errorf("the last event is %+v", last)
	}
	untilRuns(t, c, "report", func(runs []*coordinator.ScheduleRun) bool { return runs[0].Status == "completed" && runs[0].Late })
	if got := r.until(t, "what came", func([]delivered) bool { return true }); len(got) != 1 {
		t.Errorf("it was told %s", typesOf(got))
	}
	if got := others.until(t, "what came", func([]delivered) bool { return true }); len(got) != 0 {
		t.Errorf("others were told %s", typesOf(got))
	}
}

// TestARunThatIsLateBeforeItsTree: its tree says so when it begins.
func TestARunThatIsLateBeforeItsTree(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	schedule(t, c, `{"id":"line","cron":"0 2 1 1 *","due":1,"tree":`+untilGo+`}`)
	for range 2 {
		if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: "line", Overlap: "queue_one"}); err != nil {
			t.Fatal(err)
		}
	}
	runs := untilRuns(t, c, "line", func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 2 && runs[0].Late && runs[1].Late })
	if runs[1].Status != "queued" {
		t.Fatalf("the second one is %s", runs[1].Status)
	}
	for i := range runs {
		runs := untilRuns(t, c, "line", func(runs []*coordinator.ScheduleRun) bool { return runs[i].TreeID != "" })
		if _, err := c.Service().Signal(t.Context(), runs[i].TreeID, coordinator.Signal{Name: "go"}); err != nil {
			t.Fatal(err)
		}
		events := eventsOf(t, c, runs[i].TreeID)
		if late := lateOf(events); len(late) != 1 || i == 1 && events[1] != late[0] {
			t.Errorf("run %d: %d events say that it is late", i, len(late))
		}
	}
}

// TestWhatEndsInTimeIsNotLate: a run that ended before it was due, and one that nobody says when it is due.
func TestWhatEndsInTimeIsNotLate(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Workers: 1})
	schedule(t, c, `{"id":"in time","cron":"0 2 1 1 *","due":"2h","tree":`+ended+`,"parameters":{"day":"x"}}`)
	schedule(t, c, `{"id":"whenever","cron":"0 2 1 1 *","tree":`+ended+`,"parameters":{"day":"x"}}`)
	for _, id := range []string{"in time", "whenever"} {
		if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id}); err != nil {
			t.Fatal(err)
		}
		run := untilRuns(t, c, id, func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status == "completed" })[0]
		if run.Late || len(lateOf(eventsOf(t, c, run.TreeID))) > 0 || run.Due.IsZero() == (id == "in time") {
			t.Errorf("%s: %+v", id, run)
		}
	}
}

// TestALateTreeIsTold: a tree that says when it is due is late once, also if it was held when it was; it shows so, and goes on.
func TestALateTreeIsTold(t *testing.T) {
	t.Parallel()
	c := hooked(t, cluster.Options{Coordinators: 2})
	r := newReceiver(t)
	if _, err := c.Service().CreateWebhook(t.Context(), coordinator.WebhookSpec{Webhook: coordinator.Webhook{URL: r.URL}, Events: []coordinator.WebhookEvent{coordinator.TreeLate}}); err != nil {
		t.Fatal(err)
	}
	due := &dag.Due{After: time.Second}
	for _, id := range []string{"own", "option", "held"} {
		root := using("wait_executor", id, "", `{"signal": "go"}`)
		opts := coordinator.SubmitOptions{Hold: id == "held"}
		if id == "option" {
			root.Due, opts.Due = &dag.Due{After: time.Hour}, due
		} else {
			root.Due = due
		}
		c.Submit(opts, root)
		if opts.Hold {
			if _, err := c.Service().Execute(t.Context(), id, coordinator.ExecuteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		c.For(t).Eventually(id+" is late", func() error {
			tree, err := c.Service().Tree(t.Context(), id)
			if err == nil && tree.Late.IsZero() {
				err = fmt.Errorf("it is due at %s", tree.Due)
			}
			if err == nil && (tree.Due.IsZero() || tree.Late.Before(tree.Due)) {
				t.Errorf("%s: due at %s, late at %s", id, tree.Due, tree.Late)
			}
			return err
		})
		if why, err := c.Service().Why(t.Context(), id); err != nil || !strings.Contains(why.Summary, "; its tree is late: it was to end by ") {
			t.Errorf("%s: %+v, %v", id, why, err)
		}
		r.until(t, "that "+id+" is late", func(d []delivered) bool { return len(d) > 0 && d[len(d)-1].field("root_task_id") == id })
		if _, err := c.Service().Signal(t.Context(), id, coordinator.Signal{Name: "go"}); err != nil {
			t.Fatal(err)
		}
		events := eventsOf(t, c, id)
		if late := lateOf(events); len(late) != 1 || events[len(events)-1].Status != dag.StatusCompleted {
			t.Errorf("%s: %d events say that it is late", id, len(late))
		}
	}
	if got := r.until(t, "what came", func([]delivered) bool { return true }); len(got) != 3 {
		t.Errorf("it was told %s", typesOf(got))
	}
}

// TestTreesOfSchedulesSayNotWhenTheyAreDue: the schedule does.
func TestTreesOfSchedulesSayNotWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	spec, faults := scheduledoc.Decode([]byte(`{"id":"a","cron":"0 2 * * *","tree":{"name":"w","due":"2h","schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}}`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if _, err := c.Service().CreateSchedule(t.Context(), *spec); err == nil || !strings.Contains(err.Error(), "the schedule says when its runs are due") {
		t.Error(err)
	}
}
