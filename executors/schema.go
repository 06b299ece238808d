package executors

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Schema is the JSON Schema of what encoding/json reads into a T.
//
//   - Fields have the names that encoding/json gives them, and those of embedded structs are promoted by its rules: the least
//     deep one of a name counts, then the one whose tag has the name, and of several such ones none.
//   - A field is required unless it is a pointer or reached through one, or its json tag has omitempty or omitzero.
//   - `jsonschema:"…"` is a field's description; `enum:"a,b"` lists the values of a string, `minimum:"1"` and
//     `maximum:"10"` bound a number.
//   - Pointers, slices and maps may be null. Keys that no field has are allowed.
//   - [time.Time] is a string of the format date-time, []byte a string in base64, and a type that implements
//     [encoding.TextUnmarshaler] (such as [net/netip.Addr]) a string. A type that implements [json.Unmarshaler],
//     [json.RawMessage] and any may be anything, and so may a type inside itself.
//   - Channels, functions, complex numbers and maps whose keys are not strings are errors, which name the field. So are two
//     fields of one struct with the same name, pointers that lead only to themselves, and fields reached through an
//     embedded pointer to an unexported struct, as encoding/json can't set that pointer.
func Schema[T any]() (json.RawMessage, error) {
	s, err := derive(reflect.TypeFor[T](), inward)
	if err != nil {
		return nil, err
	}
	return s.text(), nil
}

// schema is the part of JSON Schema that types need. The zero value allows anything.
type schema struct {
	Type        any                `json:"type,omitempty"` // a name, or several
	Description string             `json:"description,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Values      *schema            `json:"additionalProperties,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	MinItems    *int               `json:"minItems,omitempty"`
	MaxItems    *int               `json:"maxItems,omitempty"`
	Minimum     json.Number        `json:"minimum,omitempty"`
	Maximum     json.Number        `json:"maximum,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Format      string             `json:"format,omitempty"`
	Encoding    string             `json:"contentEncoding,omitempty"`
}

func (s *schema) text() json.RawMessage {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // it holds nothing that can't be encoded
	}
	return text
}

// name is the type, null aside; empty: any.
func (s *schema) name() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []string:
		return t[0]
	}
	return ""
}

// orNull allows null, too.
func (s *schema) orNull() *schema {
	if name, ok := s.Type.(string); ok {
		s.Type = []string{name, "null"}
	}
	return s
}

// direction is whether values are decoded or encoded.
type direction bool

const (
	inward  direction = false
	outward direction = true
)

// inputsOf is the schema of a type that a task's inputs are read into.
func inputsOf(t reflect.Type) (*schema, error) {
	s, err := derive(t, inward)
	if err != nil {
		return nil, err
	}
	switch s.name() {
	case "":
		return s, nil
	case "object":
		s.Type = "object" // and never null
		return s, nil
	}
	return nil, fmt.Errorf("%s is not a struct, but inputs are a JSON object", t)
}

func derive(t reflect.Type, d direction) (*schema, error) {
	return (&deriver{direction: d}).of(t, t.String())
}

type deriver struct {
	direction
	inside []reflect.Type // those that are being described
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
)

// of describes a type; path names it in errors.
func (d *deriver) of(t reflect.Type, path string) (*schema, error) {
	if t.Kind() == reflect.Pointer {
		to, ok := pointee(t)
		if !ok {
			return nil, fmt.Errorf("%s: type %s points only to itself", path, t)
		}
		s, err := d.of(to, path)
		if err != nil {
			return nil, err
		}
		return s.orNull(), nil
	}
	if slices.Contains(d.inside, t) {
		return &schema{}, nil
	}
	d.inside = append(d.inside, t)
	defer func() { d.inside = d.inside[:len(d.inside)-1] }()
	switch {
	case t == timeType:
		return &schema{Type: "string", Format: "date-time"}, nil
	case t == numberType:
		return &schema{Type: "number"}, nil
	case d.byItself(t, reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[json.Marshaler]()):
		return &schema{}, nil
	case d.byItself(t, reflect.TypeFor[encoding.TextUnmarshaler](), reflect.TypeFor[encoding.TextMarshaler]()):
		return &schema{Type: "string"}, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return &schema{Type: "boolean"}, nil
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}, nil
	case reflect.String:
		return &schema{Type: "string"}, nil
	case reflect.Slice, reflect.Array:
		return d.list(t, path)
	case reflect.Map:
		return d.mapping(t, path)
	case reflect.Struct:
		return d.object(t, path)
	case reflect.Interface:
		if d.direction == outward || t.NumMethod() == 0 {
			return &schema{}, nil
		}
	}
	if low, high, ok := integer(t); ok {
		return &schema{Type: "integer", Minimum: low, Maximum: high}, nil
	}
	return nil, fmt.Errorf("%s: type %s has no form in JSON", path, t)
}

// pointee is what a pointer leads to, by way of further pointers. It is not ok if they go in a circle, like type P *P.
func pointee(t reflect.Type) (to reflect.Type, ok bool) {
	var passed []reflect.Type
	for t.Kind() == reflect.Pointer {
		if slices.Contains(passed, t) {
			return nil, false
		}
		passed = append(passed, t)
		t = t.Elem()
	}
	return t, true
}

// byItself reports whether a type, or a pointer to it, has its own way to be read or written.
func (d *deriver) byItself(t, reads, writes reflect.Type) bool {
	how := reads
	if d.direction == outward {
		how = writes
	}
	return t.Implements(how) || reflect.PointerTo(t).Implements(how)
}

// integer is the range of a type that holds whole numbers. Those of 64 bits have only the bound that follows from the
// sign, as others would not survive a JSON reader that knows floating point alone.
func integer(t reflect.Type) (low, high json.Number, ok bool) {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "", "", true
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		return "0", "", true
	case reflect.Int8, reflect.Int16, reflect.Int32:
		most := int64(1) << (t.Bits() - 1)
		return json.Number(strconv.FormatInt(-most, 10)), json.Number(strconv.FormatInt(most-1, 10)), true
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return "0", json.Number(strconv.FormatInt(int64(1)<<t.Bits()-1, 10)), true
	}
	return "", "", false
}

func (d *deriver) list(t reflect.Type, path string) (*schema, error) {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return (&schema{Type: "string", Encoding: "base64"}).orNull(), nil
	}
	items, err := d.of(t.Elem(), path+"[]")
	if err != nil {
		return nil, err
	}
	s := &schema{Type: "array", Items: items}
	if t.Kind() == reflect.Array {
		s.MinItems, s.MaxItems = new(t.Len()), new(t.Len())
		return s, nil
	}
	return s.orNull(), nil
}

func (d *deriver) mapping(t reflect.Type, path string) (*schema, error) {
	key := t.Key()
	_, _, number := integer(key)
	if !number && key.Kind() != reflect.String && !d.byItself(key, reflect.TypeFor[encoding.TextUnmarshaler](), reflect.TypeFor[encoding.TextMarshaler]()) {
		return nil, fmt.Errorf("%s: keys of type %s have no form in JSON", path, key)
	}
	values, err := d.of(t.Elem(), path+"{}")
	if err != nil {
		return nil, err
	}
	return (&schema{Type: "object", Values: values}).orNull(), nil
}
