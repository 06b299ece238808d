package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// property is one of an object's schema.
type property struct {
	name   string
	schema json.RawMessage
}

// members are those of a valid object, in their order.
func members(object json.RawMessage) (all []property) {
	for quoted, value := range rawjson.Members(object) {
		name, _ := rawjson.Unquote(quoted)
		all = append(all, property{name, value})
	}
	return all
}

// member is the value of one member; nil: there is none.
func member(object json.RawMessage, name string) json.RawMessage {
	for _, m := range members(object) {
		if m.name == name {
			return m.schema
		}
	}
	return nil
}

// properties are those of a schema, in their order.
func properties(schema json.RawMessage) []property { return members(member(schema, "properties")) }

// object writes an object.
func object(all []property) json.RawMessage {
	out := []byte{'{'}
	for i, m := range all {
		if i > 0 {
			out = append(out, ',')
		}
		name, _ := json.Marshal(m.name) //nolint:errchkjson // text
		out = append(append(append(out, name...), ':'), m.schema...)
	}
	return append(out, '}')
}

// without is the schema of what is left open when some fields are taken. It has the form that all services take for a tool: an object with
// properties, without a choice at the top. What it leaves out, the executor checks. No other fields are allowed, unless the schema says
// so or names none at all.
func without(schema json.RawMessage, taken []string) json.RawMessage {
	var fields []property
	for _, p := range properties(schema) {
		if !slices.Contains(taken, p.name) {
			fields = append(fields, p)
		}
	}
	var required []string
	_ = json.Unmarshal(member(schema, "required"), &required) // a faulty schema requires nothing
	required = slices.DeleteFunc(required, func(name string) bool { return slices.Contains(taken, name) })
	all := []property{{"type", json.RawMessage(`"object"`)}, {"properties", object(fields)}}
	if len(required) > 0 {
		text, _ := json.Marshal(required) //nolint:errchkjson // texts
		all = append(all, property{"required", text})
	}
	further := member(schema, "additionalProperties")
	if further == nil {
		further = fmt.Append(nil, len(properties(schema)) == 0)
	}
	all = append(all, property{"additionalProperties", further})
	for _, name := range []string{"$defs", "definitions"} {
		if value := member(schema, name); value != nil {
			all = append(all, property{name, value})
		}
	}
	return object(all)
}

// only is the schema of some fields of an object, none of which is required.
func only(schema json.RawMessage, names []string) json.RawMessage {
	var fields []property
	for _, p := range properties(schema) {
		if slices.Contains(names, p.name) {
			fields = append(fields, p)
		}
	}
	all := []property{{"type", json.RawMessage(`"object"`)}, {"properties", object(fields)}}
	for _, name := range []string{"$defs", "definitions", "additionalProperties"} {
		if value := member(schema, name); value != nil {
			all = append(all, property{name, value})
		}
	}
	return object(all)
}

// maxSchema is the largest schema of a tool, in bytes: each question to a model has it.
const maxSchema = 64 << 10

// fit is a schema as all services take it: of an object, with properties, if only none.
func fit(schema json.RawMessage) (json.RawMessage, error) {
	if len(schema) == 0 {
		schema = json.RawMessage(`{"type":"object"}`)
	}
	if len(schema) > maxSchema {
		return nil, fmt.Errorf("it has %d bytes, at most %d", len(schema), maxSchema)
	}
	if err := inputs.Usable(schema); err != nil {
		return nil, err
	}
	if string(member(schema, "type")) != `"object"` {
		return nil, errors.New("it is not of an object")
	}
	if member(schema, "properties") == nil {
		schema = object(append(members(schema), property{"properties", json.RawMessage(`{}`)}))
	}
	return schema, nil
}
