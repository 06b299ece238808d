package websocket

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
)

// rule says which messages are meant. All of it must hold; nil means no message, an empty one every message.
type rule struct {
	Contains string                     `json:"contains"`
	Fields   map[string]json.RawMessage `json:"fields"`

	wanted map[string]any // Fields, decoded
}

// check says what is wrong with a rule, in a text that follows its name.
func (r *rule) check() error {
	if r == nil {
		return nil
	}
	if r.Contains == "" && len(r.Fields) == 0 {
		return errors.New(" must have contains or fields")
	}
	r.wanted = make(map[string]any, len(r.Fields))
	for name, raw := range r.Fields {
		value, err := decode(raw)
		if err != nil {
			return errors.New(".fields is not JSON")
		}
		r.wanted[name] = value
	}
	return nil
}

// holds reports whether a message is meant. value is the message if it is JSON.
func (r *rule) holds(text []byte, value any, isJSON bool) bool {
	if r.Contains != "" && !bytes.Contains(text, []byte(r.Contains)) {
		return false
	}
	for name, want := range r.wanted {
		got, ok := at(value, name)
		if !isJSON || !ok || !same(got, want) {
			return false
		}
	}
	return true
}

// at finds a value by its name, or by a JSON pointer (RFC 6901).
func at(value any, name string) (any, bool) {
	path := []string{name}
	if strings.HasPrefix(name, "/") {
		path = strings.Split(name[1:], "/")
		for i := range path {
			path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(path[i])
		}
	}
	for _, step := range path {
		switch inner := value.(type) {
		case map[string]any:
			next, ok := inner[step]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(inner) || strconv.Itoa(i) != step {
				return nil, false
			}
			value = inner[i]
		default:
			return nil, false
		}
	}
	return value, true
}

// decode reads JSON and keeps numbers as they are written.
func decode(text []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&value)
	return value, err
}

// same compares values of JSON: numbers by their value, all else as it is.
func same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, errX := a.Float64()
		y, errY := b.Float64()
		return a == b || errX == nil && errY == nil && x == y && !integral(a, b)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, value := range a {
			if other, ok := b[name]; !ok || !same(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// integral reports whether both numbers are written as whole ones, whose digits say more than a float can.
func integral(a, b json.Number) bool {
	return !strings.ContainsAny(string(a+b), ".eE")
}
