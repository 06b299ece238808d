package reference

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Field is a row of a table: a member of an object, or of an object inside that.
type Field struct {
	Name       string // auth.type, files[].path, env.*
	Type, Text string // in Markdown
	Default    string // in Markdown; empty: none
	Required   bool   // of a member of the outermost object; one further inside says it in Text
}

// node is the part of a JSON Schema that a table shows.
type node struct {
	Type        any               `json:"type"`
	Description string            `json:"description"`
	Default     json.RawMessage   `json:"default"`
	Const       json.RawMessage   `json:"const"`
	Enum        []json.RawMessage `json:"enum"`
	Properties  members           `json:"properties"`
	Required    []string          `json:"required"`
	Items       json.RawMessage   `json:"items"`
	Values      json.RawMessage   `json:"additionalProperties"`
	OneOf       []json.RawMessage `json:"oneOf"`
	AnyOf       []json.RawMessage `json:"anyOf"`
	Minimum     *json.Number      `json:"minimum"`
	Maximum     *json.Number      `json:"maximum"`
}

// members are the properties of an object in the order of the text.
type members []member

type member struct {
	name   string
	schema json.RawMessage
}

// UnmarshalJSON keeps the order, which a map would lose.
func (m *members) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return errors.Join(err, errors.New("properties are not an object"))
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		one := member{name: fmt.Sprint(name)}
		if err := d.Decode(&one.schema); err != nil {
			return err
		}
		*m = append(*m, one)
	}
	return nil
}

// read decodes a schema; true and false say nothing.
func read(schema json.RawMessage) (node, error) {
	var n node
	if text := bytes.TrimSpace(schema); len(text) == 0 || text[0] != '{' {
		return n, nil
	}
	err := json.Unmarshal(schema, &n)
	return n, err
}

// Fields are the rows of an object's schema.
func Fields(schema json.RawMessage) ([]Field, error) {
	n, err := read(schema)
	if err != nil {
		return nil, err
	}
	return n.rows("", 0)
}

// deepest is how far inside a table goes; nobody reads further.
const deepest = 4

func (n node) rows(prefix string, depth int) ([]Field, error) {
	if depth == deepest {
		return nil, nil
	}
	var all []Field
	for _, m := range n.Properties {
		inner, err := read(m.schema)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", prefix, m.name, err)
		}
		f := Field{Name: prefix + m.name, Type: inner.words(), Text: cell(inner.Description), Default: inner.fallback()}
		required := slices.Contains(n.Required, m.name)
		f.Required = required && depth == 0
		if required && depth > 0 {
			f.Text = strings.TrimSuffix("required; "+f.Text, "; ")
		}
		below, err := inner.below(f.Name, depth)
		if err != nil {
			return nil, err
		}
		all = append(append(all, f), below...)
	}
	return all, nil
}

// below are the rows of the objects inside: its own members, those of its elements, and those of its values.
func (n node) below(name string, depth int) ([]Field, error) {
	all, err := n.rows(name+".", depth+1)
	for _, inside := range []struct {
		schema json.RawMessage
		prefix string
	}{{n.Items, name + "[]."}, {n.Values, name + ".*."}} {
		inner, bad := read(inside.schema)
		rows, worse := inner.rows(inside.prefix, depth+1)
		all, err = append(all, rows...), errors.Join(err, bad, worse)
	}
	return all, err
}

// words is the type of a value, as people say it.
func (n node) words() string {
	if len(n.Const) > 0 {
		return "`" + cell(string(n.Const)) + "`"
	}
	if len(n.Enum) > 0 {
		var all []string
		for _, value := range n.Enum {
			if string(value) != "null" {
				all = append(all, "`"+strings.Trim(cell(string(value)), `"`)+"`")
			}
		}
		return strings.Join(all, " ")
	}
	for _, forms := range [][]json.RawMessage{n.OneOf, n.AnyOf} {
		if word := either(forms); word != "" {
			return word
		}
	}
	var all []string
	for _, name := range n.types() {
		all = append(all, n.word(name))
	}
	if len(all) == 0 {
		return "any"
	}
	return strings.Join(all, " or ") + n.bounds()
}

// either is the type of a value that may have several forms.
func either(forms []json.RawMessage) string {
	var all []string
	for _, form := range forms {
		n, err := read(form)
		if err != nil {
			continue
		}
		if word := n.words(); word != "null" && word != "any" && !slices.Contains(all, word) {
			all = append(all, word)
		}
	}
	return strings.Join(all, " or ")
}

// types are the names of the types that are allowed, without null: that is the same as no value.
func (n node) types() []string {
	var all []string
	switch t := n.Type.(type) {
	case string:
		all = append(all, t)
	case []any:
		for _, name := range t {
			if name := fmt.Sprint(name); name != "null" {
				all = append(all, name)
			}
		}
	}
	return all
}

// word is one type; of a list and of an object with keys of any name, with that of its values.
func (n node) word(name string) string {
	inside := map[string]json.RawMessage{"array": n.Items, "object": n.Values}[name]
	inner, err := read(inside)
	if err != nil || len(inside) == 0 || len(inner.Properties) > 0 {
		return name
	}
	switch word := inner.words(); {
	case word == "any":
		return name
	case name == "array":
		return "array of " + plural(word)
	default:
		return "object of " + plural(word)
	}
}

func plural(word string) string {
	first, rest, more := strings.Cut(word, " ")
	if strings.HasPrefix(first, "`") {
		return word
	}
	if more {
		rest = " " + rest
	}
	return first + "s" + rest
}

// bounds are the least and the largest number.
func (n node) bounds() string {
	switch {
	case n.Minimum != nil && n.Maximum != nil:
		return fmt.Sprintf(", %s to %s", *n.Minimum, *n.Maximum)
	case n.Minimum != nil && *n.Minimum != "0":
		return fmt.Sprintf(", at least %s", *n.Minimum)
	case n.Maximum != nil:
		return fmt.Sprintf(", at most %s", *n.Maximum)
	}
	return ""
}

func (n node) fallback() string {
	if len(n.Default) == 0 || string(n.Default) == "null" {
		return ""
	}
	return "`" + cell(string(n.Default)) + "`"
}

// whole is what a schema says of itself, as a sentence.
func whole(schema json.RawMessage, otherwise string) string {
	n, err := read(schema)
	if err != nil || n.Description == "" {
		return otherwise
	}
	return strings.TrimSuffix(n.Description, ".") + "."
}

// cell keeps a text within its cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", "").Replace(strings.TrimSpace(text))
}

// Undescribed are the fields that a schema says nothing of.
func Undescribed(schema json.RawMessage) ([]string, error) {
	all, err := Fields(schema)
	var bare []string
	for _, f := range all {
		if strings.TrimSuffix(f.Text, "required") == "" {
			bare = append(bare, f.Name)
		}
	}
	return bare, err
}
