package a2a

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// values are the members of an object, as they were sent.
type values map[string]json.RawMessage

// valuesOf reads an object; absent or null is an empty one. what names it in the fault. rename changes its names; nil keeps them.
func valuesOf(raw json.RawMessage, what string, rename func(string) string) (values, error) {
	v := values{}
	if absent(raw) {
		return v, nil
	}
	if raw[0] != '{' {
		return nil, invalid("%s must be an object", what)
	}
	for quoted, value := range rawjson.Members(raw) {
		name, whole := rawjson.Unquote(quoted)
		if !whole {
			return nil, invalid("%s must be an object whose names are valid Unicode", what)
		}
		if rename != nil {
			name = rename(name)
		}
		if _, twice := v[name]; twice {
			return nil, invalid("%s.%s must not be there twice", what, name)
		}
		v[name] = value
	}
	return v, nil
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// camel is a name as the wire has it: context_id is contextId (spec 6.1).
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i, part := range parts[1:] {
		if part != "" {
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}

// maxTextBytes bounds each text that is a parameter: ids, messages, keys.
const maxTextBytes = 4096

// text is a string; empty when absent.
func (v values) text(name string) (string, error) {
	raw := v[name]
	if absent(raw) {
		return "", nil
	}
	if raw[0] != '"' {
		return "", invalid("%s must be a string", name)
	}
	s, whole := rawjson.Unquote(raw)
	if !whole || !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(s) > maxTextBytes {
		return "", invalid("%s must be text of at most %d bytes without NUL", name, maxTextBytes)
	}
	return s, nil
}

// flag is a boolean; false when absent.
func (v values) flag(name string) (bool, error) {
	switch raw := v[name]; {
	case absent(raw), string(raw) == "false":
		return false, nil
	case string(raw) == "true":
		return true, nil
	}
	return false, invalid("%s must be true or false", name)
}

// object puts values together again.
func (v values) object() json.RawMessage { return encode(map[string]json.RawMessage(v)) }
