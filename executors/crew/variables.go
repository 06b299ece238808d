package crew

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// variables are the inputs, which take the places of {name} in the texts of a crew. They are data: a value is put in as it is, and what looks
// like a variable in it is none.
type variables map[string]json.RawMessage

// pattern finds {name}, {name.field} and, in double braces, what shall stay as it is. It is the reference's but for fields.
var pattern = regexp.MustCompile(`\{\{[A-Za-z_][A-Za-z0-9_\-]*\}\}|\{[A-Za-z_][A-Za-z0-9_\-]*(?:\.[A-Za-z0-9_\-]+)*\}`)

// fill puts values into the places of variables. A variable that is no input is a fault.
func (v variables) fill(path, text string, f *faults) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return pattern.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "{{") {
			return found[1 : len(found)-1]
		}
		name, fields, deep := strings.Cut(found[1:len(found)-1], ".")
		value, known := v[name]
		switch {
		case !known && deep: // in the reference no variable either
			return found
		case !known:
			hint := ""
			if meant := nearest(name, slices.Sorted(maps.Keys(v))); meant != "" {
				hint = ": did you mean {" + meant + "}?"
			}
			fault := path + ": variable {" + cut(name, 60) + "} is not in inputs" + hint
			if !slices.Contains(*f, fault) {
				f.add("%s", fault)
			}
			return found
		}
		if deep {
			if value, known = within(value, strings.Split(fields, ".")); !known {
				f.add("%s: input %s has no %s", path, cut(name, 60), cut(fields, 60))
				return found
			}
		}
		return shown(value)
	})
}

// within is the field of a field of a value.
func within(value json.RawMessage, fields []string) (json.RawMessage, bool) {
	for _, name := range fields {
		next, ok := fieldsOf(value)[name]
		if !ok {
			return nil, false
		}
		value = next
	}
	return value, true
}

// shown is a value as text: a text itself, anything else as JSON.
func shown(value json.RawMessage) string {
	if kindOf(value) == "text" {
		text, _ := rawjson.Unquote(value)
		return text
	}
	return string(value)
}
