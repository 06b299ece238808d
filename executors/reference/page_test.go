package reference_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/reference"
)

func page(t *testing.T, e reference.Entry) string {
	t.Helper()
	text, err := reference.Page(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRowsOfATable(t *testing.T) {
	for schema, want := range map[string]string{
		`{"properties": {"a": {"type": "string", "description": "x|y"}}, "required": ["a"]}`:                                       "| `a` (required) | string |  | x\\|y |",
		`{"properties": {"a": {"type": ["integer", "null"], "default": 3, "minimum": 1, "maximum": 9}}}`:                           "| `a` | integer, 1 to 9 | `3` |  |",
		`{"properties": {"a": {"enum": ["x", "y", null]}}}`:                                                                        "| `a` | `x` `y` |  |  |",
		`{"properties": {"a": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}}}`:                   "| `a` | string or array of strings |  |  |",
		`{"properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}}}`:                                    "| `a` | object of strings |  |  |",
		`{"properties": {"a": {"properties": {"b": {"type": "string"}}, "required": ["b"]}}}`:                                      "| `a.b` | string |  | required |",
		`{"properties": {"a": {"type": "array", "items": {"type": "object", "properties": {"b": {"description": "deep"}}}}}}`:      "| `a[].b` | any |  | deep |",
		`{"properties": {"a": {"type": "object", "additionalProperties": {"properties": {"b": {"type": "boolean"}}}}, "c": true}}`: "| `a.*.b` | boolean |  |  |",
		`{"description": "Results of dependencies"}`:                                                                               "\nResults of dependencies.\n",
	} {
		text := page(t, reference.Entry{Description: executors.Description{ID: "x", Inputs: json.RawMessage(schema)}})
		if !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%s", schema, want, text)
		}
	}
}

func TestPageHasAllItsParts(t *testing.T) {
	text := page(t, reference.Entry{
		Description: executors.Description{
			ID: "x_executor", Name: "X", Description: "Does x.", Type: "stdio", Secrets: true, Repeatable: true,
			Connection: &executors.Connection{Types: []string{"ssh"}, Fields: []string{"host", "password"}},
			Examples:   []executors.Example{{Title: "Do it", Inputs: json.RawMessage(`{"b": "yes", "a": ["one\ntwo"]}`)}},
		},
		Prose: "First words.\n\n## More\n\nLast words.\n", Off: "nobody wants it",
	})
	at := 0
	for _, want := range []string{
		"# x_executor\n\nDoes x. First words.\n", "| off by default | nobody wants it |", "| slots by default | 16 |", "| takes secrets | yes |",
		"## Examples\n\nDo it:\n\n```yaml\ntasks:\n- name: Do it\n", "method: x_executor", "b: \"yes\"", "## Inputs", "## Secrets and connections", "`ssh`",
		"`host`, `password`", "## Result", "## More\n\nLast words.\n",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("no %q after the first %d bytes of\n%s", want, at, text)
		}
		at += i
	}
}

func TestFaultsAreNamed(t *testing.T) {
	for name, d := range map[string]executors.Description{
		"x: inputs: ":      {ID: "x", Inputs: json.RawMessage(`{`)},
		"x: output: ":      {ID: "x", Output: json.RawMessage(`{"properties": 1}`)},
		"x: example \"e\"": {ID: "x", Examples: []executors.Example{{Title: "e", Inputs: json.RawMessage(`{`)}}},
	} {
		if _, err := reference.Page(reference.Entry{Description: d}); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	if _, err := reference.Overview([]byte("# Executors\n"), nil); err == nil {
		t.Error("an overview without marks is taken")
	}
}

func TestUndescribed(t *testing.T) {
	got, err := reference.Undescribed(json.RawMessage(`{"properties": {"a": {"description": "x", "properties": {"b": {}}, "required": ["b"]}, "c": {}}}`))
	if want := []string{"a.b", "c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
