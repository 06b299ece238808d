package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestFlowLocks: two runs of a flow exclude each other by the lock of a job, of all jobs, and of the run; locks lie in each other; and a job has a time of its own.
func TestFlowLocks(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 1, Concurrency: 8, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	run := func(path, id string) (o flows.Outcome) {
		t.Helper()
		out, note, _ := runCommand(t, "flow", "run", "--json", path, "--run-id", id)
		if err := json.Unmarshal([]byte(out), &o); err != nil {
			t.Fatal(err, note, out)
		}
		return o
	}
	const jobs = "[{id: a, %s steps: [{id: s, type: sleep, inputs: {seconds: 0.2}}, {id: t, type: sleep, inputs: {seconds: 0.2}}]}]"
	for name, text := range map[string]string{
		"job":  "flow: {id: job}\njobs: " + fmt.Sprintf(jobs, "lock: {key: ledger, on_contention: wait},"),
		"jobs": "flow: {id: jobs, locks: {scope: job}}\njobs: " + fmt.Sprintf(jobs, ""),
		"run":  "flow: {id: run, locks: {scope: flow}}\njobs: " + fmt.Sprintf(jobs, ""),
		"step": "flow: {id: step}\njobs: [{id: a, steps: [{id: s, type: with_lock, inputs: {lock_key: x, on_contention: wait, step: {type: with_lock, inputs: {lock_key: y, on_contention: wait, step: {type: sleep, inputs: {seconds: 0.2}}}}}}]}]",
	} {
		path := file(t, name+".yaml", text)
		for _, id := range []string{"one", "two"} {
			if out, note, code := runCommand(t, "flow", "run", path, "--run-id", id, "--wait=false"); code != exitOK {
				t.Fatal(code, out, note)
			}
		}
		one, two := run(path, "one"), run(path, "two")
		for _, o := range []flows.Outcome{one, two} {
			if o.Outcome != "SUCCESS" {
				t.Fatalf("%s: %+v", name, o)
			}
		}
		first, second := one.Jobs[0].Steps, two.Jobs[0].Steps
		if last := len(first) - 1; first[0].StartedAt.Before(*second[last].CompletedAt) && second[0].StartedAt.Before(*first[last].CompletedAt) {
			t.Errorf("%s: one ran from %s to %s, two from %s to %s", name, first[0].StartedAt, first[last].CompletedAt, second[0].StartedAt, second[last].CompletedAt)
		}
	}
	late := run(file(t, "late.yaml", "flow: {id: late}\njobs: [{id: a, timeout_seconds: 0.3, steps: [{id: s, type: sleep, inputs: {seconds: 600}}, {id: t, type: noop}]}, {id: b, depends_on: [{job: a, require: done}], steps: [{id: s, type: noop}]}]"), "one")
	if a, b := late.Jobs[0], late.Jobs[1]; late.Outcome != "FAILED" || a.Status != "FAILED" || a.ErrorKind != "timeout" || !strings.Contains(a.Reason, "timeout") || a.Steps[0].Status != "CANCELLED" || b.Status != "SUCCESS" {
		t.Errorf("a job whose time is up: %+v", late)
	}
	first := run(file(t, "first.yaml", `flow: {id: first, execution: graph, on_failure: [{id: tell, type: noop, inputs: {value: "{{failure.job}}"}, outputs: {job: "{{failure.job}}.{{failure.step}}"}}]}
jobs:
- {id: late, steps: [{id: s, type: sleep, inputs: {seconds: 1}}, {id: fails, type: noop, inputs: {value: "{{steps.s.none}}"}}]}
- {id: soon, steps: [{id: s, type: noop}, {id: fails, type: noop, inputs: {value: "{{steps.s.none}}"}}]}
`), "one")
	if told := first.Jobs[len(first.Jobs)-1]; string(told.Outputs["job"]) != `"soon.fails"` {
		t.Errorf("the first failure is %s: %+v", told.Outputs["job"], first)
	}
	alone := file(t, "alone.yaml", `flow: {id: alone}
jobs:
- {id: probe, steps: [{id: s, type: sleep, inputs: {seconds: 600}, outputs: {rows: "{{result.rows}}"}}]}
- {id: load, depends_on: [probe], when: jobs.probe.outputs.rows > 2, steps: [{id: s, type: noop, outputs: {n: "{{jobs.probe.outputs.rows}}"}}]}
`)
	for rows, want := range map[string]string{"3": "SUCCESS", "2": "SKIPPED"} {
		var o flows.Outcome
		out, note, code := runCommand(t, "flow", "run", "--json", alone, "--run-id", "alone-"+rows, "--job", "load", "--no-deps", "--job-output", "probe.rows="+rows)
		if err := json.Unmarshal([]byte(out), &o); err != nil || code != exitOK || o.Jobs[0].ReasonCode != "not_selected" || o.Jobs[1].Status != want || want == "SUCCESS" && string(o.Jobs[1].Outputs["n"]) != rows {
			t.Errorf("a job alone, with %s rows: %d, %v, %s, %s", rows, code, err, out, note)
		}
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Error(v, err)
	}
}
