package dag_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestWhatTellsEqualTasks: two tasks have the same text if a run of one gives what a run of the other would, and only then.
func TestWhatTellsEqualTasks(t *testing.T) {
	type asked struct {
		executor, submitted, merged, params, schemas, scope string
		task                                                string
		control                                             dag.Control
	}
	cache := func(key, version string) *dag.Cache { return &dag.Cache{Key: key, Version: version, For: time.Hour} }
	base := asked{executor: "e", submitted: `{"a":1,"b":"x"}`, task: "t", control: dag.Control{Cache: cache("", "")}}
	with := func(change func(*asked)) asked {
		a := base
		change(&a)
		return a
	}
	text := func(a asked) string {
		t.Helper()
		raw := func(s string) json.RawMessage {
			if s == "" {
				return nil
			}
			return json.RawMessage(s)
		}
		merged := a.merged
		if merged == "" {
			merged = a.submitted
		}
		out, err := dag.CacheText(&dag.Rendering{TaskID: a.task, TreeID: "r", UserID: "u", Attempt: 1}, a.executor, &a.control, raw(a.submitted), raw(merged), raw(a.params), raw(a.schemas), raw(a.scope), 1<<20)
		if err != nil {
			return "an error"
		}
		return string(out)
	}
	for fact, same := range map[string]asked{
		"another task":                with(func(a *asked) { a.task = "s" }),
		"in another order and spelt":  with(func(a *asked) { a.submitted = `{ "b":"\u0078", "a":1.0}` }),
		"no params are empty ones":    with(func(a *asked) { a.params, a.schemas = "{}", "null" }),
		"another age":                 with(func(a *asked) { a.control.Cache = &dag.Cache{For: time.Minute} }),
		"another condition":           with(func(a *asked) { a.control.When = "true" }),
		"merged instead of submitted": with(func(a *asked) { a.submitted, a.merged = `{"a":1}`, `{"a":1,"b":"x"}` }),
		"a template of the same value": with(func(a *asked) {
			a.submitted, a.scope, a.control.Template = `{"a":"{{deps.d.result}}","b":"x"}`, `{"deps":{"d":{"result":1}}}`, true
		}),
	} {
		if text(same) != text(base) {
			t.Errorf("%s: differs\n%q\n%q", fact, text(same), text(base))
		}
	}
	for fact, other := range map[string]asked{
		"the executor":         with(func(a *asked) { a.executor = "f" }),
		"the version":          with(func(a *asked) { a.control.Cache = cache("", "2") }),
		"an input":             with(func(a *asked) { a.submitted = `{"a":2,"b":"x"}` }),
		"the type of an input": with(func(a *asked) { a.submitted = `{"a":"1","b":"x"}` }),
		"a further input":      with(func(a *asked) { a.submitted = `{"a":1,"b":"x","c":null}` }),
		"params":               with(func(a *asked) { a.params = `{"p":1}` }),
		"schemas":              with(func(a *asked) { a.schemas = `{"p":1}` }),
		"outputs":              with(func(a *asked) { a.control.Outputs = json.RawMessage(`{"o":"{{result}}"}`) }),
		"a key":                with(func(a *asked) { a.control.Cache = cache(`{"a":1,"b":"x"}`, "") }),
		"a template": with(func(a *asked) {
			a.submitted, a.scope, a.control.Template = `{"a":"{{deps.d.result}}","b":"x"}`, `{"deps":{"d":{"result":2}}}`, true
		}),
		"a template that fails": with(func(a *asked) { a.submitted, a.control.Template = `{"a":"{{deps.d.result}}","b":"x"}`, true }),
		"a text like a template": with(func(a *asked) {
			a.submitted, a.scope = `{"a":"{{deps.d.result}}","b":"x"}`, `{"deps":{"d":{"result":1}}}`
		}),
	} {
		if text(other) == text(base) {
			t.Errorf("%s does not count: %q", fact, text(other))
		}
	}
	key := with(func(a *asked) { a.control.Cache = cache("{{inputs.b}}", "") })
	if text(key) != text(with(func(a *asked) { a.submitted, a.control.Cache = `{"b":"x","a":99}`, cache("{{inputs.b}}", "") })) {
		t.Error("inputs count beside a key")
	}
	if text(key) == text(with(func(a *asked) { a.submitted, a.control.Cache = `{"b":"y","a":1}`, cache("{{inputs.b}}", "") })) {
		t.Error("a key does not count")
	}
	rendered := func(value string) asked {
		return with(func(a *asked) {
			a.submitted, a.scope, a.control.Template, a.control.Cache = `{"b":"{{deps.d.result}}"}`, `{"deps":{"d":{"result":"`+value+`"}}}`, true, cache("{{inputs.b}}", "")
		})
	}
	if text(key) != text(rendered("x")) || text(rendered("y")) == text(rendered("x")) {
		t.Error("a key is over the inputs as they are submitted, not as they are rendered")
	}
	names := with(func(a *asked) { a.submitted = `{"p":{"secret":"s"}}` })
	looks := with(func(a *asked) {
		a.submitted, a.scope, a.control.Template = `{"p":"{{deps.d.result}}"}`, `{"deps":{"d":{"result":{"secret":"s"}}}}`, true
	})
	if text(names) == text(looks) || text(looks) == "an error" {
		t.Error("what names a secret, and what looks as if it did, are told by the same text")
	}
}
