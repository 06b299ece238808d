package flows_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/process"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows"
)

// options have a few executors.
func options() flows.Options {
	var known dag.Known
	for _, id := range []string{"rest_executor", "command_executor", "noop_executor", "external.process", "check_items", "db_fetch_small"} {
		known.Add(id, "core")
	}
	described := []executors.Description{
		(&process.Executor{}).Describe(),
		{ID: "rest_executor", Inputs: json.RawMessage(`{"type": "object", "properties": {"url": {"type": "string"}, "method": {"enum": ["GET", "PUT"]}, "headers": {"type": "object"}}, "required": ["url"]}`)},
	}
	violations := inputs.NewSubmitted(slices.Values(described)).Tree()
	keys := map[string]treedoc.InputKeys{}
	for _, d := range described {
		var schema struct{ Properties map[string]json.RawMessage }
		_ = json.Unmarshal(d.Inputs, &schema)
		keys[d.ID] = treedoc.InputKeys{Names: slices.Sorted(maps.Keys(schema.Properties))}
	}
	return flows.Options{
		Executors: known, Inputs: keys, Workspace: []string{process.ID},
		Faults: func(executor string, text json.RawMessage) (faults []flows.InputFault) {
			for _, v := range violations(inputs.Task{Executor: executor, Inputs: text, Templates: true}) {
				faults = append(faults, flows.InputFault{Field: v.Field, Reason: v.Reason, Missing: v.Missing})
			}
			return faults
		},
		Rename: func(executor string, text json.RawMessage) (json.RawMessage, []flows.Renamed) {
			if executor != process.ID {
				return text, nil
			}
			text, old := process.Rename(text)
			var renamed []flows.Renamed
			for _, r := range old {
				renamed = append(renamed, flows.Renamed(r))
			}
			return text, renamed
		},
	}
}

// job is a flow with one job, whose text follows, indented.
const job = "version: 1\nflow: {id: f}\njobs:\n- id: a\n"

// told are the faults of a flow as "line:column code loc".
func told(r *flows.Report) (errors, warnings []string) {
	line := func(f flows.Fault) string { return fmt.Sprintf("%d:%d %s %s", f.Line, f.Column, f.Code, f.Loc) }
	for _, f := range r.Errors {
		errors = append(errors, line(f))
	}
	for _, f := range r.Warnings {
		warnings = append(warnings, line(f))
	}
	return errors, warnings
}

// TestKeyTwice: the path of a key that is there twice stands in the place of the fault, and not in its text again.
func TestKeyTwice(t *testing.T) {
	_, r := flows.Read("f.yaml", []byte(job+"  id: b\n  steps:\n  - {id: s, type: noop, inputs: {x: 1, x: 2}}\n"), options())
	var got []string
	for _, f := range r.Errors {
		got = append(got, f.Loc+" - "+f.Msg)
	}
	if want := []string{"jobs[0].id - must not be there twice", "jobs[0].steps[0].inputs.x - must not be there twice"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestFaults: each fault is told once, where it stands.
func TestFaults(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"nothing wrong", job + "  steps: []\n", ""},
		{"empty", "", "0:0 spec.yaml "},
		{"null", "~", "0:0 spec.yaml "},
		{"a list", "- a", "1:1 spec.schema "},
		{"a scalar", "5", "1:1 spec.schema "},
		{"no flow, no jobs", "version: 1\n", "1:1 spec.missing flow\n1:1 spec.missing jobs"},
		{"not YAML", "flow: {id: f\njobs: []", "2:1 spec.yaml "},
		{"a key twice", "flow: {id: f}\nflow: {id: g}\njobs: []", "2:1 spec.yaml flow"},
		{"a tag", "flow: {id: !!str f}\njobs: []", "1:12 spec.yaml \n1:1 spec.missing flow.id"},
		{"a second document", "flow: {id: f}\njobs: []\n---\nflow: {id: g}\njobs: []\n", "4:1 spec.yaml "},
		{"another version", "version: 2\nflow: {id: f}\njobs: []", "1:1 spec.version version"},
		{"a version that is text", "version: '1'\nflow: {id: f}\njobs: []", "1:1 spec.schema version"},
		{"an id that is a number", "flow: {id: 5}\njobs: []", "1:8 spec.schema flow.id"},
		{"an id that leaves its directory", "flow: {id: '..'}\njobs: []", "1:8 spec.bad_id flow.id"},
		{"an id with a slash", "flow: {id: a/b}\njobs: []", "1:8 spec.bad_id flow.id"},
		{"when that is true", job + "  when: true\n  steps: []\n", "5:3 spec.schema jobs[0].when"},
		{"a hopeful retry", job + "  steps: [{id: s, type: noop, retry: 3}]\n", "5:31 spec.schema jobs[0].steps[0].retry"},
		{"keys that are not there", job + "  need: [b]\n  steps: [{id: s, type: noop, input: {}, timeout: 3}]\n",
			"5:3 spec.unknown_key jobs[0].need\n6:31 spec.unknown_key jobs[0].steps[0].input\n6:42 spec.unknown_key jobs[0].steps[0].timeout"},
		{"no steps", "flow: {id: f}\njobs: [{id: a}]", "2:8 spec.missing jobs[0].steps"},
		{"ids of files", "flow: {id: f}\njobs: [{id: a-b, steps: [{id: 1.s, type: noop}]}, {id: c, depends_on: [a-b], steps: []}]", ""},
		{"ids that leave their directory", "flow: {id: f}\njobs: [{id: a/b, steps: [{id: '..', type: noop}, {id: é, type: noop}]}]", "2:9 spec.bad_id jobs[0].id\n2:27 spec.bad_id jobs[0].steps[0].id\n2:51 spec.bad_id jobs[0].steps[1].id"},
		{"ids that can't be named", "flow: {id: f}\njobs: [{id: a-b, steps: []}, {id: c, when: jobs.a-b.status == 1, steps: [{id: s, type: noop, inputs: {x: '{{jobs.a-b.status}}'}}]}]",
			"2:38 spec.invalid_when jobs[1].when\n2:103 template.syntax jobs[1].steps[0].inputs.x"},
		{"ids twice", "flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: noop}, {id: s, type: noop}]}, {id: a, steps: []}]",
			"2:46 spec.duplicate_step_id jobs[0].steps[1].id\n2:69 spec.duplicate_job_id jobs[1].id"},
		{"needs", "flow: {id: f}\njobs:\n- {id: a, depends_on: [a, b, c], steps: []}\n- {id: b, depends_on: [a, {job: a, require: done}], steps: []}",
			"3:24 spec.cycle jobs[0].depends_on[0]\n3:27 spec.order jobs[0].depends_on[1]\n3:30 spec.unknown_job jobs[0].depends_on[2]\n4:27 spec.duplicate_dependency jobs[1].depends_on[1].job"},
		{"a circle", "flow: {id: f, execution: graph}\njobs:\n- {id: a, depends_on: [b], steps: []}\n- {id: b, when: jobs.c.status == 'SUCCESS', steps: []}\n- {id: c, depends_on: [a], steps: []}", "3:4 spec.cycle jobs[0]"},
		{"when", "flow: {id: f}\njobs:\n- {id: a, steps: [{id: s, type: noop, outputs: {n: 1}}]}\n- {id: b, when: 'jobs.a.outputs.m > 0 and jobs.x.status == 1', steps: []}\n- {id: c, when: 'a = b', steps: []}\n- {id: d, when: 'jobs.d.outputs.x', steps: []}\n- {id: e, when: '{{env.X}}', steps: []}",
			"4:11 spec.unknown_output jobs[1].when\n4:11 spec.unknown_job jobs[1].when\n5:11 spec.invalid_when jobs[2].when\n6:11 spec.cycle jobs[3].when\n7:11 template.not_allowed_here jobs[4].when"},
		{"types", job + "  steps: [{id: s, type: reset}, {id: t, type: '{{env.X}}'}, {id: u}]\n", "5:19 spec.unknown_step_type jobs[0].steps[0].type\n5:41 template.not_allowed_here jobs[0].steps[1].type\n5:61 spec.missing jobs[0].steps[2].type"},
		{"inputs", job + "  steps: [{id: s, type: rest, inputs: {uri: x}}]\n", "5:31 spec.missing_input jobs[0].steps[0].inputs.url\n! 5:40 spec.unknown_input jobs[0].steps[0].inputs.uri"},
		{"resources", "flow: {id: f}\nresources:\n  wh: {kind: db, driver: postgress, config: {url: 'postgres://u:pw@h/d', password: x, port: 5}}\n  z: {kind: dba, driver: x, decode: {config: {token: true}}, config: {token: abc}}\njobs:\n- {id: a, steps: [{id: s, type: db_fetch_small, inputs: {resource: hw}}]}",
			"3:18 spec.unknown_driver resources.wh.driver\n3:46 secret.literal resources.wh.config.url\n3:74 secret.literal resources.wh.config.password\n4:7 spec.unknown_driver resources.z.kind\n6:58 spec.unknown_resource jobs[0].steps[0].inputs.resource"},
		{"templates", job + "  steps:\n  - id: s\n    type: noop\n    inputs:\n      a: '{{steps.s.x}} {{steps.t.x}} {{foo.x}} {{result.x}}'\n      b: ['{}', '{{env.X', '{{env}}']\n      '{{c}}': 1\n      d: '{{job.outputs.k}} {{jobs.a.outputs.k}} {{jobs.q.outputs.k}}'\n    outputs: {k: '{{result.x}}', l: '{{job.outputs.k}} {{steps.s.y}}', m-n: 1}\n",
			"9:7 template.unknown_root jobs[0].steps[0].inputs.a\n9:7 template.unknown_root jobs[0].steps[0].inputs.a\n9:7 spec.unknown_step jobs[0].steps[0].inputs.a\n9:7 spec.unknown_step jobs[0].steps[0].inputs.a\n" +
				"10:11 template.forbidden_sequence jobs[0].steps[0].inputs.b[0]\n10:17 template.syntax jobs[0].steps[0].inputs.b[1]\n10:28 template.syntax jobs[0].steps[0].inputs.b[2]\n11:7 template.not_allowed_here jobs[0].steps[0].inputs.{{c}}\n" +
				"12:7 spec.unknown_output jobs[0].steps[0].inputs.d\n12:7 spec.unknown_job jobs[0].steps[0].inputs.d\n12:7 spec.unknown_job jobs[0].steps[0].inputs.d\n13:34 spec.unknown_output jobs[0].steps[0].outputs.l\n13:72 spec.bad_id jobs[0].steps[0].outputs.m-n"},
		{"secrets", "flow: {id: 'f{{env.API_KEY}}', env: {MY_TOKEN: x}, public_env: [SORT_KEY]}\njobs:\n- id: a\n  steps: [{id: s, type: noop, inputs: {p: '{{env.DB_PASSWORD}}', q: 'x{{env.DB_PASSWORD}}', r: '{{env.SORT_KEY:}}'}, outputs: {k: '{{env.API_KEY}}'}}]",
			"1:8 template.secret_in_output flow.id\n1:38 secret.inline_value flow.env.MY_TOKEN\n4:66 template.secret_in_text jobs[0].steps[0].inputs.q\n4:128 template.secret_in_output jobs[0].steps[0].outputs.k"},
		{"environment", "flow: {id: f, env: {A: x, B: ''}}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {p: '{{env.A}}{{env.B}}{{env.C:}}{{env.D}}'}}]}]", "! 2:53 spec.unset_env jobs[0].steps[0].inputs.p\n! 2:53 spec.unset_env jobs[0].steps[0].inputs.p"},
		{"parameters", "flow: {id: f, parameters: {day: {required: yes, pattern: '^\\d{4}$'}}}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {p: '{{params.day}} {{params.dya}}'}}]}]", "2:53 spec.unknown_parameter jobs[0].steps[0].inputs.p"},
		{"ignored, and words", "flow: {id: f, state: {backend: sqlite, path: x}, description: yes}\njobs: [{id: a, steps: [{id: s, type: noop, inputs: {p: off, q: 'off', d: '{{env.X: a}}'}}]}]",
			"! 1:23 spec.ignored_field flow.state.backend\n! 1:40 spec.ignored_field flow.state.path\n! 1:50 spec.yaml_boolean flow.description\n! 2:53 spec.yaml_boolean jobs[0].steps[0].inputs.p\n! 2:71 template.default_blank jobs[0].steps[0].inputs.d"},
		{"locks", job + "  steps:\n  - {id: s, type: with_lock, inputs: {lock_key: 'l-{{run_id}}', ttl_seconds: 0, step: {type: rets}}}\n  - {id: t, type: with_lock, inputs: {lock_key: '{{steps.s.x}}', key: 1}}\n  - {id: u, type: with_lock}\n",
			"6:65 spec.schema jobs[0].steps[0].inputs.ttl_seconds\n6:88 spec.unknown_step_type jobs[0].steps[0].inputs.step.type\n7:30 spec.missing jobs[0].steps[1].inputs.step\n7:39 template.unknown_root jobs[0].steps[1].inputs.lock_key\n7:66 spec.unknown_key jobs[0].steps[1].inputs.key\n8:5 spec.missing jobs[0].steps[2].inputs\n! 6:39 spec.lock_protects_nothing jobs[0].steps[0].inputs.lock_key\n! 6:65 spec.ignored_field jobs[0].steps[0].inputs.ttl_seconds"},
		{"processes", job + "  steps:\n  - {id: s, type: external.process, inputs: {command: [1], log: {stdout: fil, stderr: file}, idempotency: {strategy: atomic_dir, temp_output_dir: x}}}\n  - {id: t, type: external.process}\n",
			"6:46 spec.process_command jobs[0].steps[0].inputs.command\n6:60 spec.process_log_file jobs[0].steps[0].inputs.log.file_path\n6:66 spec.process_log jobs[0].steps[0].inputs.log.stdout\n6:94 spec.process_atomic_dir jobs[0].steps[0].inputs.idempotency.final_output_dir\n7:5 spec.missing_input jobs[0].steps[1].inputs.command"},
		{"inputs by the schema of their executor", job + "  steps:\n  - {id: s, type: rest, inputs: {url: 5, method: '{{env.M:GET}}'}}\n  - {id: t, type: rest, inputs: {method: PST, headers: {}}}\n  - {id: u, type: with_lock, inputs: {lock_key: k, step: {type: rest}}}\n" +
			"  - {id: v, type: external.process, inputs: {command: x, env: {A: {b: [1]}}, success: {exit_codes: [0, x]}, timeout_seconds: 0}}\n",
			"6:34 spec.invalid_input jobs[0].steps[0].inputs.url\n7:25 spec.missing_input jobs[0].steps[1].inputs.url\n7:34 spec.invalid_input jobs[0].steps[1].inputs.method\n8:52 spec.missing_input jobs[0].steps[2].inputs.step.inputs.url\n" +
				"9:104 spec.invalid_input jobs[0].steps[3].inputs.success.exit_codes[1]\n9:109 spec.invalid_input jobs[0].steps[3].inputs.timeout_seconds"},
		{"old names", job + "  steps:\n  - {id: s, type: external.process, inputs: {cmd: x, retry: {sleep_seconds: x}, log: {max_capture_bytes: '{{env.B:1}}'}}}\n",
			"6:62 spec.invalid_input jobs[0].steps[0].inputs.retry.sleep_seconds\n! 6:46 spec.old_name jobs[0].steps[0].inputs.cmd\n! 6:62 spec.old_name jobs[0].steps[0].inputs.retry.sleep_seconds"},
		{"retries twice", job + "  steps:\n  - {id: s, type: external.process, retry: {max_attempts: 2}, inputs: {command: x, retry: {max_attempts: 2}}}\n", "6:37 spec.retry_twice jobs[0].steps[0].retry"},
		{"handlers", "flow:\n  id: f\n  on_failure: [{id: s, type: noop, inputs: {m: '{{failure.message}} {{jobs.a.status}}'}}]\n  finally: {steps: [{id: s, type: noop, inputs: {m: '{{failure.message}}'}}], when: x}\njobs: [{id: a, depends_on: [finally], steps: []}]",
			"4:50 template.unknown_root flow.finally.steps[0].inputs.m\n4:79 spec.unknown_key flow.finally.when\n5:29 spec.order jobs[0].depends_on[0]"},
	} {
		_, report := flows.Read("f.yaml", []byte(row.text), options())
		errors, warnings := told(report)
		for _, w := range warnings {
			errors = append(errors, "! "+w)
		}
		got := strings.Join(errors, "\n")
		if sorted(got) != sorted(row.want) {
			t.Errorf("%s:\n%s\nwant\n%s", row.name, got, row.want)
			for _, f := range report.Errors {
				t.Logf("%s: %s", f.Code, f.Msg)
			}
		}
		if report.OK != (len(report.Errors) == 0) {
			t.Errorf("%s: ok is %v", row.name, report.OK)
		}
	}
}

func sorted(lines string) string {
	all := strings.Split(lines, "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// TestFaultsSayWhatToWrite: what people who come from elsewhere write is told with what it is here.
func TestFaultsSayWhatToWrite(t *testing.T) {
	step := func(rest string) string { return job + "  steps: [{id: s, " + rest + "}]\n" }
	for _, row := range []struct{ text, want string }{
		{step("type: http"), "there is no executor http; did you mean rest?"},
		{step("type: shell"), "there is no executor shell; did you mean external.process?"},
		{step("type: external_proces"), "did you mean external.process?"},
		{step("type: noop, retry: 3"), "must be a map, and is the number 3"},
		{step("type: noop, pool: 3"), "must be a text, and is the number 3 (in quotes it is a text)"},
		{step("type: noop, inputs: {x: '{{environ.X}}'}"), "run_id, schedule, steps; did you mean env?"},
		{step("type: noop, inputs: {x: '{{step.s}}'}"), "run_id, schedule, steps; did you mean steps?"},
		{step("type: noop, inputs: {x: '{{outputs.s}}'}"), "run_id, schedule, steps; did you mean job.outputs?"},
		{step("type: noop, inputs: {x: '{{env.X | upper}}'}"), "with dots between them; there are no filters, calls, indexes and operators"},
		{job + "  when: '{{env.X}} == 1'\n  steps: []\n", "there are no templates here: a gate names jobs.ID.outputs.KEY without braces"},
		{"flow: {id: f, parameters: {day: date}}\njobs: []\n", "must be an object, such as {type: string, required: true}"},
		{"flow: {id: f}\nresources: {wh: {kind: postgres, config: {}}}\njobs: []\n", `there is no kind "postgres": write kind: db, driver: postgres`},
	} {
		_, r := flows.Read("f.yaml", []byte(row.text), options())
		if !slices.ContainsFunc(r.Errors, func(f flows.Fault) bool {
			return strings.HasSuffix(f.Msg, row.want) && !strings.HasPrefix(f.Msg, f.Loc)
		}) {
			t.Errorf("%s%v\nwant %s", row.text, r.Errors, row.want)
		}
	}
}

// TestKeysAndLimitsThatNoTaskMayHave: what only the tree refused is told where it stands, by validate, too.
func TestKeysAndLimitsThatNoTaskMayHave(t *testing.T) {
	const noop = "{id: s, type: noop}"
	under := func(key, inner string) string {
		return "{id: w, type: with_lock, inputs: {lock_key: '" + key + "', step: " + inner + "}}"
	}
	steps := func(all string) string { return job + "  steps: [" + all + "]\n" }
	for _, row := range []struct{ text, want string }{
		{steps(under("", noop)), "jobs[0].steps[0].inputs.lock_key - must not be empty"},
		{steps(under(strings.Repeat("k", 256), noop)), "jobs[0].steps[0].inputs.lock_key - must be at most 255 bytes, got 256"},
		{steps(under(strings.Repeat("☃", 86), noop)), "jobs[0].steps[0].inputs.lock_key - must be at most 255 bytes, got 258"},
		{steps("{id: s, type: noop, lock: {key: \"a\\nb\"}}"), "jobs[0].steps[0].lock.key - must not hold control characters"},
		{job + "  lock: {key: \"\\e[2J\"}\n  steps: []\n", "jobs[0].lock.key - must not hold control characters"},
		{steps(under("k", under("k", noop))), "jobs[0].steps[0].inputs.step.inputs.lock_key - a lock with the key k is around it already, and would not go back before it has this one"},
		{steps(under("k", under("l", under("k", noop)))), "jobs[0].steps[0].inputs.step.inputs.step.inputs.lock_key - a lock with the key k is around it already, and would not go back before it has this one"},
		{steps(under("{{env.X}}", under("{{env.X}}", noop))), "jobs[0].steps[0].inputs.step.inputs.lock_key - a lock with the key {{env.X}} is around it already, and would not go back before it has this one"},
		{job + "  lock: {key: k}\n  steps: [" + noop + ", " + under("k", noop) + "]\n", "jobs[0].steps[1].inputs.lock_key - a lock with the key k is around it already, and would not go back before it has this one"},
		{job + "  lock: {key: k}\n  steps: [{id: f, type: foreach, inputs: {items: [1], steps: [{id: s, type: noop, lock: {key: k}}]}}]\n", "jobs[0].steps[0].inputs.steps[0].lock.key - a lock with the key k is around it already, and would not go back before it has this one"},
		{job + "  timeout_seconds: 0.0009\n  steps: []\n", "jobs[0].timeout_seconds - must be at least 0.001, or 0 for none"},
		{steps("{id: s, type: noop, timeout_seconds: 1.0e-300}"), "jobs[0].steps[0].timeout_seconds - must be at least 0.001, or 0 for none"},
		{steps("{id: s, type: noop, lock: {key: k, on_contention: wait, wait_timeout_seconds: 0.0001}}"), "jobs[0].steps[0].lock.wait_timeout_seconds - must be at least 0.001, or 0 for none"},
		{job + "  timeout_seconds: 1.0e+300\n  steps: []\n", "jobs[0].timeout_seconds - must be at most 31536000"},
		{job + "  timeout_seconds: 0.001\n  steps: [" + under("k", under("l", noop)) + ", {id: v, type: noop, lock: {key: k}}, {id: z, type: noop, timeout_seconds: 0}]\n", ""},
	} {
		_, r := flows.Read("f.yaml", []byte(row.text), options())
		var got []string
		for _, f := range r.Errors {
			got = append(got, f.Loc+" - "+f.Msg)
		}
		if strings.Join(got, "\n") != row.want {
			t.Errorf("%s\n got %q\nwant %q", row.text, got, row.want)
		}
	}
}

// TestSpecExample: the example of the specification has one fault, the resource that it does not declare.
func TestSpecExample(t *testing.T) {
	text := `version: 1
flow: { id: orders_export }
resources:
  wh: { kind: db, driver: postgres, profile: warehouse }
jobs:
  - id: probe
    steps:
      - id: count
        type: db_fetch_small
        inputs: { resource: wh, sql: "select count(*) from orders_new" }
        outputs: { rows: "{{result.row_count}}" }
  - id: export
    depends_on: [probe]
    when: jobs.probe.outputs.rows > 0
    steps:
      - { id: dump, type: db_fetch_small, inputs: { resource: wh, sql: "select * from orders_new", output: orders.csv, format: csv } }
      - { id: push, type: noop, inputs: { resource: drop, items: ["{{steps.dump.artifact_path}}"], remote_dir: /in } }
`
	opts := options()
	opts.Profiles = map[string]resource.Part{"warehouse": {Config: map[string]any{"url": "postgresql://etl:{{env.DB_PASSWORD}}@db/shop"}}}
	_, report := flows.Read("f.yaml", []byte(text), opts)
	errors, warnings := told(report)
	if !slices.Equal(errors, []string{"17:43 spec.unknown_resource jobs[1].steps[1].inputs.resource"}) || len(warnings) > 0 {
		t.Errorf("got %v, %v", errors, warnings)
	}
}

// FuzzFlow: whatever a file holds, its report is made, in order and within its bounds, and each fault lies in the file.
func FuzzFlow(f *testing.F) {
	for _, text := range []string{job + "  steps: [{id: s, type: rest, inputs: {url: 'x{{env.A:b}}'}}]", "flow: {id: f, on_failure: [{id: s}]}\njobs: [{id: b, when: jobs.a.status, depends_on: [{job: a}]}]", "a: &a [*a]", `{"flow": {}}`, "flow: {parameters: {a: {enum: [1]}}}", "jobs: [{steps: [{type: with_lock, inputs: {step: {type: with_lock, inputs: {}}}}]}]",
		"flow: {id: 'f{{env.A:b}}', execution: graph, finally: [{id: t, type: noop}], parameters: {p: {default: [1]}}}\njobs:\n- {id: a, steps: [{id: s, type: noop, outputs: {k: '{{result.x:}}'}, on_no_data: skip_job}, {id: t, type: noop, inputs: {x: ['{{steps.s}}', '{{job.outputs.k}}-{{params.p}}'], y: '{{env.A_KEY}}'}}]}\n- {id: b, when: 'jobs.a.outputs.k.l > 1 and not jobs.a.status', depends_on: [{job: a, require: done}], steps: [{id: s, type: noop, inputs: {x: '{{jobs.a.outputs.k:z}} {{attempt}}'}, lock: {key: '{{run_id}}'}}]}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, r := flows.Read("f.yaml", text, options())
		if r.OK != (len(r.Errors) == 0) || r.OK && d == nil || len(r.Errors) > flows.MaxFaults || len(r.Warnings) > flows.MaxFaults {
			t.Fatalf("%q: %+v", text, r)
		}
		tree, made := flows.Compile("f.yaml", text, "run", options())
		if (tree != nil) != made.OK || tree != nil && !r.OK {
			t.Fatalf("%q: %v, %+v", text, tree, made)
		}
		lines := 1 + strings.Count(string(text), "\n") + strings.Count(string(text), "\r")
		for _, f := range slices.Concat(r.Errors, r.Warnings) {
			if f.Msg == "" || f.Code == "" || f.Line < 0 || f.Line > lines+1 || (f.Line == 0) != (f.Column == 0) {
				t.Fatalf("%q: %+v", text, f)
			}
		}
	})
}
