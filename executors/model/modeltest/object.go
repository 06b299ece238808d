package modeltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// object is a JSON object whose fields keep their order: name, value, name, value.
type object []any

// MarshalJSON writes the fields in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i+1 < len(o); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(marshal(o[i]))
		b.WriteByte(':')
		b.Write(marshal(o[i+1]))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal is JSON as the services write it: < and & are themselves.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("modeltest: %v", err)) // values are ours
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// indented is JSON with two blanks a level.
func indented(v any) []byte {
	var b bytes.Buffer
	_ = json.Indent(&b, marshal(v), "", "  ")
	b.WriteByte('\n')
	return b.Bytes()
}

// decode reads a request's body: an object, and nothing after it.
func decode(body []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	if d.More() || fields == nil {
		return nil, fmt.Errorf("not one object")
	}
	return fields, nil
}

// whole is the number if it is one without a fraction.
func wholeNumber(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return int64(f), err == nil && f == math.Trunc(f)
}

// number is the number if it is one.
func number(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

// text is the text if it is one.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// kindOf is what OpenAI calls a value of this type.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "an integer"
		}
		return "a decimal"
	case []any:
		return "an array"
	}
	return "an object"
}
