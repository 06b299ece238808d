package condition

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows/gate"
)

// TestGatesOfFlows: what a gate compiles to gives the verdict that the gate gives.
func TestGatesOfFlows(t *testing.T) {
	const outputs = `{"n": 5, "s": "12", "t": "true", "e": "", "f": 0.5, "big": 9007199254740993, "l": [1, {"a": null}], "none": [], "d": {"k": {"v": 1}}, "b": true, "u": null, "w": "word", "h": 18446744073709551615}`
	scope := &Scope{Dependencies: []Dependency{
		{Ref: "a", Outcome: "success", Status: "completed", Result: json.RawMessage(`{}`), Outputs: json.RawMessage(outputs)},
		{Ref: "b", Outcome: "skipped", Status: "completed", Result: json.RawMessage(`{"skipped":true,"reason":"when_false"}`)},
		{Ref: "c", Outcome: "skipped", Status: "completed", Result: json.RawMessage(`{"skipped":true,"reason":"no_files"}`)},
		{Ref: "d", Outcome: "blocked", Status: "pending"},
	}}
	var values map[string]any
	d := json.NewDecoder(strings.NewReader(outputs))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		t.Fatal(err)
	}
	value := func(r gate.Ref) any {
		switch r.Field {
		case "status":
			return map[string]string{"a": "SUCCESS", "b": "SKIPPED", "c": "SKIPPED", "d": "BLOCKED"}[r.Job]
		case "skip_reason":
			if reason := map[string]string{"b": "condition=false", "c": "no_files"}[r.Job]; reason != "" {
				return reason
			}
			return nil
		case "skip_trigger":
			if r.Job == "c" {
				return "step"
			}
			return nil
		}
		var v any = values
		if r.Job != "a" {
			return nil
		}
		for _, name := range r.Path {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		return v
	}
	ref := func(r gate.Ref) string {
		of := "deps[" + gate.Quote(r.Job) + "]"
		switch r.Field {
		case "status":
			return "flow_status(" + of + ".outcome)"
		case "skip_reason", "skip_trigger":
			return "flow_" + r.Field + "(" + of + ".result)"
		}
		out := "flow_output([deps.d.outputs, " + of + ".outputs], " + gate.Quote(r.Path[0]) + ")"
		for _, name := range r.Path[1:] {
			out = "flow_get(" + out + ", " + gate.Quote(name) + ")"
		}
		return out
	}
	terms := []string{"true", "null", "0", "-3", "1.5", "1e30", "'12'", "'true'", "''", `'a\'"\n<é'`}
	for name := range values {
		terms = append(terms, "jobs.a.outputs."+name)
	}
	terms = append(terms, "jobs.a.outputs.d.k.v", "jobs.a.outputs.missing", "jobs.b.outputs.n", "jobs.a.status", "jobs.b.skip_reason", "jobs.c.skip_reason", "jobs.c.skip_trigger", "jobs.b.skip_trigger", "jobs.d.skip_reason", "jobs.d.status")
	var texts []string
	for i, a := range terms {
		texts = append(texts, a, "not "+a, a+" and "+terms[(i+1)%len(terms)], a+" or "+terms[(i+7)%len(terms)]+" or false", "not (not "+a+")")
		for j, b := range terms {
			sign := []string{"==", "!=", ">", "<", ">=", "<="}[(i+j)%6]
			texts = append(texts, a+" "+sign+" "+b, "0 < "+a+" "+sign+" "+b)
		}
	}
	verdicts := map[string]int{}
	for _, text := range texts {
		e, err := gate.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want, wantErr := e.Eval(value)
		p, err := Compile(When, e.CEL(ref))
		if err != nil {
			t.Fatalf("%s is %s: %v", text, e.CEL(ref), err)
		}
		got, gotErr := p.Eval(scope)
		switch {
		case got != want, (gotErr == nil) != (wantErr == nil), gotErr != nil && !strings.Contains(gotErr.Error(), "when.type_error"):
			t.Errorf("%s: %v, %v; as %s: %v, %v", text, want, wantErr, e.CEL(ref), got, gotErr)
		case gotErr != nil:
			verdicts["error"]++
		case got:
			verdicts["true"]++
		default:
			verdicts["false"]++
		}
	}
	t.Log(len(texts), verdicts)
	// the functions are total: values of any form, and of any size
	for _, text := range []string{`flow_true(deps)`, `flow_compare("~", 1, 2)`, `flow_get(5, "a") == null`, `flow_output([5, null, {"a": 1}], "a") == 1`, `flow_status("x") == "X"`, `flow_skip_reason(deps) == null`,
		`flow_compare("==", deps, [timestamp("2026-01-01T00:00:00Z")])`} {
		p, err := Compile(When, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, _ = p.Eval(scope)
	}
	p, err := Compile(When, "[1, 2, 3, 4, 5, 6, 7, 8].map(a, [1, 2, 3, 4, 5, 6, 7, 8].map(b, [1, 2, 3, 4, 5, 6, 7, 8].map(c, deps.a.outputs))).exists(x, flow_compare('==', x, x) && flow_compare('==', [[x, x, x, x, x, x, x, x], [x, x, x, x, x, x, x, x], [x, x, x, x, x, x, x, x], [x, x, x, x, x, x, x, x], [x, x, x, x, x, x, x, x], [x, x, x, x, x, x, x, x], [x, x, x, x, x, x, x, x], [x, x, x, x, x, x, x, x]], 1))")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Eval(scope); err == nil || !strings.Contains(err.Error(), "too large to be compared") {
		t.Errorf("values that are shared often: %v", err)
	}
}
