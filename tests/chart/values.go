package chart

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Where the values are, and what is made of them, in the repository.
const (
	ValuesFile = "charts/taskgrove/values.yaml"
	SchemaFile = "charts/taskgrove/values.schema.json"
	PageFile   = "docs/chart-values.md"
)

// object is a JSON object.
type object = map[string]any

// Values are what values.yaml says: a tree of keys, in the file's order.
type Values struct{ root value }

// value is a key with its default, and the keys below it unless it is closed.
type value struct {
	key, path, text string
	schema          object // as the file says it; nil: by the default
	def             any
	below           []*value
}

// closed: what is below a key is not listed, since the schema says what it may hold.
func (v *value) closed() bool {
	return v.schema["$ref"] != nil || v.schema["type"] != nil || v.schema["enum"] != nil
}

var keyLine = regexp.MustCompile(`^( *)([A-Za-z][A-Za-z0-9_-]*):(?: |$)`)

// Read reads a file of values. The comment above a key is its text; a line "@schema {...}" in it is its schema.
func Read(file string) (*Values, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var defaults object
	if err := yaml.Unmarshal(text, &defaults); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	out := &Values{value{def: defaults}}
	stack := []*value{&out.root} // by depth: the key that lines of that depth are below
	var comment []string
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		if words, ok := strings.CutPrefix(trimmed, "#"); ok {
			comment = append(comment, strings.TrimSpace(words))
			continue
		}
		m := keyLine.FindStringSubmatch(line)
		depth := 0
		if m != nil {
			depth = len(m[1]) / 2
		}
		if m == nil || depth >= len(stack) { // blank, an item of a list, or within a closed key
			comment = nil
			continue
		}
		parent := stack[depth]
		v := &value{key: m[2], path: strings.TrimPrefix(parent.path+"."+m[2], "."), def: parent.def.(object)[m[2]]}
		if err := v.read(comment); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		comment = nil
		parent.below = append(parent.below, v)
		stack = stack[:depth+1]
		if _, isObject := v.def.(object); isObject && !v.closed() {
			stack = append(stack, v)
		}
	}
	return out, nil
}

func (v *value) read(comment []string) error {
	var text []string
	for _, line := range comment {
		schema, ok := strings.CutPrefix(line, "@schema ")
		if !ok {
			text = append(text, line)
		} else if err := json.Unmarshal([]byte(schema), &v.schema); err != nil {
			return fmt.Errorf("schema of %s: %w", v.path, err)
		}
	}
	v.text = strings.Join(text, " ")
	return nil
}

// Schema is the JSON Schema by which Helm judges values.
func (v *Values) Schema() ([]byte, error) {
	root, err := v.root.toSchema()
	if err != nil {
		return nil, err
	}
	defs := definitions()
	for _, top := range v.root.below {
		if top.key == "workerDefaults" {
			defs["group"] = root["properties"].(object)[top.key]
			root["properties"].(object)[top.key] = object{"$ref": "#/$defs/group"}
		}
	}
	root["$schema"], root["$defs"], root["title"] = "https://json-schema.org/draft/2020-12/schema", defs, "Values of the chart taskgrove"
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	err = out.Encode(root)
	return b.Bytes(), err
}

func (v *value) toSchema() (object, error) {
	out := object{}
	if v.text != "" {
		out["description"] = v.text
	}
	if kind := kindOf(v.def); v.schema["$ref"] == nil && v.schema["enum"] == nil {
		if kind == "" || kind == "array" && v.schema["type"] == nil {
			return nil, fmt.Errorf("%s: its default does not tell its type: add @schema", v.path)
		}
		out["type"] = kind
	}
	if len(v.below) > 0 {
		properties := object{}
		for _, child := range v.below {
			schema, err := child.toSchema()
			if err != nil {
				return nil, err
			}
			properties[child.key] = schema
		}
		out["properties"], out["additionalProperties"] = properties, false
	} else if out["type"] == "object" && !v.closed() {
		return nil, fmt.Errorf("%s: an object without keys needs @schema", v.path)
	}
	maps.Copy(out, v.schema)
	return out, nil
}

func kindOf(def any) string {
	switch def.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case uint64, int64:
		return "integer"
	case object:
		return "object"
	case []any:
		return "array"
	}
	return ""
}

const page = `<!-- Generated from charts/taskgrove/values.yaml by "go generate ./tests/chart". Do not edit. -->

# Values of the chart

What the chart [taskgrove](kubernetes.md) takes. A value that is not listed here, or of another kind, is refused before anything is
installed, with its key: ` + "`values.schema.json`" + ` in the chart is made of the same file. Settings are those of [configuration](configuration.md).
`

// Markdown is the text of docs/chart-values.md.
func (v *Values) Markdown() []byte {
	var b bytes.Buffer
	b.WriteString(page)
	rows := func(of []*value) {
		if len(of) > 0 {
			b.WriteString("\n| value | default | what it is |\n|---|---|---|\n")
		}
		for _, r := range of {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.path, r.defaultText(), cmp.Or(r.cell(), strings.TrimSuffix(" ", " ")))
		}
	}
	single := slices.DeleteFunc(slices.Clone(v.root.below), func(r *value) bool { return len(r.below) > 0 })
	rows(single)
	for _, section := range v.root.below {
		if len(section.below) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n", section.key)
		if section.text != "" {
			fmt.Fprintf(&b, "\n%s\n", section.text)
		}
		rows(leaves(section))
	}
	return b.Bytes()
}

// leaves are the keys at the ends of the tree, with the texts of those above that have one in a cell of their own.
func leaves(of *value) (out []*value) {
	for _, v := range of.below {
		if len(v.below) == 0 || v.text != "" {
			out = append(out, v)
		}
		out = append(out, leaves(v)...)
	}
	return out
}

func (v *value) defaultText() string {
	if len(v.below) > 0 {
		return ""
	}
	if v.def == "" {
		return "none"
	}
	text, err := json.Marshal(v.def)
	if err != nil {
		panic(err) // it was read from YAML
	}
	return "`" + strings.ReplaceAll(strings.Trim(string(text), `"`), "|", `\|`) + "`"
}

func (v *value) cell() string {
	text := strings.ReplaceAll(v.text, "|", `\|`)
	if enum, ok := v.schema["enum"].([]any); ok {
		words := make([]string, len(enum))
		for i, e := range enum {
			words[i] = fmt.Sprintf("`%v`", e)
		}
		text = strings.TrimSpace(text + " One of " + strings.Join(words, ", ") + ".")
	}
	return text
}
