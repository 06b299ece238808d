package llm

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// values are the inputs that messages may take: all that the executor does not know itself, such as results of dependencies. None of them
// can be a key: those are in inputs that it knows.
type values map[string]json.RawMessage

func valuesOf(all map[string]json.RawMessage) values {
	v := values{}
	for name, raw := range all {
		if !slices.Contains(own, name) && !strings.HasPrefix(name, "_") {
			v[name] = raw
		}
	}
	return v
}

// place is where a text takes a value: {{name}}, or {{name.field.0}} for a part of it. {{!name}} stands for {{name}} itself.
var place = regexp.MustCompile(`\{\{\s*(!?)\s*([\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)*)\s*\}\}`)

// fill puts values into a text once: what they hold is not looked at again.
func (p *plan) fill(at, text string, v values) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	return place.ReplaceAllStringFunc(text, func(found string) string {
		match := place.FindStringSubmatch(found)
		if match[1] == "!" {
			return "{{" + match[2] + "}}"
		}
		value, ok := v.find(match[2])
		if !ok {
			p.fault("%s: {{%.100s}} is no input, and no part of one (write {{!%.100s}} for the text itself)", at, match[2], match[2])
		}
		return value
	})
}

// find is a value as text: a text as it is, anything else as JSON.
func (v values) find(path string) (string, bool) {
	names := strings.Split(path, ".")
	value, ok := v[names[0]]
	for _, name := range names[1:] {
		if !ok {
			return "", false
		}
		value, ok = member(value, name)
	}
	if !ok {
		return "", false
	}
	var text string
	if json.Unmarshal(value, &text) == nil && bytes.HasPrefix(bytes.TrimSpace(value), []byte(`"`)) {
		return text, true
	}
	return string(value), true
}

func member(value json.RawMessage, name string) (json.RawMessage, bool) {
	var object map[string]json.RawMessage
	if json.Unmarshal(value, &object) == nil {
		found, ok := object[name]
		return found, ok
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return nil, false
	}
	var i uint
	if json.Unmarshal([]byte(name), &i) != nil || i >= uint(len(list)) {
		return nil, false
	}
	return list[i], true
}
