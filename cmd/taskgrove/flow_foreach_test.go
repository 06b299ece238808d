package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// TestFlowForEach: steps run for each item of a list with values from outside, and with files of their own that later steps find.
func TestFlowForEach(t *testing.T) {
	t.Parallel()
	run := func(path string) (o flows.Outcome, stderr string) {
		t.Helper()
		stdout, stderr, _ := program(t, []string{"TMPDIR=" + openDir(t)}, "flow", "run", "--local", "--json", path)
		if err := json.Unmarshal([]byte(stdout), &o); err != nil {
			t.Fatal(err, stdout, stderr)
		}
		return o, stderr
	}
	o, stderr := run("../../examples/flows/foreach.yaml") // with files
	if o.Outcome != "SUCCESS" || string(o.Jobs[0].Outputs["count"]) != "2" {
		t.Fatalf("%+v %s", o, stderr)
	}
	last := string(o.Jobs[0].Steps[2].Result)
	for _, want := range []string{"0: 3 is 3 lines of", "1: 5 is 5 lines of"} {
		if !strings.Contains(last, want) {
			t.Errorf("%s lacks %s", last, want)
		}
	}
	if files := string(o.Jobs[0].Outputs["files"]); !strings.Contains(files, "artifact:count.each.0/said") || !strings.Contains(files, "artifact:count.each.1/said") {
		t.Errorf("the files of items are %s", files)
	}
	o, stderr = run(file(t, "nested.yaml", `flow: {id: nested, on_failure: [{id: tell, type: noop, outputs: {what: "{{failure.step}} {{failure.kind}} {{failure.message}}"}}]}
jobs:
- id: a
  steps:
  - {id: first, type: external.process, inputs: {command: 'echo v=7 > $TASKGROVE_RESULT_FILE; echo from the job > f', shell: true}}
  - {id: none, type: foreach, inputs: {items: [], step: {type: noop}}, outputs: {n: "{{result.count}}"}}
  - id: outer
    type: foreach
    inputs:
      items: [[1, 2], [3]]
      step:
        id: inner
        type: foreach
        inputs:
          items: "{{item}}"
          step:
            type: with_lock
            inputs: {lock_key: "k{{item}}", on_contention: wait, step: {type: external.process, inputs: {command: 'cat f > g && echo {{item}} {{index}} {{steps.first.v}} >> g && cat g', shell: true, log: {stdout: capture}}}}
  - {id: some, type: foreach, inputs: {items: [0, 3], allow_failures: true, step: {type: external.process, inputs: {command: "exit {{item}}", shell: true}}}}
- id: b
  steps:
  - {id: some, type: foreach, inputs: {items: [0, 3], step: {type: external.process, inputs: {command: "exit {{item}}", shell: true}}}}
`))
	a := o.Jobs[0]
	var nested struct {
		Results []struct{ Results []struct{ Stdout string } }
	}
	if len(a.Steps) != 4 || json.Unmarshal(a.Steps[2].Result, &nested) != nil || len(nested.Results) != 2 || len(nested.Results[0].Results) != 2 {
		t.Fatalf("%+v %s", o, stderr)
	}
	for i, want := range []string{"from the job\n1 0 7\n", "from the job\n2 1 7\n"} {
		if got := nested.Results[0].Results[i].Stdout; got != want {
			t.Errorf("an item within an item printed %q, want %q", got, want)
		}
	}
	if none := a.Steps[1]; none.Status != "SKIPPED" || none.ReasonCode != "no_data" || string(a.Outputs["n"]) != "0" {
		t.Errorf("no items: %+v", none)
	}
	if some := string(a.Steps[3].Result); a.Status != "SUCCESS" || !strings.Contains(some, `"succeeded":1`) && !strings.Contains(some, `"succeeded": 1`) {
		t.Errorf("%s: %s", a.Status, some)
	}
	if what := string(o.Jobs[2].Outputs["what"]); !strings.HasPrefix(what, `"some child task 'b__some[1]'`) || !strings.Contains(what, "exit code 3") {
		t.Errorf("on_failure is told %s", what)
	}
}
