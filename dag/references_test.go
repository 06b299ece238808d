package dag

import (
	"encoding/json"
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
		if got := References(json.RawMessage(tt.inputs), merged); !slices.Equal(got, tt.want) {
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
				References(text, text)
			}
		})
	}
}
