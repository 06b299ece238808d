package coordinator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// register registers a flow, and gives its version.
func register(t *testing.T, c *cluster.Cluster, text string) int {
	t.Helper()
	f, err := c.Service().ApplyFlow(t.Context(), coordinator.FlowSpec{Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return f.Version
}

const dailyFlow = `flow: {id: daily, env: {REGION: none, FROM: flow}, parameters: {day: {required: true}, n: {type: integer, default: 1}}}
jobs:
- id: a
  steps:
  - {id: s, type: noop_executor, inputs: {value: "{{params.day}} {{params.n}} {{env.REGION}} {{env.FROM}} {{schedule.id:}} {{schedule.fire_time:}}"}}
- id: b
  steps:
  - {id: s, type: noop_executor, inputs: {value: b}}
`

// TestFlowsFire: each second one run of the flow, by three coordinators, which knows its schedule and instant and what the schedule gives it; what is repeated of it knows them, too.
func TestFlowsFire(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 3, Workers: 1})
	register(t, c, dailyFlow)
	info := schedule(t, c, `{"id":"ticks","every":1,"flow":{"id":"daily","job":"a","params":{"day":"{{schedule.local_date}}"},"env":{"REGION":"eu"},"priority":1,"timeout_seconds":600},"max_runs":3,"overlap":"allow","coalesce":false,"user_id":"ann"}`)
	if f := info.Flow; f == nil || f.ID != "daily" || f.Env["REGION"] != "eu" || string(f.Params) != `{"day":"{{schedule.local_date}}"}` || info.Tree != nil || info.Parameters != nil {
		t.Errorf("shown with %+v, tree %s, parameters %s", f, info.Tree, info.Parameters)
	}
	runs := untilRuns(t, c, "ticks", func(runs []*coordinator.ScheduleRun) bool {
		return len(runs) == 3 && !slices.ContainsFunc(runs, func(r *coordinator.ScheduleRun) bool { return r.Status != "completed" })
	})
	ids := map[string]bool{}
	for _, r := range runs {
		run, err := c.Service().FlowRun(t.Context(), r.FlowID+"/"+r.RunID)
		if err != nil {
			t.Fatal(err)
		}
		ids[r.RunID] = true
		if run.TreeID != r.TreeID || run.UserID != "ann" || r.FlowID != "daily" || r.FlowVersion != 1 || run.Version != 1 || run.CreatedBy != "schedule ticks" || run.Given.Job != "a" || run.Given.Env["REGION"] != "eu" {
			t.Errorf("the run is %+v, and that of the schedule %+v", run, r)
		}
		if of := run.Schedule; of == nil || of.ID != "ticks" || !of.FireTime.Equal(r.FireTime) {
			t.Errorf("the run comes from %+v, want ticks at %v", of, r.FireTime)
		}
		if got, want := valueOf(t, c, run), r.FireTime.UTC().Format(time.DateOnly)+" 1 eu flow ticks "+r.FireTime.UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("the step has %q, want %q", got, want)
		}
		if run.Jobs[1].Status != "SKIPPED" || run.Jobs[1].ReasonCode != "not_selected" {
			t.Errorf("the other job is %+v", run.Jobs[1])
		}
	}
	if len(ids) != 3 {
		t.Errorf("%d runs", len(ids))
	}
	again, err := c.Service().RestartFlowRun(t.Context(), coordinator.FlowRestart{Run: runs[0].FlowID + "/" + runs[0].RunID})
	if err != nil || again.Schedule == nil || !again.Schedule.FireTime.Equal(runs[0].FireTime) {
		t.Error(again, err)
	}
	list, err := c.Service().FlowRuns(t.Context(), coordinator.FlowRunFilter{Flow: "daily"})
	if err != nil || len(list.Items) != 4 || slices.ContainsFunc(list.Items, func(r *coordinator.FlowRunInfo) bool { return r.Schedule == nil || r.Schedule.ID != "ticks" }) {
		t.Error(len(list.Items), err)
	}
}

// valueOf is what the first step of the first job of a run is given.
func valueOf(t *testing.T, c *cluster.Cluster, run *coordinator.FlowRunInfo) string {
	return valueOfStep(t, c, run, "a__s")
}

// valueOfStep is what a step of a run is given, by the name of its task.
func valueOfStep(t *testing.T, c *cluster.Cluster, run *coordinator.FlowRunInfo, step string) string {
	t.Helper()
	page, err := c.Service().Tasks(t.Context(), coordinator.TaskFilter{TreeOf: run.TreeID, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var inputs struct{ Value string }
	for _, task := range page.Items {
		if task.Name != step {
			continue
		}
		if err := json.Unmarshal(task.Inputs, &inputs); err != nil {
			t.Fatal(err)
		}
	}
	return inputs.Value
}

// TestFlowsOfSchedulesAreJudged when they are stored and when somebody asks for a run, all faults at once; what has become of the flow by an instant is told by the run, and the
// schedule goes on.
func TestFlowsOfSchedulesAreJudged(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1})
	register(t, c, dailyFlow)
	const begin = `{"id":"x","cron":"0 2 1 1 *",`
	for document, want := range map[string]string{
		begin + `"flow":{"id":"daily"}}`:                                "flow.params: daily:",
		begin + `"flow":{"id":"dayly"}}`:                                "flow.id: there is no flow dayly",
		begin + `"flow":{"id":"daily","version":2}}`:                    "flow.version: there is no version 2 of a flow daily",
		begin + `"flow":{"id":"daily","job":"c","params":{"day":"x"}}}`: "flow.job: daily: job: spec.unknown_job",
		begin + `"flow":{"id":"daily","job":"b","no_deps":true,"job_outputs":["a.none=1","z.k=1"],"params":{"day":"x"}}}`: "flow.job_outputs[0]: daily: job_outputs[0]: spec.unknown_output",
		begin + `"flow":{"id":"daily","no_deps":true,"params":{"day":"x"}}}`:                                              "flow.no_deps: needs job",
		begin + `"flow":{"id":"daily","params":{"day":"x","n":"much"}}}`:                                                  "flow.params: daily:",
		begin + `"flow":{"id":"daily","params":{"day":"x"},"env":{"API_TOKEN":"t0ps3cret"}}}`:                             "flow.env: daily: env.API_TOKEN: secret.inline_value",
		begin + `"flow":{"id":"daily","params":{"day":{"secret":"X"}}}}`:                                                  "flow.params: a value names a secret",
		begin + `"flow":{"id":"daily","params":{"day":"{{schedule.none}}"}}}`:                                             "flow.params: ",
		begin + `"flow":{"id":"daily","params":{"day":"x"}},"parameters":{"day":"x"}}`:                                    "parameters: go with tree",
		begin + `"flow":{"id":"daily","params":{"day":"x"}},"tree":[{"name":"a"}]}`:                                       "flow: can't stand beside tree",
		begin + `"flow":{"version":-1,"priority":4,"timeout_seconds":-1,"params":7},"max_runs":-1}`:                       "flow.id: is required; flow.version: must be the number; flow.priority: must be 0 to 3; flow.timeout_seconds: must be 0 to; flow.params: must be an object",
	} {
		spec, faults := scheduledoc.Decode([]byte(document))
		if len(faults) > 0 {
			t.Fatal(document, faults)
		}
		_, err := c.Service().CreateSchedule(t.Context(), *spec)
		if bad, ok := errors.AsType[*coordinator.ScheduleFaultsError](err); !ok || strings.Contains(err.Error(), "t0ps3cret") {
			t.Errorf("%s: %v (%T)", document, err, err)
		} else {
			for _, one := range strings.Split(want, "; ") {
				if !slices.ContainsFunc(bad.Faults, func(f scheduledoc.Fault) bool { return strings.HasPrefix(f.Field+": "+f.Reason, one) }) {
					t.Errorf("%s: %q is not told in %v", document, one, err)
				}
			}
		}
	}
	schedule(t, c, begin+`"flow":{"id":"daily","params":{"day":"x"}}}`)
	schedule(t, c, `{"id":"pinned","cron":"0 2 1 1 *","flow":{"id":"daily","version":1,"params":{"day":"x"}}}`)
	schedule(t, c, `{"id":"then","on":{"schedule":"x","outcome":"failed"},"flow":{"id":"daily","version":1,"params":{"day":"{{schedule.fire_time}}"}}}`)
	run := func(id, parameters string) error {
		_, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id, Parameters: json.RawMessage(parameters)})
		return err
	}
	last := func(id string, n int) *coordinator.ScheduleRun {
		t.Helper()
		runs := untilRuns(t, c, id, func(runs []*coordinator.ScheduleRun) bool { return len(runs) == n && !runs[n-1].EndedAt.IsZero() })
		return runs[n-1]
	}
	if err := run("x", `{"n":"much"}`); err == nil || !strings.HasPrefix(err.Error(), "flow.params: daily:") {
		t.Error(err)
	}
	if err := run("x", `{"day":"y"}`); err != nil {
		t.Fatal(err)
	}
	if r := last("x", 1); r.Status != "completed" {
		t.Error(r)
	}
	if version := register(t, c, strings.Replace(dailyFlow, "day: {", "until: {required: true}, day: {", 1)); version != 2 {
		t.Fatal(version)
	}
	if err := run("x", ""); err == nil || !strings.HasPrefix(err.Error(), "flow.params: ") {
		t.Error(err)
	}
	if err := run("pinned", ""); err != nil {
		t.Error(err)
	}
	if r := last("pinned", 1); r.Status != "completed" || r.FlowVersion != 1 {
		t.Error(r)
	}
	// Nobody looks before an instant.
	fire := func(id string, n int) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), c.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), `insert into fire (schedule, kind, instant, cause, state, started_at) select key, 1, now(), $2, 2, now() from schedule where id = $1`, id, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	fire("x", 1)
	if r := last("x", 2); r.Status != coordinator.FailedToStart || r.TreeID != "" || !strings.Contains(r.Reason, "flow.params: ") || !strings.Contains(r.Reason, "until") {
		t.Errorf("%+v", r)
	}
	if r := last("then", 1); r.Status != "completed" {
		t.Errorf("%+v", r)
	}
	register(t, c, strings.Replace(dailyFlow, "- id: b", "- id: c", 1))
	fire("x", 2)
	if r := last("x", 3); r.Status != "completed" || r.FlowVersion != 3 {
		t.Errorf("%+v", r)
	}
	if err := c.Service().DeleteFlow(t.Context(), "daily"); err != nil {
		t.Fatal(err)
	}
	fire("x", 3)
	fire("pinned", 3)
	if r := last("x", 4); r.Status != coordinator.FailedToStart || r.Reason != "flow.id: there is no flow daily" {
		t.Errorf("%+v", r)
	}
	if r := last("pinned", 2); r.Status != coordinator.FailedToStart || r.Reason != "flow.version: there is no version 1 of a flow daily" {
		t.Errorf("%+v", r)
	}
	// By that name another user registers a flow: it is not the one that the schedules name, until somebody who may see it stores them anew.
	bobs := strings.NewReplacer("required: true", "default: x").Replace(dailyFlow)
	if _, err := c.Service().ApplyFlow(t.Context(), coordinator.FlowSpec{Text: []byte(bobs), UserID: "bob"}); err != nil {
		t.Fatal(err)
	}
	if err := run("x", ""); err == nil || err.Error() != "flow.id: there is no flow daily" {
		t.Error(err)
	}
	fire("x", 4)
	fire("pinned", 4)
	if r := last("x", 5); r.Status != coordinator.FailedToStart || r.TreeID != "" || r.Reason != "flow.id: there is no flow daily" {
		t.Errorf("%+v", r)
	}
	if r := last("pinned", 3); r.Status != coordinator.FailedToStart || r.TreeID != "" || r.Reason != "flow.version: there is no version 1 of a flow daily" {
		t.Errorf("%+v", r)
	}
	spec, _ := scheduledoc.Decode([]byte(begin + `"flow":{"id":"daily"}}`))
	if _, err := c.Service().UpdateSchedule(t.Context(), *spec, 0); err != nil {
		t.Fatal(err)
	}
	fire("x", 5)
	if r := last("x", 6); r.Status != "completed" {
		t.Errorf("%+v", r)
	}
}

// TestFlowsFireAlone: with no_deps a run of a schedule is of one job, which finds what the schedule says that the others have given.
func TestFlowsFireAlone(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	register(t, c, `flow: {id: parts}
jobs:
- id: first
  steps: [{id: s, type: noop_executor, outputs: {k: "ran"}}]
- id: last
  depends_on: [first]
  steps: [{id: s, type: noop_executor, inputs: {value: "{{jobs.first.outputs.k}}!"}}]
`)
	info := schedule(t, c, `{"id":"alone","cron":"0 2 1 1 *","flow":{"id":"parts","job":"last","no_deps":true,"job_outputs":["first.k=5"]}}`)
	if f := info.Flow; f == nil || !f.NoDeps || !slices.Equal(f.JobOutputs, []string{"first.k=5"}) {
		t.Errorf("shown with %+v", f)
	}
	if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: "alone"}); err != nil {
		t.Fatal(err)
	}
	runs := untilRuns(t, c, "alone", func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status == "completed" })
	run, err := c.Service().FlowRun(t.Context(), "parts/"+runs[0].RunID)
	if err != nil {
		t.Fatal(err)
	}
	if !run.Given.NoDeps || run.Jobs[0].Status != "SKIPPED" || run.Jobs[1].Status != "SUCCESS" || valueOfStep(t, c, run, "last__s") != "5!" {
		t.Errorf("got %+v", run)
	}
}
