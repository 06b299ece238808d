package dag

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// TestReferencesAreOfTheSubmission: what a result writes into inputs, in any of the ways that there are, names nothing.
func TestReferencesAreOfTheSubmission(t *testing.T) {
	const schema = `{"input_schema":{"properties":{"token":{},"connection":{}}}}`
	for fact, tt := range map[string]struct {
		inputs, schemas, result string
		legacy                  bool
		want                    []string
	}{
		"nothing is named":                   {`{"a":1,"b":"secrets"}`, `{}`, ``, false, nil},
		"what is none after all":             {`{"a":1,"b":"secret"}`, `{}`, ``, false, []string{"b"}},
		"a secret":                           {`{"a":1,"token":{"secret":"x"}}`, `{}`, ``, false, []string{"token"}},
		"within others":                      {`{"env":{"A":[{"secret":"x"}]},"b":{}}`, `{}`, ``, false, []string{"env"}},
		"a connection":                       {`{"connection":"db"}`, `{}`, ``, false, []string{"connection"}},
		"a connection elsewhere":             {`{"a":{"connection":"db"}}`, `{}`, ``, false, nil},
		"beside a result":                    {`{"token":{"secret":"x"}}`, `{}`, `{"a":1}`, false, []string{"token"}},
		"in a result":                        {`{"a":"\"secret\""}`, `{}`, `{"token":{"secret":"x"}}`, false, nil},
		"in a result, by the schema":         {`{"a":{"secret":"x"}}`, schema, `{"token":{"secret":"y"},"connection":"db"}`, false, []string{"a"}},
		"overwritten by the schema":          {`{"token":{"secret":"x"},"connection":"db"}`, schema, `{"token":{"secret":"y"},"connection":"other"}`, false, nil},
		"overwritten by a legacy dependency": {`{"token":{"secret":"x"},"b":{"secret":"x"}}`, `{}`, `{"token":{"secret":"y"}}`, true, []string{"b"}},
		"overwritten by the dependency's id": {`{"d":{"secret":"x"}}`, `{}`, `{"secret":"y"}`, false, nil},
		"overwritten by the same":            {`{"token":{"secret":"x"}}`, schema, `{"token":{"secret":"x"}}`, false, []string{"token"}},
		"added by a legacy dependency":       {`{"a":{"secret":"x"}}`, `{}`, `{"b":{"secret":"x"},"connection":"db"}`, true, []string{"a"}},
		"overwritten under an escaped name":  {`{"token":{"secret":"x"}}`, `{}`, `{"tok\u0065n":{"secret":"y"}}`, true, nil},
		"written with escapes":               {`{"a":{"\u0073ecret":"x"}}`, `{}`, ``, false, nil},
		"what people allow":                  {`{"allow_commands":true,"executors":["x"]}`, `{}`, `{"a":1}`, false, []string{"allow_commands", "executors"}},
		"what a result allows":               {`{"executors":["x"]}`, `{}`, `{"allow_commands":true,"executors":["y"]}`, true, nil},
		"no inputs":                          {`null`, `{}`, `{"secret":"x"}`, true, nil},
	} {
		var deps []DependencyResult
		if tt.result != "" {
			deps = []DependencyResult{{Ref: "d", Result: json.RawMessage(tt.result), Legacy: tt.legacy}}
		}
		merged, err := Merge(json.RawMessage(tt.inputs), json.RawMessage(tt.schemas), deps)
		if err != nil {
			t.Fatalf("%s: %v", fact, err)
		}
		if got := References("x", nil, json.RawMessage(tt.inputs), merged); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q of %s, want %q", fact, got, merged, tt.want)
		}
	}
}

// BenchmarkReferences: what names nothing costs a look.
func BenchmarkReferences(b *testing.B) {
	for name, inputs := range map[string]string{
		"nothing": `{"url":"https://api.example/orders","method":"POST","json":{"id":7,"items":[1,2,3]},"timeout":30}`,
		"secret":  `{"url":"https://api.example/orders","auth":{"type":"bearer","token":{"secret":"orders"}}}`,
	} {
		b.Run(name, func(b *testing.B) {
			text := json.RawMessage(inputs)
			b.ReportAllocs()
			for b.Loop() {
				References("x", nil, text, text)
			}
		})
	}
}

// TestReferencesOfItems: an input into which an item was put is data, if it might name something, and inputs that hold tasks are told of by name.
func TestReferencesOfItems(t *testing.T) {
	inputs := json.RawMessage(`{"a":{"secret":"x"},"b":{"secret":"y"},"task":{"name":"t"}}`)
	merged := json.RawMessage(`{"a":{"secret":"x"},"b":{"secret":"y"},"task":{"name":"t"},"tasks":[]}`)
	for _, tt := range []struct {
		executor string
		control  *Control
		want     []string
	}{{"rest_executor", nil, []string{"a", "b"}}, {"rest_executor", &Control{Data: []string{"a"}}, []string{"b"}}, {"map_executor", nil, []string{"a", "b", "task"}}} {
		if got := References(tt.executor, tt.control, inputs, merged); !slices.Equal(got, tt.want) {
			t.Errorf("%s, %+v: got %q, want %q", tt.executor, tt.control, got, tt.want)
		}
	}
	if got := References("map_executor", nil, json.RawMessage(`{"task":{"name":"t"}}`), json.RawMessage(`{"task":{"name":"from elsewhere"}}`)); len(got) > 0 {
		t.Errorf("a task that a dependency wrote is told of as %q", got)
	}
}

// TestReferencesOfSubtrees: a tree, and the name of one, are told of if they are as they were submitted.
func TestReferencesOfSubtrees(t *testing.T) {
	submitted := json.RawMessage(`{"tree":[],"copy_of":"x","inputs":{"a":{"b":1}}}`)
	if got := References(SubtreeExecutor, nil, submitted, submitted); !slices.Equal(got, []string{"tree", "copy_of"}) {
		t.Errorf("got %q", got)
	}
	if got := References(SubtreeExecutor, nil, submitted, json.RawMessage(`{"tree":[{}],"copy_of":"y"}`)); len(got) > 0 {
		t.Errorf("what a dependency wrote is told of as %q", got)
	}
	if got := References("map_executor", nil, json.RawMessage(`{"copy_of":"x"}`), json.RawMessage(`{"copy_of":"x"}`)); len(got) > 0 {
		t.Errorf("an input of another executor is told of as %q", got)
	}
}

// TestFixedTexts are those that say what no value from elsewhere may.
func TestFixedTexts(t *testing.T) {
	inputs := json.RawMessage(`{"connection":"c","allow_commands":["x",{"y":"z"}],"headers":[{"a":{"secret":"s"}},{"secret":"n","b":1}],"task":{"inputs":{"a":{"secret":"inner"}}}}`)
	got := map[string]string{}
	for at, text := range FixedTexts("map_executor", inputs) {
		got[at] = text
	}
	want := map[string]string{"connection": "c", "allow_commands[0]": "x", "allow_commands[1].y": "z", "headers[0].a.secret": "s"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestAddItem: whatever else there is for templates stays.
func TestAddItem(t *testing.T) {
	c := &Control{Item: json.RawMessage(`{"n":"{{x}}"}`), Index: 3}
	for scope, want := range map[string]string{"": `{"item":{"n":"{{x}}"},"index":3}`, `{}`: `{"item":{"n":"{{x}}"},"index":3}`, `{"deps":{"a":{}}}`: `{"item":{"n":"{{x}}"},"index":3,"deps":{"a":{}}}`} {
		if got := c.AddItem([]byte(scope)); string(got) != want {
			t.Errorf("%s: got %s, want %s", scope, got, want)
		}
	}
	if got := (&Control{}).AddItem(nil); got != nil {
		t.Errorf("without an item there is %s", got)
	}
}
