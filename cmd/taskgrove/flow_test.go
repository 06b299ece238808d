package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

const ordersFlow = "../../examples/flows/orders.yaml"

// TestFlowValidate: what docs/flows/quickstart.md shows.
func TestFlowValidate(t *testing.T) {
	if out, note, code := runCommand(t, "flow", "validate", ordersFlow); code != exitOK || out != "OK: "+ordersFlow+"\n" || note != "" {
		t.Errorf("exit %d, %q, %q", code, out, note)
	}
	text, err := os.ReadFile(ordersFlow)
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "orders.yaml")
	if err := os.WriteFile(wrong, []byte(strings.Replace(string(text), "when: jobs.probe.outputs.rows >", "when: jobs.probe.outputs.row >", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, note, code := runCommand(t, "flow", "validate", ordersFlow, wrong)
	if want := "OK: " + ordersFlow + "\nINVALID: " + wrong + "\n- " + wrong + ":18:5: jobs[1].when: spec.unknown_output - jobs.probe.outputs.row: no step of probe promotes row; did you mean rows?\n"; code != exitUsage || out != want || !strings.Contains(note, "1 of 2 flows invalid") {
		t.Errorf("exit %d, %q\n%s\nwant\n%s", code, note, out, want)
	}
	for _, flag := range [][]string{{"--json"}, {"-o", "json"}} {
		out, _, code := runCommand(t, append([]string{"flow", "validate", wrong}, flag...)...)
		var report flows.Report
		if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitUsage || report.OK || len(report.Errors) != 1 || report.Errors[0].Line != 18 || report.Warnings == nil {
			t.Errorf("%v: exit %d, %v, %s", flag, code, err, out)
		}
	}
	file := filepath.Join(t.TempDir(), "a.env")
	if err := os.WriteFile(file, []byte("export X='1'\nX_TOKEN=not used\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("{\"A\": 1,\n \"A\": 2}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{bad: bad + ":2:2: a name is there twice in one object", bad + "x": bad + "x: there is no such file", "": "want a path"} {
		if _, note, code := runCommand(t, "flow", "validate", ordersFlow, "--env-file", path); code != exitUsage || !strings.Contains(note, want) {
			t.Errorf("--env-file %s: exit %d, %q", path, code, note)
		}
	}
	const uses = "flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {x: '{{env.X}}'}}]}]\n"
	for _, row := range []struct {
		flags []string
		code  int
		says  string
	}{
		{nil, exitOK, "! <stdin>:2:53: jobs[0].steps[0].inputs.x: spec.unset_env"}, {[]string{"--strict-env"}, exitUsage, "- <stdin>:2:53: jobs[0].steps[0].inputs.x: spec.missing_env"},
		{[]string{"--strict-env", "--env", "X=1"}, exitOK, "OK: <stdin>\n"}, {[]string{"--env", "X_TOKEN=1"}, exitUsage, "- <stdin>: env.X_TOKEN: secret.inline_value"},
		{[]string{"--strict-env", "--env-file", file}, exitOK, "OK: <stdin>\n"}, {[]string{"--strict-env", "--env-file", file, "--env", "X="}, exitUsage, "spec.missing_env"},
	} {
		out, _, code := runWithInput(t, strings.NewReader(uses), append([]string{"flow", "validate", "-"}, row.flags...)...)
		if code != row.code || !strings.Contains(out, row.says) {
			t.Errorf("%v: exit %d\n%s\nwant %d and %s", row.flags, code, out, row.code, row.says)
		}
	}
	if _, note, code := runCommand(t, "flow", "validate", "no.yaml"); code != exitUsage || !strings.Contains(note, "no.yaml") {
		t.Errorf("a file that is not there: exit %d, %q", code, note)
	}
}

// TestSchemaOfFlows: what the reader takes, the schema takes; and it refuses what the reader does, as far as a schema can tell.
func TestSchemaOfFlows(t *testing.T) {
	schema := printedSchema(t, "flow")
	orders, err := os.ReadFile(ordersFlow)
	if err != nil {
		t.Fatal(err)
	}
	const rest = "\njobs: [{id: a, steps: []}]\n"
	for text, good := range map[string]bool{
		string(orders): true, "flow: {id: f}" + rest: true, "flow: {id: 5}" + rest: false, "flow: {}" + rest: false, "flow: {id: f, execution: parallel}" + rest: false, "flow: {id: f, foo: 1}" + rest: false,
		"flow: {id: f, on_failure: [{id: s, type: noop}], finally: {steps: []}, parameters: {day: {required: yes, enum: [a]}}}" + rest:    true,
		"flow: {id: f}\njobs: [{id: a, depends_on: [b, {job: c, require: done}], steps: [{id: s, type: rest, inputs: {url: x}}]}]":        true,
		"flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: with_lock, inputs: {lock_key: k, step: {type: noop}}}]}]":                    true,
		"flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: with_lock, inputs: {lock_key: k}}]}]":                                        false,
		"flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: noop, retry: 3}]}]":                                                          false,
		"flow: {id: f}\njobs: [{id: a, depends_on: b, steps: []}]":                                                                        false,
		"flow: {id: f}\nresources: {wh: {kind: db, driver: postgres, config: {port: 5}, decode: {config: {password: true}}}}\njobs: null": false,
	} {
		f, _, err := treefile.DecodeStrict("f.yaml", []byte(text), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(f.JSON)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); (err == nil) != good {
			t.Errorf("%s\nby the schema: %v", text, err)
		}
	}
}

// TestFlowDryRun: what docs/flows/quickstart.md shows, and what is printed can be submitted.
func TestFlowDryRun(t *testing.T) {
	args := []string{"flow", "run", ordersFlow, "--dry-run", "--set", "day=2026-11-30", "--run-id", "monday"}
	out, note, code := runCommand(t, args...)
	if code != exitOK || note != "" {
		t.Fatalf("exit %d, %q", code, note)
	}
	var tasks []struct {
		Name   string
		Inputs map[string]any
	}
	if err := json.Unmarshal([]byte(out), &tasks); err != nil || len(tasks) != 12 || tasks[0].Name != "orders monday" || tasks[3].Inputs["url"] != "https://orders.example.org/eu/count?day=2026-11-30" {
		t.Errorf("%v, %s", err, out)
	}
	if again, _, _ := runCommand(t, args...); again != out {
		t.Error("the second time it is another tree")
	}
	if _, err := treefile.Read("-", treefile.Options{Stdin: strings.NewReader(out), Executors: node.Known(), Inputs: node.InputKeys()}); err != nil {
		t.Error(err)
	}
	if text, _, code := runCommand(t, append(args, "-o", "yaml")...); code != exitOK || !strings.HasPrefix(text, "- name: orders monday") {
		t.Errorf("exit %d, %.100s", code, text)
	}
	for _, row := range []struct {
		args  []string
		says  string // on stderr
		shows string // on stdout
	}{
		{[]string{"--dry-run"}, "flow.parameters.day: spec.parameter - is required, and no value is given\ntaskgrove: the flow is invalid; --set NAME=VALUE", ""},
		{[]string{"--dry-run", "--set", "day=today"}, "spec.parameter - --set day", ""},
		{[]string{"--dry-run", "--json", "--set", "dya=2026-11-30"}, "the flow is invalid", `"code": "spec.parameter"`},
		{[]string{"--dry-run", "--set", "day=2026-11-30", "--run-id", "../../x"}, "run_id: spec.run", ""},
		{[]string{"--dry-run", "--set", "day=2026-11-30", "--env", "REGION="}, "spec.missing_env", ""},
	} {
		out, note, code := runCommand(t, append([]string{"flow", "run", ordersFlow}, row.args...)...)
		if code != exitUsage || !strings.Contains(note, row.says) || !strings.Contains(out, row.shows) || row.shows == "" && out != "" {
			t.Errorf("%v: exit %d, %q, %q", row.args, code, note, out)
		}
	}
}

// TestFlowRun: what flow run says of a run on a real cluster, and by which code it ends.
func TestFlowRun(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }, Worker: func(s *config.Worker) { s.CommandAllow = true }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	good := file(t, "good.yaml", `
flow: {id: good}
jobs:
- {id: look, steps: [{id: s, type: noop, inputs: {n: 3}, outputs: {n: "{{result.n:7}}", run: "{{run_id}}"}}]}
- {id: some, depends_on: [look], when: jobs.look.outputs.n > 0, steps: [{id: a, type: noop, inputs: {n: "{{jobs.look.outputs.n}}"}}, {id: b, type: noop}]}
- {id: none, when: jobs.look.outputs.n <= 0, steps: [{id: a, type: noop}]}
- {id: after, depends_on: [none], steps: [{id: a, type: noop}]}
`)
	var o flows.Outcome
	run := func(wantCode int, wantOutcome string, args ...string) map[string]flows.JobOutcome {
		t.Helper()
		out, note, code := runCommand(t, append([]string{"flow", "run", "--json"}, args...)...)
		o = flows.Outcome{}
		if err := json.Unmarshal([]byte(out), &o); err != nil || code != wantCode || o.Outcome != wantOutcome {
			t.Fatalf("exit %d, want %d: %v\n%s\n%s", code, wantCode, err, note, out)
		}
		jobs := map[string]flows.JobOutcome{}
		for _, j := range o.Jobs {
			jobs[j.ID] = j
		}
		return jobs
	}
	jobs := run(exitOK, "SUCCESS", good, "--run-id", "one")
	if j := jobs["look"]; j.Status != "SUCCESS" || string(j.Outputs["run"]) != `"one"` || len(j.Steps) != 1 || j.Steps[0].Attempts != 1 || j.Steps[0].CompletedAt == nil {
		t.Errorf("look: %+v", j)
	}
	if j := jobs["some"]; j.Status != "SUCCESS" || len(j.Steps) != 2 || j.Steps[1].Status != "SUCCESS" {
		t.Errorf("some: %+v", j)
	}
	if j := jobs["none"]; j.Status != "SKIPPED" || j.ReasonCode != "when_false" || j.Reason != "condition=false" || j.SkipTrigger != "" || len(j.Steps) != 0 {
		t.Errorf("none: %+v", j)
	}
	if j := jobs["after"]; j.Status != "BLOCKED" || j.ReasonCode != "blocked_by:none" {
		t.Errorf("after: %+v", j)
	}
	first := o.TreeID
	jobs = run(exitOK, "SUCCESS", good, "--run-id", "some", "--job", "some")
	if j := jobs["some"]; j.Status != "SUCCESS" || jobs["look"].Status != "SUCCESS" || jobs["none"].ReasonCode != "not_selected" || jobs["after"].Status != "SKIPPED" || len(jobs["after"].Steps) > 0 {
		t.Errorf("one job: %+v", jobs)
	}
	if run(exitFlowBlocked, "SUCCESS", good, "--run-id", "one", "--fail-on-blocked"); o.TreeID != first {
		t.Errorf("the same run again is the tree %s, and was %s", o.TreeID, first)
	}
	edited := file(t, "edited.yaml", "flow: {id: good}\njobs: [{id: other, steps: []}]")
	if out, note, code := runCommand(t, "flow", "run", edited, "--run-id", "one"); code == exitOK || !strings.Contains(note, "is of another text or with other values") {
		t.Errorf("another flow by the same id of a run: exit %d, %s, %s", code, out, note)
	}
	bad := file(t, "bad.yaml", `
flow: {id: bad, on_failure: [{id: tell, type: noop, inputs: {m: "{{failure.message}}"}}]}
jobs:
- {id: a, steps: [{id: s, type: rest, inputs: {url: "http://127.0.0.1:1/"}}, {id: t, type: noop}]}
- {id: b, steps: [{id: s, type: noop}]}
`)
	jobs = run(exitError, "FAILED", bad)
	if j := jobs["a"]; j.Status != "FAILED" || j.ErrorKind == "" || len(j.Steps) != 2 || j.Steps[0].Status != "FAILED" || j.Steps[0].Error == "" || j.Steps[1].Status != "BLOCKED" {
		t.Errorf("a: %+v", j)
	}
	if j := jobs["b"]; j.Status != "BLOCKED" || j.ReasonCode != "flow_failed" {
		t.Errorf("b: %+v", j)
	}
	if j := jobs["on_failure"]; j.Status != "SUCCESS" {
		t.Errorf("on_failure: %+v", j)
	}
	if out, note, code := runCommand(t, "flow", "run", good, "--run-id", "two"); code != exitOK || !strings.HasPrefix(out, "run two of good, tree ") || !strings.Contains(out, "condition=false") {
		t.Errorf("exit %d, %s, %s", code, note, out)
	}
	told := file(t, "told.yaml", `
flow: {id: told, execution: graph, on_failure: [{id: tell, type: noop, outputs: {what: "{{failure.job}} {{failure.step}} {{failure.kind}}", how: "{{failure.message}}"}}]}
jobs:
- {id: look, steps: [{id: s, type: check_items, inputs: {items: []}, outputs: {n: "{{result.count}}", why: "{{result.reason}}"}, on_no_data: skip_job}, {id: t, type: noop}]}
- {id: fall, steps: [{id: s, type: rest, inputs: {url: "http://127.0.0.1:1/"}}]}
- {id: sum, steps: [{id: s, type: noop, outputs: {of: "{{jobs.look.status}} {{jobs.look.skip_reason}} {{jobs.look.skip_trigger}} {{jobs.look.outputs}} {{jobs.fall.status}} {{jobs.fall.skip_reason:-}}", n: "{{jobs.look.outputs.n}}"}}]}
`)
	jobs = run(exitError, "FAILED", told)
	if j := jobs["look"]; string(j.Outputs["n"]) != "0" || j.Status != "SKIPPED" {
		t.Errorf("look: %+v", j)
	}
	if j := jobs["sum"]; string(j.Outputs["of"]) != `"SKIPPED no_data step {\"n\":0,\"why\":\"no_data\"} FAILED -"` || string(j.Outputs["n"]) != "0" {
		t.Errorf("sum: %+v", j)
	}
	if j := jobs["on_failure"]; string(j.Outputs["what"]) != fmt.Sprintf(`"fall s %s"`, jobs["fall"].ErrorKind) || string(j.Outputs["how"]) != fmt.Sprintf("%q", jobs["fall"].Steps[0].Error) {
		t.Errorf("on_failure: %+v, of %+v", j, jobs["fall"])
	}
	tool := file(t, "tool.yaml", `
flow: {id: tool, env: {REGION: eu}}
jobs:
- id: a
  steps:
  - id: s
    type: external.process
    inputs:
      cmd: 'test "$TASKGROVE_ATTEMPT" = 2 || exit 75; echo "of=$AETHERFLOW_FLOW_ID $AETHERFLOW_RUN_ID $TASKGROVE_JOB_ID $TASKGROVE_STEP_ID $REGION" > "$TASKGROVE_RESULT_FILE"'
      shell: true
      retry: {max_attempts: 3, retry_on_exit_codes: [75]}
    outputs: {of: "{{result.of}}"}
`)
	if j := run(exitOK, "SUCCESS", tool, "--run-id", "three")["a"]; string(j.Outputs["of"]) != `"tool three a s eu"` || j.Steps[0].Attempts != 2 {
		t.Errorf("a program: %+v", j)
	}
	if _, note, code := runCommand(t, "flow", "run", good, "--server", "127.0.0.1:1"); code != exitFlowUnreachable {
		t.Errorf("without a server: exit %d, %s", code, note)
	}
}

// TestFlowCompat: what docs/flows/migration.md shows.
func TestFlowCompat(t *testing.T) {
	page, err := os.ReadFile("../../docs/flows/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	const flow = "version: 1\nflow: {id: hello, workspace: {root: /tmp/work}}\njobs:\n  - id: greet\n    steps:\n      - {id: say, type: external.process, inputs: {command: echo hi}}\n"
	if err := os.WriteFile("flow.yaml", []byte(flow), 0o600); err != nil {
		t.Fatal(err)
	}
	out, note, code := runCommand(t, "flow", "validate", "--compat", "flow.yaml")
	if code != exitOK || out == "OK: flow.yaml\n" || !strings.Contains(string(page), "```text\n"+out+"```") {
		t.Errorf("exit %d, %s, the page has not\n%s", code, note, out)
	}
}

// TestFlowExamples: the flows of examples are valid in every build, also those whose steps only some builds can run.
func TestFlowExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/flows/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are none: %v", err)
	}
	for _, file := range files {
		if out, note, code := runCommand(t, "flow", "validate", file); code != exitOK || note != "" {
			t.Errorf("%s: exit %d, %s%s", file, code, out, note)
		}
	}
}

// TestFlowCatalogue: which types steps may have, and which kinds and drivers resources, with what each takes.
func TestFlowCatalogue(t *testing.T) {
	for _, row := range []struct {
		code int
		args []string
		want []string
	}{
		{exitOK, []string{"steps"}, []string{"db_fetch_small", "sftp_upload_files", "with_lock", "external.process", "check_items"}},
		{exitOK, []string{"steps", "db_fetch_small"}, []string{"inputs", "sql", "max_rows", "resources", "db"}},
		{exitOK, []string{"steps", "rest_executor", "--json"}, []string{`"type": "rest"`, `"properties"`}},
		{exitOK, []string{"steps", "with_lock"}, []string{"holds a lock"}},
		{exitUsage, []string{"steps", "db_fetch_smal"}, []string{"did you mean db_fetch_small?"}},
		{exitUsage, []string{"steps", "--server", "x"}, []string{"--server: goes with --cluster"}},
		{exitOK, []string{"connectors"}, []string{"db:postgres", "sftp:ssh", "mail:smtp", "mail_send", "db_fetch_small"}},
		{exitOK, []string{"connectors", "mail:smtp"}, []string{"config.host", "required", "a secret", "mail_send"}},
		{exitOK, []string{"connectors", "--json"}, []string{`"kind": "archive"`, `"settings"`}},
		{exitUsage, []string{"connectors", "mail:smpt"}, []string{"did you mean mail:smtp?"}},
	} {
		out, note, code := runCommand(t, append([]string{"flow"}, row.args...)...)
		for _, want := range row.want {
			if code != row.code || !strings.Contains(out+note, want) {
				t.Errorf("%v: exit %d, want %d and %q\n%s\n%s", row.args, code, row.code, want, out, note)
			}
		}
	}
}

// TestCommandsOfFlowsHaveJSON: every command about flows that prints something for programs does so with --json, too.
func TestCommandsOfFlowsHaveJSON(t *testing.T) {
	root := newRoot(new(bool))
	seen := 0
	for _, group := range root.Commands() {
		if !slices.Contains([]string{"flow", "run", "bundle", "lock", "schedule"}, group.Name()) {
			continue
		}
		for _, cmd := range append(group.Commands(), group) {
			if cmd.Flags().Lookup("output") == nil {
				continue
			}
			if seen++; cmd.Flags().Lookup("json") == nil {
				t.Errorf("%s has no --json", cmd.CommandPath())
			}
		}
	}
	if seen < 35 {
		t.Errorf("%d commands were looked at", seen)
	}
	out, notes, code := runCommand(t, "schedule", "next", "--cron", "0 2 * * *", "--after", "2026-11-30T12:00:00Z", "-n", "1", "--json")
	if code != exitOK || strings.TrimSpace(out) != `{"next":["2026-12-01T02:00:00Z"]}` || notes != "" {
		t.Error(out, notes, code)
	}
	out, notes, code = runCommand(t, "schedule", "next", "--cron", "0 2 * *", "--json")
	if code != exitUsage || !strings.HasPrefix(out, `{"errors":[`) {
		t.Error(out, notes, code)
	}
}
