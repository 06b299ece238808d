package gate_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows/gate"
)

const jobs = `{"a": {"status": "SUCCESS", "outputs": {"n": 5, "s": "12", "t": "true", "e": "", "f": 0.5, "big": 9007199254740993, "l": [1], "none": [], "d": {"k": {"v": 1}}, "b": true, "u": null, "w": "word"}},
	"b": {"status": "SKIPPED", "skip_reason": "condition=false", "outputs": {}}}`

// look gives what a reference leads to in an object of jobs.
func look(t testing.TB, text string) func(gate.Ref) any {
	t.Helper()
	var all any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return func(r gate.Ref) any {
		v := all
		for _, name := range append([]string{r.Job, r.Field}, r.Path...) {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		return v
	}
}

func TestVerdicts(t *testing.T) {
	const typeError = "type error"
	for text, want := range map[string]any{
		"":                                             true,
		" \n ":                                         true,
		"jobs.a.outputs.n > 0":                         true,
		"jobs.a.outputs.n == 5":                        true,
		"jobs.a.outputs.n == '5'":                      true, // a text is read as a number
		"jobs.a.outputs.s > 5":                         true,
		"jobs.a.outputs.s > '5'":                       false, // texts compare as texts
		"jobs.a.outputs.f < 1":                         true,
		"jobs.a.outputs.n == -5":                       false,
		"0 < jobs.a.outputs.n < 10":                    true,
		"0 < jobs.a.outputs.n < 5":                     false,
		"jobs.a.outputs.t == true":                     true,
		"jobs.a.outputs.t == TRUE":                     true,
		"(true)":                                       true,
		"jobs.a.outputs.b == 'true'":                   true,
		"jobs.a.outputs.b == 'yes'":                    false,
		"jobs.a.outputs.x == null":                     true,
		"jobs.a.outputs.x != None":                     false,
		"jobs.a.outputs.x > 0":                         false, // no order with null
		"jobs.a.outputs.x <= 0":                        false,
		"not jobs.a.outputs.x":                         true,
		"jobs.a.outputs.l":                             true,
		"jobs.a.outputs.none":                          false,
		"jobs.a.outputs.e":                             false,
		"jobs.a.outputs.t":                             true,
		"jobs.a.outputs.w":                             typeError,
		"jobs.a.outputs.w > 1":                         typeError,
		"jobs.a.outputs.w == 1":                        false,
		"jobs.a.outputs.l > 1":                         typeError,
		"jobs.a.outputs.d.k.v == 1":                    true,
		"jobs.a.outputs.n.k == null":                   true,
		"jobs.a.status == 'SUCCESS'":                   true,
		"jobs.b.status == \"SKIPPED\"":                 true,
		"jobs.b.skip_reason == 'condition=false'":      true,
		"jobs.b.skip_trigger == null":                  true,
		"jobs.a.outputs.big == 9007199254740993":       true,
		"jobs.a.outputs.big == 9007199254740992":       false,
		"jobs.a.outputs.n > 9 or jobs.a.outputs.n < 6": true,
		"jobs.a.outputs.n > 9 and jobs.a.outputs.w":    false, // the first decides
		"jobs.a.outputs.w and false":                   false,
		"jobs.a.outputs.w or 1 > 2":                    typeError,
		"true == 1 and 0 == false and true != 2":       true,
		"true < 2":                                     typeError,
		"not jobs.a.outputs.n > 9 and not false":       true,
		"(jobs.a.outputs.n > 9 or true) == true":       true,
		"jobs.a.outputs.u == null and 'a\\'b' == \"a'b\" and 1e3==1000": true,
		"1.5 > 1 >= 1.0 != 2": true,
	} {
		e, err := gate.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got any
		got, err = e.Eval(look(t, jobs))
		if _, is := errors.AsType[*gate.TypeError](err); is {
			got = typeError
		}
		if got != want {
			t.Errorf("%s: got %v (%v), want %v", text, got, err, want)
		}
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"jobs.a.outputs.n >":             "the end",
		"jobs.a.outputs.n = 5":           "write ==",
		"jobs.a.outputs.n && true":       "write and",
		"jobs.a.outputs.n + 1 > 2":       "no arithmetic",
		"jobs.a.outputs.n - 1 > 2":       `"-"`,
		"len(jobs.a.outputs.n) > 2":      "no name but jobs",
		"jobs.a.outputs.n in [1]":        "no in",
		"jobs.a.outputs['n']":            "no indexing",
		"jobs.a.outputs":                 "the key of an output",
		"jobs.a":                         "one of status",
		"jobs":                           "the id of a job",
		"jobs.a.state == 1":              "status, skip_reason",
		"jobs._a.status == 1":            "must not begin with _",
		"jobs.a.outputs._n":              "must not begin with _",
		"jobs.a.status.x":                "is a text",
		"jobs.a.status()":                "there are none",
		"env.X == 1":                     "no name but jobs",
		"jobs.a.status == SUCCESS":       "texts are in quotes",
		"'a":                             "second",
		"'a\nb'":                         "end in its line",
		`'\x'`:                           `stands before none`,
		"1 == 1e999":                     "too large",
		"12a == 1":                       "goes on with",
		"(1 == 1":                        "')'",
		"1 == 1)":                        "the end",
		"not":                            "the end",
		"a if b else c":                  "no name but jobs",
		"jobs.é.status":                  "means nothing",
		"jobs.a.status == 'a' jobs":      "the end",
		strings.Repeat("(", 65) + "1":    "deeper than 64",
		strings.Repeat("not ", 65) + "1": "deeper than 64",
		strings.Repeat(" ", 4097):        "4096 bytes",
		"{{env.X}} == 1":                 "without braces",
		"lambda: 1":                      "no name but jobs",
	} {
		_, err := gate.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", text, err, want)
		}
	}
}

// FuzzGate: any text gives an expression or a fault that lies in it, and any expression a verdict or a type error.
func FuzzGate(f *testing.F) {
	for _, text := range []string{"jobs.a.outputs.n > 0 and not (jobs.b.status == 'SKIPPED' or false)", "1 < 2.5e3 <= -7", "'a\\n' == \"b\"", "((", "jobs.a.outputs.d.k", "not not null"} {
		f.Add(text)
	}
	value := look(f, jobs)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := gate.Parse(text)
		if err != nil {
			fault, is := errors.AsType[*gate.Fault](err)
			if !is || fault.Offset < 0 || fault.Offset > len(text) || fault.Reason == "" {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		for _, r := range e.Refs() {
			if !strings.HasPrefix(r.String(), "jobs."+r.Job+".") || strings.HasPrefix(r.Job, "_") {
				t.Fatalf("%q names %s", text, r)
			}
		}
		first, err := e.Eval(value)
		second, again := e.Eval(value)
		if first != second || (err == nil) != (again == nil) {
			t.Fatalf("%q: %v %v, then %v %v", text, first, err, second, again)
		}
		if _, is := errors.AsType[*gate.TypeError](err); err != nil && !is {
			t.Fatalf("%q: %T", text, err)
		}
	})
}
