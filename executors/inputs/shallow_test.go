package inputs

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestKeeps(t *testing.T) {
	const typed = `{"type": "object", "description": "d", "properties": {"free": {"title": "t", "default": 1}, "n": {"type": "integer"}}}`
	for name, row := range map[string]struct {
		schema, inputs string
		want           bool
	}{
		"nothing that is spoken of":   {typed, `{"free": {"a": [1]}, "more": "x"}`, true},
		"a member with a rule":        {typed, `{"n": 1}`, false},
		"its name as a value":         {typed, `{"free": "n"}`, false},
		"its name, hidden":            {typed, `{"\u006e": "x"}`, false},
		"what must be there":          {`{"required": ["a"]}`, `{"b": 1}`, false},
		"no other members":            {`{"additionalProperties": false}`, `{"b": 1}`, false},
		"a rule for names":            {`{"patternProperties": {"^x": {"type": "string"}}}`, `{"b": 1}`, false},
		"another type":                {`{"type": "array"}`, `{}`, false},
		"several types":               {`{"type": ["object", "null"]}`, `{}`, false},
		"a rule that is false":        {`{"properties": {"a": false}}`, `{"a": 1}`, false},
		"a schema that says nothing":  {`{}`, `{"a": 1}`, true},
		"a schema that allows all":    {`true`, `{"a": 1}`, false}, // is looked at, and kept
		"a name that JSON escapes":    {`{"properties": {"<": {"type": "string"}}}`, `{"<": 1}`, false},
		"a name with another's in it": {typed, `{"nn": 1}`, true},
	} {
		c, err := compile(standard, []byte(row.schema))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := c.keeps([]byte(row.inputs)); got != row.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// FuzzKeeps: what is let pass without being decoded passes when it is.
func FuzzKeeps(f *testing.F) {
	for _, schema := range []string{`{"properties":{"n":{"type":"integer"},"o":{"description":"x"}}}`, `{"type":"object","properties":{"<":{"const":1}}}`, `{"maxProperties":1}`} {
		for _, in := range []string{`{"n":"x"}`, `{"o":{"n":1}}`, `{"<":2}`, `{"\u003c":2}`, `{"a":1,"b":2}`} {
			f.Add(schema, in)
		}
	}
	f.Fuzz(func(t *testing.T, schema, in string) {
		c, err := compile(standard, []byte(schema))
		if err != nil || !strings.HasPrefix(in, "{") || !c.keeps([]byte(in)) {
			return
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(in))
		if err != nil {
			return // the executor's to see
		}
		if err := c.schema.Validate(value); err != nil {
			t.Errorf("%q was let pass: %v", in, err)
		}
	})
}
