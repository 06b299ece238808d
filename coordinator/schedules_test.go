package coordinator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// schedule stores a schedule, as a document says.
func schedule(t *testing.T, c *cluster.Cluster, document string) *coordinator.ScheduleInfo {
	t.Helper()
	spec, faults := scheduledoc.Decode([]byte(document))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	info, err := c.Service().CreateSchedule(t.Context(), *spec)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func runsOf(t *testing.T, c *cluster.Cluster, id string) []*coordinator.ScheduleRun {
	t.Helper()
	page, err := c.Service().ScheduleRuns(t.Context(), coordinator.ScheduleRunFilter{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(page.Items) // the oldest first
	return page.Items
}

// untilRuns waits until the runs of a schedule are so many, and so.
func untilRuns(t *testing.T, c *cluster.Cluster, id string, want func([]*coordinator.ScheduleRun) bool) (runs []*coordinator.ScheduleRun) {
	t.Helper()
	c.For(t).Eventually("runs of "+id, func() error {
		if runs = runsOf(t, c, id); !want(runs) {
			var texts []string
			for _, r := range runs {
				texts = append(texts, fmt.Sprintf("%s %s %s %s", r.Kind, r.FireTime.Format(time.TimeOnly), r.Status, r.Reason))
			}
			return fmt.Errorf("they are %s", strings.Join(texts, "; "))
		}
		return nil
	})
	return runs
}

const ended = `{"name":"a","template":true,"schemas":{"method":"end_executor"},"inputs":{"value":{"at":"{{schedule.fire_time}}","from":"{{schedule.interval_start}}","of":"{{schedule.id}}","day":"{{parameters.day}}"}}}`

// TestSchedulesFire: each second one run, by three coordinators; its tree knows the instant.
func TestSchedulesFire(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 3, Workers: 1})
	schedule(t, c, `{"id":"ticks","every":1,"tree":[`+ended+`],"parameters":{"day":"{{schedule.local_date}}"},"max_runs":3,"overlap":"allow","coalesce":false,"user_id":"ann"}`)
	runs := untilRuns(t, c, "ticks", func(runs []*coordinator.ScheduleRun) bool {
		return len(runs) == 3 && !slices.ContainsFunc(runs, func(r *coordinator.ScheduleRun) bool { return r.Status != "completed" })
	})
	for i, r := range runs {
		if i > 0 && r.FireTime.Sub(runs[i-1].FireTime) != time.Second {
			t.Errorf("instants are %v and %v", runs[i-1].FireTime, r.FireTime)
		}
		tree, err := c.Service().Tree(t.Context(), r.TreeID)
		if err != nil || tree.UserID != "ann" {
			t.Fatal(tree, err)
		}
		task, err := c.Service().Task(t.Context(), r.TreeID)
		if err != nil {
			t.Fatal(err)
		}
		at := func(m time.Time) string { return m.UTC().Format(time.RFC3339Nano) }
		want := fmt.Sprintf(`{"at":%q,"day":%q,"from":%q,"of":"ticks"}`, at(r.FireTime), r.FireTime.UTC().Format(time.DateOnly), at(r.FireTime.Add(-time.Second)))
		if string(task.Result) != want {
			t.Errorf("got %s, want %s", task.Result, want)
		}
	}
	info, err := c.Service().GetSchedule(t.Context(), "ticks")
	if err != nil || info.Runs != 3 || !info.Next.IsZero() {
		t.Errorf("%+v %v", info, err)
	}
}

// TestTriggersAndBackfills: whoever asks gets a run, also of a paused schedule, and one for each key; a backfill has each instant of its range.
func TestTriggersAndBackfills(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1})
	schedule(t, c, `{"id":"daily","cron":"0 2 * * *","timezone":"Europe/Berlin","tree":`+ended+`,"parameters":{"day":"x"},"paused":true}`)
	first, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: "daily", Parameters: []byte(`{"day":"y"}`), IdempotencyKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: "daily", IdempotencyKey: "k"})
	if err != nil || !again.FireTime.Equal(first.FireTime) {
		t.Fatal(again, err)
	}
	runs := untilRuns(t, c, "daily", func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status == "completed" })
	if task, err := c.Service().Task(t.Context(), runs[0].TreeID); err != nil || !strings.Contains(string(task.Result), `"day":"y"`) {
		t.Errorf("%+v %v", task, err)
	}
	to := time.Now().UTC().Truncate(24 * time.Hour)
	b, err := c.Service().BackfillSchedule(t.Context(), coordinator.ScheduleBackfill{ID: "daily", From: to.Add(-5 * 24 * time.Hour), To: to, MaxConcurrent: 2})
	if err != nil || b.Instants != 5 {
		t.Fatal(b, err)
	}
	untilRuns(t, c, "daily", func(runs []*coordinator.ScheduleRun) bool {
		return len(runs) == 6 && !slices.ContainsFunc(runs, func(r *coordinator.ScheduleRun) bool { return r.Status != "completed" })
	})
	for field, ask := range map[string]coordinator.ScheduleBackfill{
		"to":             {ID: "daily", From: to, To: to},
		"from":           {ID: "daily", To: to},
		"max_concurrent": {ID: "daily", From: to.Add(-time.Hour), To: to, MaxConcurrent: 1000},
	} {
		if _, err := c.Service().BackfillSchedule(t.Context(), ask); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestRunsKnowTheLastSuccess: its instant and what its root gave; null before any, what a failed run gives is not told, and a tree that is gone has given nothing.
func TestRunsKnowTheLastSuccess(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1})
	schedule(t, c, `{"id":"loads","cron":"0 2 1 1 *","tree":{"name":"a","template":true,"schemas":{"method":"end_executor"},"outputs":{"upto":"{{result.at}}"},
		"inputs":{"fail":"{{parameters.fail:}}","value":{"at":"{{schedule.fire_time}}","since":"{{schedule.last_success.fire_time}}","default":"{{schedule.last_success.fire_time:never}}",
		"upto":"{{schedule.last_success.outputs.upto:0}}","all":"{{schedule.last_success.outputs}}"}}},"parameters":{"fail":""}}`)
	schedule(t, c, `{"id":"plain","cron":"0 2 1 1 *","tree":{"name":"a","template":true,"schemas":{"method":"end_executor"},"inputs":{"value":{"n":"{{parameters.n}}","again":"{{parameters.n}}","before":"{{schedule.last_success.outputs.n:none}}"}}},"parameters":{"n":1}}`)
	var n int
	begin := func(id, parameters, ends string) (*coordinator.ScheduleRun, string) {
		t.Helper()
		n++
		if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id, Parameters: json.RawMessage(parameters), IdempotencyKey: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
		runs := untilRuns(t, c, id, func(runs []*coordinator.ScheduleRun) bool {
			return !slices.ContainsFunc(runs, func(r *coordinator.ScheduleRun) bool { return r.EndedAt.IsZero() })
		})
		last := runs[len(runs)-1]
		if last.Status != ends {
			t.Fatalf("%s %s", last.Status, last.Reason)
		}
		if last.TreeID == "" {
			return last, ""
		}
		task, err := c.Service().Task(t.Context(), last.TreeID)
		if err != nil {
			t.Fatal(err)
		}
		return last, string(task.Result)
	}
	at := func(r *coordinator.ScheduleRun) string { return r.FireTime.UTC().Format(time.RFC3339Nano) }
	want := func(got, format string, args ...any) {
		t.Helper()
		if text := fmt.Sprintf(format, args...); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
	first, result := begin("loads", "", "completed")
	want(result, `{"all":null,"at":%q,"default":"never","since":null,"upto":"0"}`, at(first))
	begin("loads", `{"fail":"no luck"}`, "failed")
	third, result := begin("loads", "", "completed")
	want(result, `{"all":{"upto":%[1]q},"at":%[2]q,"default":%[1]q,"since":%[1]q,"upto":%[1]q}`, at(first), at(third))
	if _, err := c.Service().Delete(t.Context(), third.TreeID, coordinator.DeleteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	last, result := begin("loads", "", "completed")
	want(result, `{"all":null,"at":%q,"default":%[2]q,"since":%[2]q,"upto":"0"}`, at(last), at(third))

	// Without outputs it is the result. What no tree can have fails a run that names it.
	_, result = begin("plain", `{"n":7}`, "completed")
	want(result, `{"again":7,"before":"none","n":7}`)
	_, result = begin("plain", fmt.Sprintf(`{"n":%q}`, strings.Repeat("x", 60<<10)), "completed")
	if !strings.Contains(result, `xx","before":7,"n":"xx`) {
		t.Errorf("got %.100s", result)
	}
	// Who triggers a run of a schedule that names nothing of it may name it.
	schedule(t, c, `{"id":"silent","cron":"0 2 1 1 *","tree":{"name":"a","template":true,"schemas":{"method":"end_executor"},"inputs":{"value":{"n":"{{parameters.n}}"}}},"parameters":{"n":1}}`)
	_, result = begin("silent", "", "completed")
	want(result, `{"n":1}`)
	_, result = begin("silent", `{"n":"{{schedule.last_success.outputs}}"}`, "completed")
	want(result, `{"n":{"n":1}}`)

	_, result = begin("plain", "", "failed_to_start")
	refused := runsOf(t, c, "plain")[2]
	if result != "" || !strings.Contains(refused.Reason, "schedule.last_success.outputs: has over 65536 bytes") {
		t.Errorf("%s %+v", result, refused)
	}
}

// TestRunsBeginWithEndsOfOthers: B after A succeeded, and C after it failed.
func TestRunsBeginWithEndsOfOthers(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1})
	fails := `{"name":"a","schemas":{"method":"end_executor"},"inputs":{"fail":"no luck"}}`
	plain := `{"name":"a","schemas":{"method":"end_executor"},"inputs":{}}`
	schedule(t, c, `{"id":"good","cron":"0 2 1 1 *","tree":`+plain+`}`)
	schedule(t, c, `{"id":"bad","cron":"0 2 1 1 *","tree":`+fails+`}`)
	for _, of := range []string{"good", "bad"} {
		schedule(t, c, `{"id":"after `+of+`","on":{"schedule":"`+of+`"},"tree":`+plain+`}`)
		schedule(t, c, `{"id":"unless `+of+`","on":{"schedule":"`+of+`","outcome":["failed"]},"tree":`+plain+`}`)
		if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: of}); err != nil {
			t.Fatal(err)
		}
	}
	one := func(runs []*coordinator.ScheduleRun) bool {
		return len(runs) == 1 && runs[0].Status == "completed" && runs[0].Kind == "event"
	}
	untilRuns(t, c, "after good", one)
	untilRuns(t, c, "unless bad", one)
	for _, id := range []string{"unless good", "after bad"} {
		if runs := runsOf(t, c, id); len(runs) > 0 {
			t.Errorf("%s: %+v", id, runs[0])
		}
	}
	if err := c.Service().DeleteSchedule(t.Context(), "good", 0); !errors.Is(err, coordinator.ErrConflict) {
		t.Error(err)
	}
}

// TestSchedulesRunTreeFiles, as objects and as texts, with their parameters typed and their faults told in the file's words.
func TestSchedulesRunTreeFiles(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 1, Workers: 1})
	text := "taskgrove: 1\nname: report\nparameters:\n  day: {type: string, pattern: '^\\d{4}-\\d\\d-\\d\\d$', required: true}\ntasks:\n" +
		"- {name: load, executor: end_executor, inputs: {value: {day: '{{parameters.day}}', of: '{{schedule.id}}', from: '{{schedule.interval_start}}'}}}\n" +
		"- {name: show, executor: end_executor, needs: [load], inputs: {value: '{{deps.load.result.day}}'}}\n"
	object, err := treefile.Decode("text", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for id, tree := range map[string]any{"text": text, "object": json.RawMessage(object.JSON)} {
		raw, err := json.Marshal(map[string]any{"id": id, "cron": "@daily", "tree": tree, "parameters": map[string]string{"day": "{{schedule.local_date}}"}})
		if err != nil {
			t.Fatal(err)
		}
		schedule(t, c, string(raw))
		if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id, Parameters: []byte(`{"day":"2026-11-28"}`)}); err != nil {
			t.Fatal(err)
		}
		runs := untilRuns(t, c, id, func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status == "completed" })
		page, err := c.Service().Tasks(t.Context(), coordinator.TaskFilter{TreeOf: runs[0].TreeID})
		if err != nil {
			t.Fatal(err)
		}
		var results []string
		for _, task := range page.Items {
			results = append(results, task.Name+" "+string(task.Result))
		}
		if all := strings.Join(results, "\n"); !strings.Contains(all, `"day":"2026-11-28"`) || !strings.Contains(all, `"of":"`+id+`"`) {
			t.Errorf("%s: %s", id, all)
		}
		_, err = c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id, Parameters: []byte(`{"day":"yesterday"}`)})
		if bad, ok := errors.AsType[*coordinator.ScheduleFaultsError](err); !ok || !strings.HasPrefix(bad.Error(), "parameters.day: must match") {
			t.Errorf("%s: %v", id, err)
		}
	}
	spec := scheduledoc.Spec{ID: "bad", Cron: "@daily", Tree: []byte(`{"taskgrove":1,"name":"bad","tasks":[{"name":"a","executor":"end","depends_on":["b"],"needs":["c"],"priority":9}]}`), Parameters: []byte(`{"day":"x"}`)}
	_, err = c.Service().CreateSchedule(t.Context(), spec)
	bad, ok := errors.AsType[*coordinator.ScheduleFaultsError](err)
	if !ok {
		t.Fatal(err)
	}
	for _, want := range []string{"tree.tasks[0].depends_on: ", "tree.tasks[0].needs[0]: there is no task c", "tree.tasks[0].priority: ", "parameters.day: the file has no parameters"} {
		if !strings.Contains(bad.Error(), want) {
			t.Errorf("%q is not told in %q", want, bad)
		}
	}
}

// TestFaultsOfSchedulesAreToldAtOnce, those of the tree included; nothing is stored.
func TestFaultsOfSchedulesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 1, Workers: 1})
	spec, _ := scheduledoc.Decode([]byte(`{"id":"a","cron":"0 0 30 2 *","timezone":"Mars/Base","overlap":"no","on":{"schedule":"nobody"},"tree":[{"name":"a","priority":9,"template":true,"inputs":{"x":"{{schedule.nothing}}"}},{"name":"b"}]}`))
	_, err := c.Service().CreateSchedule(t.Context(), *spec)
	bad, ok := errors.AsType[*coordinator.ScheduleFaultsError](err)
	if !ok {
		t.Fatal(err)
	}
	for _, want := range []string{"cron: ", "timezone: ", "overlap: ", "on.schedule: there is no schedule", "tree[0].priority: ", "tree[0].inputs: "} {
		if !strings.Contains(bad.Error(), want) {
			t.Errorf("%q is not told in %q", want, bad)
		}
	}
	if n := strings.Count(bad.Error(), "tree[0].inputs"); n != 1 {
		t.Errorf("one fault of the inputs is told %d times: %s", n, bad)
	}
	if _, err := c.Service().GetSchedule(t.Context(), "a"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Error(err)
	}
}
