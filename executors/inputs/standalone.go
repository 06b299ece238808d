package inputs

import (
	"bytes"
	"encoding/json"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is a compiled JSON Schema for texts that are no inputs, such as a model's answer. Safe for concurrent use.
type Schema struct{ compiled *compiled }

// Compile compiles one. Its errors are safe to show.
func Compile(text []byte) (*Schema, error) {
	c, err := compile(standard, text)
	if err != nil {
		return nil, err
	}
	return &Schema{c}, nil
}

// Faults are the violations of a schema that is no input's by a JSON text, by field, without its values; nil: it is as the schema says. The schema is
// kept for the next time.
func (c *Checker) Faults(schema, text json.RawMessage) []string {
	s, err := c.compiled(standard, schema)
	if err != nil {
		return []string{"the schema can't be used: " + err.Error()}
	}
	return (&Schema{s}).Faults(text)
}

// Faults are the violations of a JSON text, by field, without its values; nil: it is as the schema says.
func (s *Schema) Faults(text []byte) []string {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return []string{"it is not valid JSON"}
	}
	missing, other := violations(s.compiled, value)
	var all []string
	for _, name := range missing {
		all = append(all, "missing property '"+name+"'")
	}
	return append(all, other...)
}
