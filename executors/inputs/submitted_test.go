package inputs_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

const submittedSchema = `{"type": "object", "required": ["url", "n"], "properties": {
	"url": {"type": "string"}, "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 9}, "auth": {"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}},
	"files": {"type": "array", "items": {"type": "object", "required": ["path"]}}, "any": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}}}`

func submitted() *inputs.Submitted {
	return inputs.NewSubmitted(slices.Values([]executors.Description{
		{ID: "x", Inputs: json.RawMessage(submittedSchema), Secrets: true, Connection: &executors.Connection{Fields: []string{"url"}}},
		{ID: "plain", Inputs: json.RawMessage(submittedSchema)},
		{ID: "any"},
		{ID: "bad", Inputs: json.RawMessage(`{"type": 1}`)},
	}))
}

// What templates will make of the inputs is not known, and what is beside them is.
func TestSubmittedTemplates(t *testing.T) {
	tree := submitted().Tree()
	for text, want := range map[string]string{
		`{"url": "{{deps.a.result.u}}", "n": "{{deps.a.result.n}}"}`:                                   "",
		`{"url": "u", "n": "x{{deps.a.result.n}}"}`:                                                    "", // a string in the end, which the worker says
		`{"url": "u", "n": "1"}`:                                                                       "n got string, want integer",
		`{"url": "{{deps.a.result.u}}"}`:                                                               "!n is required",
		`{"url": "u", "n": 1, "files": ["{{item}}", {}], "auth": "{{item}}", "any": [{}, "{{item}}"]}`: "files[1] missing property 'path'",
		`{"url": "u", "n": 1, "files": [{"\u0070ath": "\u007b{item}}"}], "auth": {"token": 7}}`:        "auth.token got number, want string",
	} {
		task := inputs.Task{Executor: "plain", Inputs: json.RawMessage(text), Templates: true}
		if got := told(tree(task)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		task.Executor, task.Schemas = "any", json.RawMessage(`{"input_schema": {"required": ["a"]}}`)
		if got := told(tree(task)); got != "" {
			t.Errorf("%s by the task's own schema: got %s", text, got)
		}
	}
}

// told is violations in one line.
func told(all []inputs.Violation) string {
	var texts []string
	for _, v := range all {
		text := v.Field + " " + v.Reason
		if v.Missing {
			text = "!" + text
		}
		if v.Own {
			text = "own: " + text
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

func TestSubmitted(t *testing.T) {
	tree := submitted().Tree()
	for fact, tt := range map[string]struct{ executor, inputs, schemas, want string }{
		"fine":                        {"x", `{"url": "u", "n": 1}`, ``, ""},
		"at the bounds":               {"x", `{"url": "u", "n": 9}`, ``, ""},
		"null":                        {"x", `{"url": "u", "n": null}`, ``, ""},
		"a whole number, as written":  {"x", `{"url": "u", "n": 1.0}`, ``, ""},
		"others' executors":           {"y", `{}`, ``, ""},
		"a schema that can't be used": {"bad", `{}`, ``, ""},
		"nothing":                     {"x", ``, ``, "!n is required; !url is required"},
		"named with an escape":        {"x", `{"\u0075rl": "u", "n": 1}`, ``, ""},
		"of twice the last counts":    {"x", `{"url": 1, "n": 1, "url": "u"}`, ``, ""},
		"and the first does not":      {"x", `{"url": "u", "n": 1, "url": 1}`, ``, "url got number, want string"},
		"not twice what is required":  {"x", `{"url": "u", "url": "u"}`, ``, "!n is required"},
		"too small":                   {"x", `{"url": "u", "n": 0}`, ``, "n must be at least 1"},
		"too large":                   {"x", `{"url": "u", "n": 10}`, ``, "n must be at most 9"},
		"no integer":                  {"x", `{"url": "u", "n": 1.5}`, ``, "n got number, want integer"},
		"wrong at any depth":          {"x", `{"url": "u", "n": 1, "files": [{"path": ""}, {}]}`, ``, "files[1] missing property 'path'"},
		"all at once":                 {"x", `{"n": "hunter2", "auth": {"token": 7}}`, ``, "auth.token got number, want string; n got string, want integer; !url is required"},
		"a secret fits":               {"x", `{"url": {"secret": "s"}, "n": {"secret": "s"}, "auth": {"secret": "s"}, "files": [{"secret": "s"}], "any": [{"secret": "s"}]}`, ``, ""},
		"beside a secret":             {"x", `{"url": {"secret": "s"}, "n": 1, "auth": {"secret": "s", "x": 1}}`, ``, "auth missing property 'token'"},
		"no secrets taken":            {"plain", `{"url": {"secret": "s"}, "n": 1}`, ``, "url got object, want string"},
		"of a connection":             {"x", `{"connection": "c", "n": 1}`, ``, ""},
		"of a connection, null":       {"x", `{"connection": "c", "url": null}`, ``, "!n is required"},
		"no connections taken":        {"plain", `{"connection": "c", "n": 1}`, ``, "!url is required"},
		"own: fine":                   {"any", `{"a": 1}`, `{"input_schema": {"properties": {"a": {"type": "integer"}}}}`, ""},
		"own: missing":                {"any", `{}`, `{"input_schema": {"required": ["a"]}}`, "own: !a is required"},
		"own: simplified":             {"any", `{"a": 1}`, `{"input_schema": {"a": {}}}`, "own: a got number, want string"},
		"own: unusable":               {"any", ``, `{"input_schema": {"type": "float"}}`, "own:  schemas.input_schema can't be used"},
		"own: secrets":                {"x", `{"url": {"secret": "s"}, "n": 1}`, `{"input_schema": {"required": ["a"]}}`, ""},
		"own: costly by reference":    {"any", ``, `{"input_schema": {"$ref": "#/$defs/a", "$defs": {"a": {"required": ["a"]}}}}`, ""},
		"own: costly by size":         {"any", `{"b": "` + strings.Repeat("x", 1<<20) + `"}`, `{"input_schema": {"required": ["a"]}}`, ""},
	} {
		got := told(tree(inputs.Task{Executor: tt.executor, Inputs: json.RawMessage(tt.inputs), Schemas: json.RawMessage(tt.schemas)}))
		if got != tt.want && (!strings.Contains(tt.want, "can't be used") || !strings.HasPrefix(got, tt.want)) {
			t.Errorf("%s: got %s, want %s", fact, got, tt.want)
		}
		// The worker says the same of what is final.
		if strings.Contains(tt.inputs, "secret") || strings.Contains(tt.inputs, `"connection"`) || tt.executor == "y" || tt.executor == "bad" || strings.Contains(fact, "costly") {
			continue
		}
		call := &executors.Call{Inputs: json.RawMessage(tt.inputs), Schemas: json.RawMessage(tt.schemas)}
		d := executors.Description{ID: "x"}
		if tt.executor != "any" {
			d.Inputs = json.RawMessage(submittedSchema)
		}
		if len(call.Inputs) == 0 {
			call.Inputs = json.RawMessage(`{}`)
		}
		if err := inputs.NewChecker(0).Check(d, call); (err == nil) != (got == "") {
			t.Errorf("%s: a worker says %v, the coordinator %q", fact, err, got)
		}
	}
}

// TestSubmittedWithDependencies tells only what no result can mend.
func TestSubmittedWithDependencies(t *testing.T) {
	tree := submitted().Tree()
	over := func(name string) bool { return name == "n" || name == "files" }
	for text, want := range map[string]string{
		`{}`:                         "",
		`{"url": "u", "n": 0}`:       "",
		`{"url": 1, "n": 0}`:         "url got number, want string",
		`{"files": [{}], "auth": 1}`: "auth got number, want object",
		`{"auth": {"token": null}}`:  "auth.token got null, want string",
	} {
		got := told(tree(inputs.Task{Executor: "x", Inputs: json.RawMessage(text), Overwrites: over, Schemas: json.RawMessage(`{"input_schema": {"required": ["a"]}}`)}))
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestTreeHasRoomForOwnSchemas: however many tasks bring schemas of their own, checking them has its bound.
func TestTreeHasRoomForOwnSchemas(t *testing.T) {
	tree := submitted().Tree()
	in := json.RawMessage(`{"b": "` + strings.Repeat("x", 64<<10) + `"}`)
	checked := 0
	for range 1000 {
		checked += len(tree(inputs.Task{Executor: "any", Inputs: in, Schemas: json.RawMessage(`{"input_schema": {"required": ["a"], "title": "` + strings.Repeat("t", 20) + `"}}`)}))
	}
	if checked == 0 || checked == 1000 {
		t.Errorf("%d of 1000 were checked", checked)
	}
}

// TestExamplesAreAccepted: what the documentation shows is refused by nobody.
func TestExamplesAreAccepted(t *testing.T) {
	tree := inputs.NewSubmitted(builtin.Catalogue()).Tree()
	n := 0
	for d := range builtin.Catalogue() {
		for _, e := range d.Examples {
			n++
			if got := tree(inputs.Task{Executor: d.ID, Inputs: e.Inputs}); len(got) > 0 {
				t.Errorf("%s: %s: %s", d.ID, e.Title, told(got))
			}
		}
	}
	if n == 0 {
		t.Error("there are no examples")
	}
}

func BenchmarkSubmitted(b *testing.B) {
	for _, bm := range []struct{ executor, inputs string }{
		{"noop_executor", fmt.Sprintf(`{"value":{"ok":true,"output":"%s"},"url":"%s"}`, strings.Repeat("r", 76), strings.Repeat("u", 150))},
		{"sleep_executor", `{"seconds":0.5}`},
		{"rest_executor", `{"url":"https://example.org/orders","method":"POST","json":{"id":7,"lines":[1,2,3]},"headers":{"X-A":"b"}}`},
	} {
		b.Run(bm.executor, func(b *testing.B) {
			tree := inputs.NewSubmitted(builtin.Catalogue()).Tree()
			task := inputs.Task{Executor: bm.executor, Inputs: json.RawMessage(bm.inputs)}
			b.ReportAllocs()
			for b.Loop() {
				if got := tree(task); len(got) > 0 {
					b.Fatal(told(got))
				}
			}
		})
	}
}
