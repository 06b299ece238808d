package treedoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// FileSchema is the JSON Schema (draft-07) of a tree file. It refuses each unknown key, and lets a parameter stand for any value. Of the executors'
// inputs it knows what [Schema] knows.
func FileSchema(executors []ExecutorInputs) ([]byte, error) {
	ref := func(to string) map[string]any { return map[string]any{"$ref": "#/definitions/" + to} }
	file := objectSchema(fileKeys, true)
	file["type"], file["required"] = "object", []string{FileKey, "name", "tasks"}
	file["patternProperties"] = map[string]any{"^x-": map[string]any{}}
	properties := file["properties"].(map[string]any)
	properties[schemaKey] = map[string]any{"type": "string"}
	of(properties, FileKey)["type"], of(properties, FileKey)["enum"] = "integer", []any{FileVersion}
	of(properties, "tasks")["type"] = "array"
	of(properties, "tasks")["items"], of(properties, "tasks")["minItems"] = ref("task"), 1
	parameter := objectSchema(parameterKeys, true)
	parameter["type"] = []string{"object", "null"}
	parameters := of(properties, "parameters")
	delete(parameters, "properties")
	delete(parameters, "propertyNames")
	parameters["propertyNames"] = map[string]any{"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
	parameters["additionalProperties"], parameters["maxProperties"] = parameter, 200
	for _, k := range fileKeys {
		switch k.Name {
		case FileKey, "parameters", "tasks": // which are written out
		case "defaults":
			withinTokens(of(properties, k.Name))
		default:
			properties[k.Name] = withTokens(of(properties, k.Name))
		}
	}

	task := objectSchema(fileTaskKeys, true)
	task["type"], task["required"] = "object", []string{"name"}
	in := task["properties"].(map[string]any)
	of(in, "name")["type"] = "string"
	of(in, "tasks")["items"], of(in, "tasks")["minItems"] = ref("task"), 1
	item := objectSchema(needKeys, true)
	item["type"], item["required"] = "object", []string{"task"}
	withinTokens(item)
	of(in, "needs")["items"] = map[string]any{"anyOf": []any{withTokens(reference.schema(nil, false)), item}}
	for _, k := range fileTaskKeys {
		switch k.Name {
		case "tasks", "needs":
		case "when":
			condition(of(in, k.Name))
		case "repeat":
			until := of(of(of(in, k.Name), "properties"), "until")
			in[k.Name] = withTokens(of(in, k.Name))
			of(of(in, k.Name)["anyOf"].([]any)[0].(map[string]any), "properties")["until"] = until
			condition(until)
		default:
			in[k.Name] = withTokens(of(in, k.Name))
		}
	}

	var ids, rules []any
	for _, e := range executors {
		short := strings.TrimSuffix(e.ID, "_executor")
		ids = append(ids, short)
		properties, err := inputProperties(e)
		if err != nil {
			return nil, err
		}
		if properties != nil {
			rules = append(rules, map[string]any{"if": with("executor", map[string]any{"enum": idsOf(e.ID)}),
				"then": map[string]any{"properties": map[string]any{"inputs": map[string]any{"properties": properties}}}})
		}
	}
	if len(rules) > 0 {
		task["allOf"] = rules
		executor := of(in, "executor")
		executor["anyOf"] = []any{map[string]any{"enum": ids}, map[string]any{}} // completed by editors, and others are allowed
	}
	file["$schema"], file["title"] = "http://json-schema.org/draft-07/schema#", "Taskgrove tree file"
	file["description"] = "A tree of tasks as people write it."
	file["definitions"] = map[string]any{"task": task, "token": map[string]any{"type": "string", "pattern": tokenPattern}, "text": map[string]any{"type": "string", "pattern": namesParameter}}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(file)
	return out.Bytes(), err
}

// tokenPattern is a text that is one token.
const tokenPattern = `^\{\{[ \t]*parameters\.[^{}]*\}\}\n?$`

// namesParameter is a text in which a token stands.
const namesParameter = `\{\{[ \t]*parameters\.`

func of(properties map[string]any, name string) map[string]any {
	return properties[name].(map[string]any)
}

// withTokens is the schema of a value that may name parameters, in all that is in it, too: where a text is meant, tokens may stand in the text; elsewhere one
// token stands for the value.
func withTokens(s map[string]any) map[string]any {
	withinTokens(s)
	token := "token"
	if takes(s, "string") {
		token = "text"
		if !slices.ContainsFunc([]string{"pattern", "enum", "minLength", "maxLength", "anyOf"}, func(bound string) bool { return s[bound] != nil }) {
			return s
		}
	}
	out := map[string]any{}
	for _, shown := range []string{"description", "examples"} {
		if v, ok := s[shown]; ok {
			out[shown] = v
			delete(s, shown)
		}
	}
	out["anyOf"] = []any{s, map[string]any{"$ref": "#/definitions/" + token}}
	return out
}

// withinTokens lets parameters be named in what is in a value.
func withinTokens(s map[string]any) {
	if properties, ok := s["properties"].(map[string]any); ok {
		for name := range properties {
			properties[name] = withTokens(of(properties, name))
		}
	}
	for _, of := range []string{"items", "additionalProperties"} {
		if inner, ok := s[of].(map[string]any); ok {
			s[of] = withTokens(inner)
		}
	}
	forms, _ := s["anyOf"].([]any)
	for _, form := range forms {
		withinTokens(form.(map[string]any))
	}
}

// takes reports whether a value of a type fits the schema in some form.
func takes(s map[string]any, of string) bool {
	if forms, ok := s["anyOf"].([]any); ok && s["type"] == nil {
		return slices.ContainsFunc(forms, func(form any) bool { return takes(form.(map[string]any), of) })
	}
	types, _ := s["type"].([]string)
	return s["type"] == nil || s["type"] == of || slices.Contains(types, of)
}

// condition refuses tokens: an expression names parameters as it names anything.
func condition(s map[string]any) {
	s["not"] = map[string]any{"type": "string", "pattern": namesParameter}
}

const fileReferenceHead = `<!-- Generated from the tables of keys in package treedoc by "go generate ./node". Do not edit. -->

# Reference of tree files

Every key of [a tree file](tree-files.md). A missing key and ` + "`null`" + ` are the same, but for what ` + "`defaults`" + ` say: a task with ` + "`timeout: null`" + ` has none. No
key may be given twice. A key that is not listed is refused, but for those at the top that begin with ` + "`x-`" + `: these are yours, and nothing reads them.
` + "`{{parameters.NAME}}`" + ` may stand for a value, and in any text, but for what is written out: ` + "`taskgrove`, `parameters`, `defaults` as a whole, lists of `tasks` and of `needs`" + `,
and conditions (` + "`when`, `until`" + `), which name parameters without braces.

[tree-file.schema.json](tree-file.schema.json) is the JSON Schema; ` + "`taskgrove schema tree`" + ` prints it.
`

// FileReference is the text of docs/tree-file-reference.md.
func FileReference() string {
	var b strings.Builder
	b.WriteString(fileReferenceHead)
	for _, part := range []struct {
		title string
		keys  []Key
	}{
		{"Keys of a file", fileKeys},
		{"Keys of a task", fileTaskKeys},
		{"Keys of needs", needKeys},
		{"Keys of a parameter", parameterKeys},
		{"Keys of defaults", defaultKeys},
		{"Keys of retry", retryKeys},
		{"Keys of repeat", repeatKeys},
		{"Keys of limits", limitKeys},
		{"Keys of lock", lockKeys},
		{"Keys of rates", rateKeys},
		{"Keys of schemas", without(schemasKeys, "method", "type")},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		table(&b, part.keys)
	}
	return b.String()
}
