package flows_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// TestForEachFaults: what is wrong in the body of a foreach is told where it stands.
func TestForEachFaults(t *testing.T) {
	t.Parallel()
	const before = "flow: {id: f, env: {DB_PASSWORD_NAME: x}, public_env: [DB_PASSWORD_NAME], parameters: {day: {default: d}}}\njobs: [{id: j, steps: [{id: s, type: noop, outputs: {k: 1}}, {id: e, type: foreach, inputs: {"
	for _, row := range []struct{ inputs, want string }{
		{"items: [1], step: {type: noop, inputs: {x: '{{item.a.b}} {{index}} {{steps.s.x}} {{job.outputs.k}} {{job.id}} {{run_id}} {{params.day}} {{env.DB_PASSWORD_NAME}} {{attempt}}', p: '{{env.PASSWORD}}'}}", ""},
		{"items: '{{steps.s.list}}', window: 3, stop_on_failure: yes, allow_failures: true, steps: [{id: a, type: noop}, {id: b, type: noop, inputs: {x: '{{steps.a.x}} {{steps.s.x}}'}}]", ""},
		{"items: '[1, 2]', step: {type: with_lock, inputs: {lock_key: 'k{{item}}', step: {type: noop, inputs: {x: '{{index}}'}}}}", ""},
		{"items: [[1]], step: {type: foreach, inputs: {items: '{{item}}', step: {type: noop, inputs: {x: '{{item}} {{steps.s.x}}'}}}}", ""},
		{"items: [1], step: {type: noop, inputs: {x: '{{steps.e.x}}'}}", "spec.unknown_step jobs[0].steps[1].inputs.step.inputs.x"},
		{"items: [1], step: {type: noop, inputs: {x: ['{{steps.none.x}}', '{{jobs.j.status}}', '{{itm}}']}}", "spec.unknown_step jobs[0].steps[1].inputs.step.inputs.x[0]\nspec.unknown_job jobs[0].steps[1].inputs.step.inputs.x[1]\ntemplate.unknown_root jobs[0].steps[1].inputs.step.inputs.x[2]"},
		{"items: '{{item}}', step: {type: noop}", "template.unknown_root jobs[0].steps[1].inputs.items"},
		{"items: '{{env.PASSWORD}}', step: {type: noop}", "template.secret_in_output jobs[0].steps[1].inputs.items"},
		{"items: 5, step: {type: noop}", "spec.invalid_input jobs[0].steps[1].inputs.items"},
		{"items: words, step: {type: noop}", "spec.invalid_input jobs[0].steps[1].inputs.items"},
		{"items: [1]", "spec.missing jobs[0].steps[1].inputs.step"},
		{"step: {type: noop}", "spec.missing jobs[0].steps[1].inputs.items"},
		{"items: [1], steps: []", "spec.schema jobs[0].steps[1].inputs.steps"},
		{"items: [1], step: {type: noop}, steps: [{id: a, type: noop}]", "spec.schema jobs[0].steps[1].inputs.steps"},
		{"items: [1], step: {type: nop, outputs: {x: 1}}, windw: 1", "spec.unknown_step_type jobs[0].steps[1].inputs.step.type\nspec.unknown_key jobs[0].steps[1].inputs.step.outputs\nspec.unknown_key jobs[0].steps[1].inputs.windw"},
		{"items: [1], steps: [{id: a, type: noop, inputs: {x: '{{steps.b.x}}'}}, {id: a, type: noop}, {id: s, type: noop}, {id: b, type: noop}, {type: noop}]",
			"spec.unknown_step jobs[0].steps[1].inputs.steps[0].inputs.x\nspec.duplicate_step_id jobs[0].steps[1].inputs.steps[1].id\nspec.duplicate_step_id jobs[0].steps[1].inputs.steps[2].id\nspec.missing jobs[0].steps[1].inputs.steps[4].id"},
		{"items: [1], step: {type: with_lock, inputs: {lock_key: a, step: {type: with_lock, inputs: {lock_key: b, step: {type: noop}}}}}", "spec.not_supported jobs[0].steps[1].inputs.step.inputs.step.inputs.lock_key"},
		{"items: [1], step: {type: noop}}, retry: {max_attempts: 2}, timeout_seconds: 5, lock: {key: k", "spec.not_supported jobs[0].steps[1].retry\nspec.not_supported jobs[0].steps[1].timeout_seconds"},
		{"items: [1], step: {type: noop, lock: {key: k}}}, lock: {key: k", "spec.not_supported jobs[0].steps[1].inputs.step.lock.key"},
	} {
		text := before + row.inputs + "}}]}]"
		_, report := flows.Compile("f.yaml", []byte(text), "r", options())
		errors, _ := told(report)
		for i := range errors {
			_, errors[i], _ = strings.Cut(errors[i], " ")
		}
		if got := strings.Join(errors, "\n"); got != row.want {
			t.Errorf("%s:\n%s\nwant\n%s", row.inputs, got, row.want)
			for _, f := range report.Errors {
				t.Log(f)
			}
		}
	}
}

// TestFlowStep: a step that runs another flow becomes a task that waits for the run, and what is wrong with it is told where it stands.
func TestFlowStep(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ step, want string }{
		{"inputs: {flow: child, version: 2, params: {day: '{{params.day}}', n: '{{steps.s.n}}'}, env: {R: '{{env.R}}'}, job: load}, outputs: {x: '{{result.jobs.load.outputs.n}}'}, retry: {max_attempts: 2}, lock: {key: k}",
			`{"env":{"R":"eu"},"flow":"child","job":"load","params":{"day":"d","n":"{{steps.s.n}}"},"version":2}`},
		{"inputs: {flow: 'x_{{env.R}}', wait: no}", `{"detach":true,"flow":"x_eu"}`},
		{"", "spec.missing jobs[0].steps[1].inputs"},
		{"inputs: {flw: x}", "spec.unknown_key jobs[0].steps[1].inputs.flw"},
		{"inputs: {flow: a/b, params: {p: '{{env.PASSWORD}}'}}, timeout_seconds: 1", "template.secret_in_output jobs[0].steps[1].inputs.params.p\nspec.not_supported jobs[0].steps[1].timeout_seconds"},
		{"inputs: {flow: a/b}", "spec.bad_id jobs[0].steps[1].inputs.flow"},
		{"inputs: {flow: '{{steps.s.x}}', job: [1]}", "template.unknown_root jobs[0].steps[1].inputs.flow\nspec.schema jobs[0].steps[1].inputs.job"},
	} {
		text := "flow: {id: f, env: {R: eu}, parameters: {day: {default: d}}}\njobs: [{id: j, steps: [{id: s, type: noop}, {id: c, type: flow, " + row.step + "}]}]"
		tree, report := flows.Compile("f.yaml", []byte(text), "r", options())
		got := ""
		if tree != nil {
			var tasks []struct {
				Name   string
				Inputs json.RawMessage
			}
			if err := json.Unmarshal(tree.Document, &tasks); err != nil {
				t.Fatal(err)
			}
			got = string(tasks[len(tasks)-1].Inputs)
		}
		errors, _ := told(report)
		for i := range errors {
			_, errors[i], _ = strings.Cut(errors[i], " ")
		}
		if got += strings.Join(errors, "\n"); got != row.want {
			t.Errorf("%s:\n%s\nwant\n%s", row.step, got, row.want)
		}
	}
}
