package treetest

import (
	"bytes"
	"encoding/json"

	"github.com/taskgrove/taskgrove/dag"
)

type object = map[string]any

// Schema is the JSON Schema of mocks files, for editors.
func Schema() ([]byte, error) {
	outcomes := object{"enum": dag.Outcomes()}
	inner := map[string]object{ // what is in the keys of these names
		"attempt":    {"anyOf": []any{object{"type": "integer", "minimum": 1}, object{"type": "array", "minItems": 1, "items": object{"type": "integer", "minimum": 1}}, null}},
		"mocks":      {"type": "object", "additionalProperties": object{"anyOf": []any{ref("mock"), object{"type": "array", "items": ref("mock")}}}},
		"default":    ref("mock"),
		"events":     {"type": []any{"array", "null"}, "maxItems": maxEvents, "items": ref("event")},
		"expect":     ref("expect"),
		"cases":      {"type": []any{"array", "null"}, "minItems": 1, "maxItems": maxCases, "items": ref("case")},
		"tasks":      {"type": []any{"object", "null"}, "additionalProperties": object{"anyOf": []any{outcomes, ref("task")}}},
		"order":      {"type": []any{"array", "null"}, "items": object{"anyOf": []any{object{"type": "string", "minLength": 1}, object{"type": "array", "minItems": 2, "items": object{"type": "string", "minLength": 1}}}}},
		"taskgrove":  {"const": 1},
		"parameters": {"type": []any{"object", "null"}},
	}
	of := func(keys []key, required ...string) object {
		properties := object{}
		for _, k := range keys {
			shape, special := inner[k.name]
			if !special {
				shape = shapes[k.kind]
			}
			described := object{"description": plain(k.effect)}
			for name, v := range shape {
				described[name] = v
			}
			properties[k.name] = described
		}
		out := object{"type": "object", "additionalProperties": false, "properties": properties}
		if len(required) > 0 {
			out["required"] = required
		}
		return out
	}
	task := of(taskKeys)
	task["properties"].(object)["outcome"] = object{"anyOf": []any{outcomes, null}, "description": plain(taskKeys[0].effect)}
	expect := of(expectKeys)
	expect["properties"].(object)["outcome"] = object{"enum": []any{statuses[0], statuses[1], statuses[2], nil}, "description": plain(expectKeys[0].effect)}
	schema := of(fileKeys, "taskgrove")
	schema["$schema"], schema["title"] = "https://json-schema.org/draft/2020-12/schema", "Mocks of a tree's tasks, and what is expected of it"
	schema["properties"].(object)["$schema"] = object{"type": "string"}
	schema["$defs"] = object{"case": of(caseKeys, "name"), "mock": of(mockKeys), "event": of(eventKeys, "at"), "expect": expect, "task": task}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(schema)
	return out.Bytes(), err
}

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

var null = object{"type": "null"}

// shapes are what the kinds of keys mean.
var shapes = map[string]object{
	"text": {"type": []any{"string", "null"}}, "object": {"type": []any{"object", "null"}}, "list": {"type": []any{"array", "null"}}, "boolean": {"type": []any{"boolean", "null"}},
	"number": {"type": []any{"integer", "null"}, "minimum": 0}, "any": {},
	"duration": {"anyOf": []any{object{"type": "number", "minimum": 0, "maximum": maxTime.Seconds()}, object{"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?(h|m|s|ms))+$`}, null}},
}

// plain is a sentence without its links.
func plain(effect string) string {
	return links.ReplaceAllString(effect, "$1")
}
