package flows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag/treedoc"
)

type schema = map[string]any

// Schema is the JSON Schema (draft-07, which editors know best) of flow documents. Of the inputs of executors it knows keys and descriptions.
func Schema(executors []treedoc.ExecutorInputs) ([]byte, error) {
	out := objectSchema(fileKeys)
	out["$schema"], out["title"], out["description"] = "http://json-schema.org/draft-07/schema#", "Taskgrove flow", "A flow: jobs of steps with strict templates."
	step := objectSchema(stepKeys)
	types := []any{withLock, forEach, callFlow}
	rules := []any{schema{
		"if":   schema{"properties": schema{"type": schema{"const": withLock}}, "required": []any{"type"}},
		"then": schema{"properties": schema{"inputs": objectSchema(withLockKeys)}, "required": []any{"inputs"}},
	}, schema{
		"if":   schema{"properties": schema{"type": schema{"const": forEach}}, "required": []any{"type"}},
		"then": schema{"properties": schema{"inputs": objectSchema(forEachKeys)}, "required": []any{"inputs"}},
	}, schema{
		"if":   schema{"properties": schema{"type": schema{"const": callFlow}}, "required": []any{"type"}},
		"then": schema{"properties": schema{"inputs": objectSchema(callKeys)}, "required": []any{"inputs"}},
	}}
	for _, e := range executors {
		if e.ID == pluginExecutor {
			continue // a bundle says the types that it stands behind
		}
		short := strings.TrimSuffix(e.ID, executorSuffix)
		names := []any{short}
		if short != e.ID {
			names = append(names, e.ID)
		}
		types = append(types, names...)
		var s struct {
			Properties map[string]struct {
				Description string `json:"description"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(e.Inputs, &s); err != nil {
			return nil, fmt.Errorf("inputs of %s: %w", e.ID, err)
		}
		if len(s.Properties) == 0 {
			continue
		}
		properties := schema{}
		for name, p := range s.Properties {
			properties[name] = schema{"description": p.Description}
		}
		rules = append(rules, schema{
			"if":   schema{"properties": schema{"type": schema{"enum": names}}, "required": []any{"type"}},
			"then": schema{"properties": schema{"inputs": schema{"properties": properties}}},
		})
	}
	step["properties"].(schema)["type"].(schema)["anyOf"] = []any{schema{"enum": types}, schema{}} // completed by editors, and others are allowed
	step["allOf"] = rules
	out["definitions"] = schema{
		"step": step, "job": objectSchema(jobKeys), "handler": objectSchema(handlerKeys), "lock": objectSchema(lockKeys), "retry": objectSchema(retryKeys), "resource": objectSchema(resourceKeys),
		"parameter": objectSchema(parameterKeys), "need": objectSchema(needKeys),
	}
	return written(out)
}

func written(s schema) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(s)
	return b.Bytes(), err
}

// ManifestSchema is the JSON Schema (draft-07) of manifests of bundles.
func ManifestSchema() ([]byte, error) {
	out := objectSchema(manifestKeys)
	out["$schema"], out["title"], out["description"] = "http://json-schema.org/draft-07/schema#", "Taskgrove bundle", "The manifest of a bundle: where it comes from, and what holds for its runs."
	return written(out)
}

// definitions are the objects that several keys have, by the first of their keys' tables.
var definitions = []struct {
	keys *[]key
	name string
}{
	{&stepKeys, "step"}, {&jobKeys, "job"}, {&handlerKeys, "handler"}, {&lockKeys, "lock"}, {&retryKeys, "retry"}, {&resourceKeys, "resource"}, {&parameterKeys, "parameter"}, {&needKeys, "need"},
}

func objectSchema(keys []key) schema {
	properties := schema{}
	var required []any
	for _, k := range keys {
		s := k.shape.schema()
		s["description"] = plainWords(k)
		properties[k.name] = s
		if k.required {
			required = append(required, k.name)
			s["not"] = schema{"type": "null"}
		}
	}
	out := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if required != nil {
		out["required"] = required
	}
	return out
}

func (s *shape) schema() schema {
	switch s.form {
	case text:
		out := schema{"type": []any{"string", "null"}}
		if s.enum != nil {
			values := []any{nil}
			for _, v := range s.enum {
				values = append(values, v)
			}
			out = schema{"enum": values}
		} else if s.most > 0 {
			out["maxLength"] = int(s.most)
		}
		return out
	case integer, number:
		out := schema{"type": []any{map[form]string{integer: "integer", number: "number"}[s.form], "null"}, "minimum": s.least}
		if s.most != 0 {
			out["maximum"] = s.most
		}
		return out
	case boolean:
		return schema{"anyOf": []any{schema{"type": []any{"boolean", "null"}}, schema{"type": "string", "pattern": "^([Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff])$"}}}
	case object:
		for _, d := range definitions {
			if len(s.keys) > 0 && &(*d.keys)[0] == &s.keys[0] {
				return schema{"anyOf": []any{schema{"$ref": "#/definitions/" + d.name}, schema{"type": "null"}}}
			}
		}
		out := objectSchema(s.keys)
		out["type"] = []any{"object", "null"}
		return out
	case table:
		out := schema{"type": []any{"object", "null"}, "additionalProperties": s.of.schema()}
		if s.ident {
			out["propertyNames"] = schema{"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
		}
		return out
	case list:
		items := s.of.schema()
		return schema{"type": []any{"array", "null"}, "items": items}
	case either:
		var of []any
		for i := range s.either {
			of = append(of, s.either[i].schema())
		}
		return schema{"anyOf": of}
	}
	return schema{}
}

var pageLink = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`)

// plainWords are what a key does, without Markdown.
func plainWords(k key) string {
	out := k.effect
	if !k.required && k.byDefault != "" && k.byDefault != "none" {
		out += " Default: " + k.byDefault + "."
	}
	return strings.ReplaceAll(pageLink.ReplaceAllString(out, "$1"), "`", "")
}

// ReferencePage is the text of docs/flows/reference.md.
func ReferencePage() string {
	var b strings.Builder
	b.WriteString("<!-- Generated from the tables of keys in package flows by \"go generate ./flows\". Do not edit. -->\n\n# The YAML of flows\n\n" +
		"Every key of a flow document. A key that is not listed where it stands is an error, and so is a value of another type. `null` is the same as a missing key. Texts are strict:\n" +
		"`id: 5` is a number. `yes`, `no`, `on` and `off` mean true and false where a boolean is expected, and are texts elsewhere. Where templates are rendered, the column says when:\n" +
		"[Templates](templating.md) has what they may name then. `taskgrove schema flow` prints the JSON Schema, for editors.\n")
	for _, part := range []struct {
		title string
		keys  []key
	}{
		{"Keys of the file", fileKeys}, {"Keys of flow", flowKeys}, {"Keys of workspace", workspaceKeys}, {"Keys of locks", locksKeys}, {"Keys of a parameter", parameterKeys}, {"Keys of a resource", resourceKeys},
		{"Keys of a job", jobKeys}, {"Keys of an entry of depends_on", needKeys}, {"Keys of a step", stepKeys}, {"Keys of retry", retryKeys}, {"Keys of lock", lockKeys}, {"Inputs of with_lock", withLockKeys},
		{"Inputs of foreach", forEachKeys}, {"Keys of a step in a foreach", inEachKeys}, {"Inputs of flow", callKeys},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		writeKeys(&b, part.keys)
	}
	return b.String()
}

// writeKeys is a table of keys.
func writeKeys(b *strings.Builder, keys []key) {
	b.WriteString("| key | type | default | templates | what it does | example |\n|---|---|---|---|---|---|\n")
	for _, k := range keys {
		byDefault := k.byDefault
		if k.required {
			byDefault = "required"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | `%s` |\n", k.name, k.shape.words(), byDefault, k.shape.rendered(), k.effect, strings.ReplaceAll(k.example, "|", "\\|"))
	}
}

// words are the type, for the reference.
func (s *shape) words() string {
	switch s.form {
	case text:
		if s.enum != nil {
			return "`" + strings.Join(s.enum, "`, `") + "`"
		}
		return "text"
	case integer, number:
		word := map[form]string{integer: "integer", number: "number"}[s.form]
		if s.most != 0 && s.most < 1<<30 {
			return fmt.Sprintf("%s from %s to %s", word, digits(s.least), digits(s.most))
		}
		return word
	case boolean:
		return "boolean"
	case object, table:
		return "map"
	case list:
		return "list"
	case either:
		var words []string
		for i := range s.either {
			words = append(words, s.either[i].words())
		}
		return strings.Join(slices.Compact(words), " or ")
	}
	return "any"
}

// rendered says when templates in the value are rendered.
func (s *shape) rendered() string {
	switch p := s.phase; {
	case s.form == table && s.of.form == text:
		return s.of.rendered()
	case p == atMeta, p == atLock:
		return "when the run is made"
	case p == atResource:
		return "when the resource is needed"
	case p == atInput, p == atItems:
		return "before each attempt"
	case p == atOutput:
		return "after the step"
	}
	return "none"
}
