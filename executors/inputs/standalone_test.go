package inputs_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/inputs"
)

func TestFaultsOfAText(t *testing.T) {
	t.Parallel()
	schema, err := inputs.Compile([]byte(`{"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n", "m"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{"n": 1, "m": 2}`:   "",
		`{"n": "hunter2"}`:   "missing property 'm'|n: got string, want number",
		`[]`:                 "got array, want object",
		`{"n": 1, "m": 2} x`: "it is not valid JSON",
		``:                   "it is not valid JSON",
	} {
		if got := strings.Join(schema.Faults([]byte(text)), "|"); got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
	for _, bad := range []string{``, `[]`, `{"$ref": "https://example.com/x"}`, `{"type": "text"}`} {
		if _, err := inputs.Compile([]byte(bad)); err == nil {
			t.Errorf("%s can be used", bad)
		}
	}
}
