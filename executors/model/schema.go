package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors/inputs"
)

// maxSchema bounds a schema, which goes along with each question.
const maxSchema = 64 << 10

// apart are the keywords that no format takes at the root of a schema.
var apart = []string{"anyOf", "oneOf", "allOf", "not", "if", "enum", "const", "$ref", "$dynamicRef"}

// schemaFaults are why no format can express a schema of an answer: both want a plain object at its root.
func schemaFaults(schema json.RawMessage) (faults []string) {
	if len(schema) > maxSchema {
		return []string{fmt.Sprintf("it has %d bytes, the most is %d", len(schema), maxSchema)}
	}
	if _, err := inputs.Compile(schema); err != nil {
		return []string{"it can't be used: " + err.Error()}
	}
	var root map[string]json.RawMessage
	if json.Unmarshal(schema, &root) != nil || root == nil {
		return []string{"it must be an object"}
	}
	if kind, ok := root["type"]; ok && string(kind) != `"object"` || !ok && root["properties"] == nil {
		faults = append(faults, `an answer is an object: at its root it needs "type": "object"`)
	}
	for _, keyword := range apart {
		if _, ok := root[keyword]; ok {
			faults = append(faults, fmt.Sprintf("%s at its root is nothing that models can be asked for", keyword))
		}
	}
	return faults
}

// asObject is a schema that says at its root what it is of.
func asObject(schema json.RawMessage) json.RawMessage {
	var root map[string]json.RawMessage
	if json.Unmarshal(schema, &root) != nil || root["type"] != nil {
		return schema
	}
	root["type"] = json.RawMessage(`"object"`)
	out, _ := json.Marshal(root) // it was read
	return out
}

// strictly are the keywords that OpenAI's strict schemas may have.
var strictly = []string{"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "description", "title", "$defs", "definitions", "$ref",
	"pattern", "format", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "minItems", "maxItems"}

// strict reports whether OpenAI can hold a model to a schema: all fields are required, none is let in besides, and nothing else is used than
// it knows. Others guide the model, and the answer is checked here.
func strict(schema json.RawMessage) bool {
	var any map[string]json.RawMessage
	if json.Unmarshal(schema, &any) != nil {
		return false
	}
	for keyword := range any {
		if !slices.Contains(strictly, keyword) {
			return false
		}
	}
	var s struct {
		Properties  map[string]json.RawMessage `json:"properties"`
		Required    []string                   `json:"required"`
		More        json.RawMessage            `json:"additionalProperties"`
		Items       json.RawMessage            `json:"items"`
		AnyOf       []json.RawMessage          `json:"anyOf"`
		Defs        map[string]json.RawMessage `json:"$defs"`
		Definitions map[string]json.RawMessage `json:"definitions"`
		Type        json.RawMessage            `json:"type"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return false
	}
	if s.Properties != nil || bytes.Contains(s.Type, []byte(`"object"`)) {
		if string(s.More) != "false" || len(s.Required) != len(s.Properties) {
			return false
		}
		for _, name := range s.Required {
			if s.Properties[name] == nil {
				return false
			}
		}
	}
	parts := s.AnyOf
	for _, set := range []map[string]json.RawMessage{s.Properties, s.Defs, s.Definitions} {
		for _, part := range set {
			parts = append(parts, part)
		}
	}
	if s.Items != nil {
		parts = append(parts, s.Items)
	}
	return !slices.ContainsFunc(parts, func(part json.RawMessage) bool { return !strict(part) })
}

// structured is the JSON of an answer, and what is wrong with it by the schema.
func structured(schema *inputs.Schema, text string) (value json.RawMessage, faults []string) {
	text = unfenced(text)
	if text == "" {
		return nil, []string{"it is empty"}
	}
	var any json.RawMessage
	if err := unmarshal([]byte(text), &any); err != nil {
		return nil, []string{err.Error()}
	}
	return any, schema.Faults(any)
}

// unfenced is what stands in the first code fence of a text that is no JSON object itself: models like to put JSON there, with words around.
func unfenced(text string) string {
	text = strings.TrimSpace(text)
	_, inner, fenced := strings.Cut(text, "```")
	if strings.HasPrefix(text, "{") || !fenced {
		return text
	}
	_, inner, _ = strings.Cut(inner, "\n") // a language
	inner, _, closed := strings.Cut(inner, "```")
	if !closed {
		return text
	}
	return strings.TrimSpace(inner)
}
