package treedoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ExecutorInputs is an executor, and the JSON Schema of its inputs.
type ExecutorInputs struct {
	ID     string
	Inputs json.RawMessage
}

// Schema is the JSON Schema (draft-07, which editors know best) of a document. It refuses each wrong shape that the reader refuses,
// and the words that likely mean a key; other unknown keys it allows. Of the executors' inputs it knows keys and descriptions; which of
// them are required and what they may hold is not said, as they may come from dependencies.
func Schema(executors []ExecutorInputs) ([]byte, error) {
	task := objectSchema(taskKeys, false)
	task["type"] = "object"
	task["required"] = []string{"name"}
	properties := task["properties"].(map[string]any)
	for _, name := range stored {
		properties[name] = map[string]any{"description": "Written by the engine; ignored in a submission."}
	}
	name := properties["name"].(map[string]any)
	name["type"] = "string" // null is no name

	var ids []any
	var rules []any
	for _, e := range executors {
		ids = append(ids, e.ID)
		rule, err := inputsOf(e)
		if err != nil {
			return nil, err
		}
		if rule != nil {
			rules = append(rules, rule)
		}
	}
	if len(rules) > 0 {
		task["allOf"] = rules
		method := properties["schemas"].(map[string]any)["properties"].(map[string]any)["method"].(map[string]any)
		method["anyOf"] = []any{map[string]any{"enum": ids}, map[string]any{}} // completed by editors, and others are allowed
	}
	list := map[string]any{"type": "array", "minItems": 1, "items": map[string]any{"$ref": "#/definitions/task"}}
	whole := map[string]any{
		"$schema":     "http://json-schema.org/draft-07/schema#",
		"title":       "Taskgrove tree",
		"description": "A tree of tasks: a list of tasks, one task, or an object with the list as its tasks.",
		"definitions": map[string]any{"task": task, "tasks": list},
		"oneOf": []any{
			map[string]any{"$ref": "#/definitions/tasks"},
			map[string]any{"allOf": []any{map[string]any{"$ref": "#/definitions/task"}, map[string]any{"not": map[string]any{"required": []string{"tasks"}}}}},
			map[string]any{
				"type": "object", "required": []string{"tasks"}, "additionalProperties": false,
				"properties": map[string]any{"tasks": map[string]any{"$ref": "#/definitions/tasks"}, schemaKey: map[string]any{"type": "string"}},
			},
		},
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(whole)
	return out.Bytes(), err
}

// objectSchema is that of an object with the keys; closed: with no others.
func objectSchema(keys []Key, closed bool) map[string]any {
	properties := map[string]any{}
	var wrong []any
	for _, k := range keys {
		s := k.Shape.schema(k.Keys, true)
		s["description"] = plainText(k)
		if k.Example != "" {
			s["examples"] = []any{json.RawMessage(k.Example)}
		}
		properties[k.Name] = s
		for _, m := range k.Meant {
			if m.as != "schemas.method" && !slices.Contains(wrong, any(m.word)) && !slices.ContainsFunc(keys, func(k Key) bool { return k.Name == m.word }) { // stored tasks have these keys, too
				wrong = append(wrong, m.word)
			}
		}
	}
	out := map[string]any{}
	if len(keys) > 0 {
		out["properties"] = properties
	}
	if len(wrong) > 0 {
		out["propertyNames"] = map[string]any{"not": map[string]any{"enum": wrong}}
	}
	if closed {
		out["additionalProperties"] = false
	}
	return out
}

// inputsOf says what the inputs of an executor's tasks are, as an editor shows it; nil: nothing is known.
func inputsOf(e ExecutorInputs) (any, error) {
	properties, err := inputProperties(e)
	if err != nil || properties == nil {
		return nil, err
	}
	return map[string]any{
		"if":   with("schemas", with("method", map[string]any{"enum": idsOf(e.ID)})),
		"then": map[string]any{"properties": map[string]any{"inputs": map[string]any{"properties": properties}}},
	}, nil
}

// inputProperties are the inputs of an executor with their descriptions; nil: nothing is known.
func inputProperties(e ExecutorInputs) (map[string]any, error) {
	var s struct {
		Properties map[string]struct {
			Description string          `json:"description"`
			Enum        json.RawMessage `json:"enum"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(e.Inputs, &s); err != nil {
		return nil, fmt.Errorf("inputs of %s: %w", e.ID, err)
	}
	if len(s.Properties) == 0 {
		return nil, nil
	}
	properties := map[string]any{}
	for name, p := range s.Properties {
		properties[name] = map[string]any{"description": p.Description}
	}
	return properties, nil
}

// with demands an object that has the key, and its value as the schema says.
func with(key string, schema map[string]any) map[string]any {
	return map[string]any{"type": "object", "required": []string{key}, "properties": map[string]any{key: schema}}
}

// idsOf are the ways to name an executor.
func idsOf(id string) []any {
	if short, ok := strings.CutSuffix(id, "_executor"); ok {
		return []any{id, short}
	}
	return []any{id}
}

// plainText is what a key does, without Markdown.
func plainText(k Key) string {
	text := noMarkdown.Replace(links.ReplaceAllString(k.Effect, "$1"))
	if k.Default != "" && k.Default != "required" && k.Default != "none" {
		text += " Default: " + noMarkdown.Replace(k.Default) + "."
	}
	return text
}
