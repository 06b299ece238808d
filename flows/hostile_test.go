package flows_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// Somebody may send a file whose parts name each other in all the ways that there are. None may look through a list for each token: of 100,000 steps that took hours. It shows in what
// is allocated, which does not depend on the machine.
func TestManyNames(t *testing.T) { //nolint:paralleltest // it looks at what the process allocates
	list := func(n int, form string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(form, "#", fmt.Sprint(i)))
		}
		return b.String()
	}
	const head = "version: 1\nflow: {id: f}\njobs:\n- id: a\n  steps:\n"
	allocated := func(text string) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, report := flows.Read("many.yaml", []byte(text), options())
		runtime.ReadMemStats(&after)
		if len(report.Errors) > flows.MaxFaults || len(report.Warnings) > flows.MaxFaults {
			t.Errorf("%d errors and %d warnings, and at most %d are told", len(report.Errors), len(report.Warnings), flows.MaxFaults)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	for name, text := range map[string]func(n int) string{
		"itself": func(n int) string {
			return head + list(n, "  - {id: s#, type: noop, inputs: {a: \"{{steps.s#.x}}\"}}\n")
		},
		"the last": func(n int) string {
			return head + list(n, fmt.Sprintf("  - {id: s#, type: noop, inputs: {a: \"{{steps.s%d.x}}\"}}\n", n-1))
		},
		"unknown steps": func(n int) string {
			return head + list(n, "  - {id: s#, type: noop, inputs: {a: \"{{steps.none#.x}}\"}}\n")
		},
		"outputs": func(n int) string {
			return head + list(n, "  - {id: s#, type: noop, inputs: {a: \"{{job.outputs.k0}}\"}, outputs: {k#: \"{{result.x}}\"}}\n")
		},
		"unknown outputs": func(n int) string {
			return head + list(n, "  - {id: s#, type: noop, outputs: {k#: \"{{job.outputs.none#}}\"}}\n")
		},
		"unknown jobs": func(n int) string {
			return head + list(n, "  - {id: s#, type: noop, inputs: {a: \"{{jobs.j#.outputs.x}}\"}}\n")
		},
		"unknown keys": func(n int) string {
			return "{\"version\": 1, \"flow\": {\"id\": \"f\"}, " + list(n, "\"k#\": 1, ") + "\"jobs\": []}"
		},
		"unknown resource": func(n int) string { return head + list(n, "  - {id: s#, type: noop, inputs: {resource: r#}}\n") },
		"resources": func(n int) string {
			return "version: 1\nflow: {id: f}\nresources:\n" + list(n, "  r#: {kind: rest, driver: httpx, config: {base_url: \"http://x\"}}\n") + "jobs:\n- id: a\n  steps:\n" +
				list(n, "  - {id: s#, type: rest, inputs: {resource: r#, url: /}}\n")
		},
	} {
		allocated(text(100)) // what is made once
		small, large := allocated(text(1000)), allocated(text(4000))
		if large > 6*small {
			t.Errorf("%s: 1000 take %d bytes, and 4000 take %d", name, small, large)
		}
	}
}

// What a file holds can't write lines of a report, nor steer the terminal of who reads it.
func TestReportStaysInItsLines(t *testing.T) {
	t.Parallel()
	const text = "version: 1\nflow: {id: \"a\\e[31m\\u202e\\n\\nOK: f.yaml\"}\n\"k\\e[2J\\n- f.yaml:1:1\": 1\njobs: [{id: \"\\u2028x\\r\", steps: []}]\n"
	_, report := flows.Read("f\nOK: f\x1b.yaml", []byte(text), options())
	var b strings.Builder
	if err := report.Text(&b); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(b.String(), "\n"), 1+len(report.Errors)+len(report.Warnings); got != want || len(report.Errors) < 3 {
		t.Errorf("%d lines, want %d:\n%q", got, want, b.String())
	}
	if said := b.String() + (&flows.Error{Report: report}).Error(); strings.ContainsAny(said, "\x1b\r\u202e\u2028") {
		t.Errorf("it says %q", said)
	}
}

// What a run is given has names that templates can name, as values in the flow do: programs would get another variable by a name with =.
func TestNamesOfTheEnvironment(t *testing.T) {
	t.Parallel()
	opts := options()
	opts.Env = map[string]string{"GOOD_1": "x", "A=B": "x", "": "x", "a b": "x", "1a": "x", "é": "x", "DB_PASSWORD": "x"}
	_, report := flows.Read("f.yaml", []byte("flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: noop}]}]"), opts)
	errors, _ := told(report)
	const want = "spec.bad_id env.\nspec.bad_id env.1a\nspec.bad_id env.A=B\nsecret.inline_value env.DB_PASSWORD\nspec.bad_id env.a b\nspec.bad_id env.é"
	if got := strings.ReplaceAll(strings.Join(errors, "\n"), "0:0 ", ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
