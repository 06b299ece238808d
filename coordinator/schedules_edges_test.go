package coordinator_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

func trigger(t *testing.T, c *cluster.Cluster, id string) {
	t.Helper()
	if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id}); err != nil {
		t.Fatal(err)
	}
}

// TestRunsWhoseKeyIsTaken are skipped, whether the tree would be refused or answered with the one that is there; the schedule goes on.
func TestRunsWhoseKeyIsTaken(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1})
	for _, way := range []string{"refuse", "return"} {
		schedule(t, c, `{"id":"`+way+`","cron":"0 2 1 1 *","after_success":true,"tree":{"name":"a","schemas":{"method":"end_executor"},"unique":{"key":"key of `+way+`","for":3600,"on_conflict":"`+way+`"}}}`)
		trigger(t, c, way)
		first := untilRuns(t, c, way, func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status == "completed" })[0]
		trigger(t, c, way)
		second := untilRuns(t, c, way, func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 2 && runs[1].Status != "due" })[1]
		if second.Status != "skipped" || !strings.Contains(second.Reason, first.TreeID) || !second.StartedAt.IsZero() {
			t.Errorf("%s: %+v", way, second)
		}
	}
}

// TestTriggersMakeNoCycle: neither of two schedules nor of three, nor by changes at once.
func TestTriggersMakeNoCycle(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 1, Workers: 1})
	plain := `,"tree":{"name":"a","schemas":{"method":"end_executor"}}}`
	schedule(t, c, `{"id":"a","cron":"0 2 1 1 *"`+plain)
	schedule(t, c, `{"id":"b","on":{"schedule":"a"}`+plain)
	schedule(t, c, `{"id":"c","on":{"schedule":"b"}`+plain)
	update := func(document string) error {
		spec, _ := scheduledoc.Decode([]byte(document))
		_, err := c.Service().UpdateSchedule(t.Context(), *spec, 0)
		return err
	}
	for _, on := range []string{"b", "c"} {
		err := update(`{"id":"a","on":{"schedule":"` + on + `","outcome":"failed"}` + plain)
		if bad, ok := errors.AsType[*coordinator.ScheduleFaultsError](err); !ok || bad.Faults[0].Field != "on.schedule" {
			t.Errorf("a on %s: %v", on, err)
		}
	}
	schedule(t, c, `{"id":"x","cron":"0 2 1 1 *"`+plain)
	schedule(t, c, `{"id":"y","cron":"0 2 1 1 *"`+plain)
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { errs[0] = update(`{"id":"x","on":{"schedule":"y"}` + plain) })
	both.Go(func() { errs[1] = update(`{"id":"y","on":{"schedule":"x"}` + plain) })
	both.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("of two that make a cycle together, one is refused: %v", errs)
	}
}

// TestChangesLoseNoInstant: a schedule that is changed time and again has a row for each of its instants, those too that only their jitter keeps; nobody who names no revision is
// refused.
func TestChangesLoseNoInstant(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1})
	document := `{"id":"often","every":2,"jitter":2,"overlap":"allow","coalesce":false,"tree":{"name":"a","schemas":{"method":"end_executor"}},"description":"%d"}`
	schedule(t, c, fmt.Sprintf(document, 0))
	for i := 1; len(runsOf(t, c, "often")) < 4; i++ {
		var group sync.WaitGroup
		for n := range 3 {
			group.Go(func() {
				spec, _ := scheduledoc.Decode(fmt.Appendf(nil, document, 10*i+n))
				if _, err := c.Service().UpdateSchedule(t.Context(), *spec, 0); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	runs := runsOf(t, c, "often")
	info, err := c.Service().GetSchedule(t.Context(), "often")
	if err != nil {
		t.Fatal(err)
	}
	last := info.CreatedAt
	for _, r := range runs {
		if gap := r.FireTime.Sub(last); gap != 2*time.Second {
			t.Errorf("%s after the instant before, or the creation, is %s", gap, r.FireTime)
		}
		last = r.FireTime
	}
}

// TestNoSecretByParametersOfRuns: what a run is given names none, and what is put into a template stands in no name of one.
func TestNoSecretByParametersOfRuns(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 1, Workers: 1})
	schedule(t, c, `{"id":"a","cron":"0 2 1 1 *","parameters":{"s":"x"},"tree":{"name":"a","template":true,"schemas":{"method":"end_executor"},"inputs":{"env":{"X":"{{parameters.s}}"}}}}`)
	_, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: "a", Parameters: []byte(`{"s":{"secret":"orders"}}`)})
	if err == nil || !strings.HasPrefix(err.Error(), "parameters: ") {
		t.Error(err)
	}
	spec, _ := scheduledoc.Decode([]byte(`{"id":"b","cron":"0 2 1 1 *","tree":{"name":"a","template":true,"schemas":{"method":"end_executor"},"inputs":{"env":{"X":{"secret":"{{schedule.id}}"}}}}}`))
	if _, err := c.Service().CreateSchedule(t.Context(), *spec); err == nil || !strings.Contains(err.Error(), "tree[0].inputs.env.X.secret: ") {
		t.Error(err)
	}
}

// TestTreesOfRunsAreKept as their schedule says, whatever they say themselves and however it ends: after that time they are deleted, and not with those of the operator's. What is longer than the
// operator lets a tree be kept is refused when it is stored, and, of a schedule that was stored before, when a run begins.
func TestTreesOfRunsAreKept(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1, Coordinator: func(cfg *config.Coordinator) {
		cfg.Retention, cfg.RetentionMax = 3*time.Minute, 30*24*time.Hour
	}})
	tree := `"tree":{"name":"a","schemas":{"method":"end_executor"},"retention":"10d","inputs":{"fail":"{{parameters.fail:}}"},"template":true}`
	for id, retention := range map[string]string{"month": `,"retention":"30d"`, "minute": `,"retention":"1m"`, "as its tree": ""} {
		schedule(t, c, `{"id":"`+id+`","cron":"0 2 1 1 *"`+retention+`,`+tree+`,"parameters":{"fail":""}}`)
	}
	for _, retention := range []string{"31d", "keep"} {
		spec, _ := scheduledoc.Decode([]byte(`{"id":"longer","cron":"0 2 1 1 *","retention":"` + retention + `",` + tree + `}`))
		_, err := c.Service().CreateSchedule(t.Context(), *spec)
		if bad, ok := errors.AsType[*coordinator.ScheduleFaultsError](err); !ok || len(bad.Faults) != 1 || bad.Faults[0].Field != "retention" || !strings.Contains(bad.Faults[0].Reason, "at most 30d") {
			t.Errorf("%s: got %v", retention, err)
		}
	}
	run := func(id, parameters, ends string) string {
		t.Helper()
		if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id, Parameters: json.RawMessage(parameters)}); err != nil {
			t.Fatal(err)
		}
		runs := untilRuns(t, c, id, func(runs []*coordinator.ScheduleRun) bool { return !runs[len(runs)-1].EndedAt.IsZero() })
		last := runs[len(runs)-1]
		if last.Status != ends {
			t.Fatalf("%s: %s %s", id, last.Status, last.Reason)
		}
		return cmp.Or(last.TreeID, last.Reason)
	}
	month, failed, minute, own := run("month", "", "completed"), run("month", `{"fail":"no luck"}`, "failed"), run("minute", "", "completed"), run("as its tree", "", "completed")
	for id, want := range map[string]time.Duration{month: 30 * 24 * time.Hour, failed: 30 * 24 * time.Hour, minute: time.Minute, own: 10 * 24 * time.Hour} {
		if shown, err := c.Service().Tree(t.Context(), id); err != nil || shown.Retention != want {
			t.Errorf("%+v %v, want %v", shown, err, want)
		}
	}
	old(t, c, month, failed, minute)
	isGone(c, minute)
	for _, id := range []string{month, failed} {
		if _, err := c.Service().Task(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `update schedule set spec = replace(spec::text, '30d', '31d')::json where id = 'month'`); err != nil {
		t.Fatal(err)
	}
	if reason := run("month", "", "failed_to_start"); !strings.HasPrefix(reason, "retention: must be at most 30d") {
		t.Error(reason)
	}
}
