package treedoc

import "github.com/taskgrove/taskgrove/dag"

// Shape is what a value may be, as far as JSON Schema can say it. The zero value is anything.
type Shape struct {
	Type                 string // of JSON Schema; empty: any
	MinLength, MaxLength int    // of strings, in characters; 0: none
	Pattern              string
	Enum                 []string
	Bounded              bool // Minimum and Maximum hold
	Minimum, Maximum     float64
	OrZero               bool     // 0 is allowed below Minimum, too
	Items                *Shape   // of an array, besides objects with the key's keys
	Closed               bool     // the object may have no key but those listed
	Values               *Shape   // of the object, under keys that are the user's
	Words                []string // some of them, in an array, or Any alone
	Any                  string
	Required             []string // keys that the object must have
	MaxItems             int      // of an array of objects alone, which has no Items
	Span                 bool     // a number of seconds from Minimum to Maximum, or a text as 7d or 1h30m
}

const (
	noControls = `^[^\x00-\x1f\x7f-\x9f]*$`
	noNUL      = `^[^\x00]*$`
	// instantPattern is the forms of layouts.
	instantPattern = `^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])` +
		`([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d+)?)?(Z|[+-]([01]\d|2[0-4]):?[0-5]\d)?)?$`
)

// span is a time in seconds, and limit one of which 0 means none.
var (
	span  = Shape{Type: "number", Bounded: true, Minimum: 0, Maximum: dag.MaxDuration.Seconds()}
	limit = Shape{Type: "number", Bounded: true, Minimum: dag.MinLimit.Seconds(), Maximum: dag.MaxDuration.Seconds(), OrZero: true}
)

// spanPattern is the form of a time that is written as a text.
const spanPattern = `^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$`

// reference is an id, or a name in place of one.
var reference = Shape{Type: "string", MinLength: 1, MaxLength: dag.DefaultLimits.IDChars, Pattern: noNUL}

// labelValue is the value of a label.
var labelValue = Shape{Type: "string", MaxLength: dag.MaxLabelValueChars}

// words are the types, for the reference page.
func (s Shape) words() string {
	switch {
	case s.Words != nil:
		return "array of strings, or " + s.Any
	case s.Span:
		return "number of seconds, or string"
	case s.MaxItems > 0:
		return "array of objects"
	case s.Type == "array" && s.Items == nil:
		return s.Type
	case s.Type == "array" && s.Items != &reference:
		return "array of strings"
	case s.Type == "array":
		return "array of strings and objects"
	case s.Type == "":
		return "any"
	case s.Type == "number" && s.Bounded:
		return "number of seconds"
	}
	return s.Type
}

// schema is the JSON Schema of a value with the shape, whose object has the keys; nullable allows null, too.
func (s Shape) schema(keys []Key, nullable bool) map[string]any {
	out := map[string]any{}
	if s.Words != nil {
		of := []any{map[string]any{"type": "array", "items": map[string]any{"enum": s.Words}, "minItems": 1, "maxItems": len(s.Words)}, map[string]any{"const": s.Any}}
		if nullable {
			of = append(of, map[string]any{"type": "null"})
		}
		out["anyOf"] = of
	}
	if s.Span {
		of := []any{map[string]any{"type": "number", "minimum": s.Minimum, "maximum": s.Maximum}, map[string]any{"type": "string", "pattern": spanPattern}}
		if nullable {
			of = append(of, map[string]any{"type": "null"})
		}
		out["anyOf"] = of
	}
	if s.Type != "" {
		out["type"] = s.Type
		if nullable {
			out["type"] = []string{s.Type, "null"}
		}
	}
	if s.MinLength > 0 {
		out["minLength"] = s.MinLength
	}
	if s.MaxLength > 0 {
		out["maxLength"] = s.MaxLength
	}
	if s.Pattern != "" {
		out["pattern"] = s.Pattern
	}
	if s.Enum != nil {
		values := []any{}
		for _, v := range s.Enum {
			values = append(values, v)
		}
		if nullable {
			values = append(values, nil)
		}
		out["enum"] = values
	}
	if s.Bounded {
		out["minimum"], out["maximum"] = s.Minimum, s.Maximum
	}
	if s.OrZero {
		delete(out, "minimum")
		out["anyOf"] = []any{map[string]any{"not": map[string]any{"type": "number"}}, map[string]any{"minimum": s.Minimum}, map[string]any{"const": 0}}
	}
	switch s.Type {
	case "array":
		if s.MaxItems > 0 {
			item := objectSchema(keys, s.Closed)
			item["type"], item["required"] = "object", s.Required
			out["items"], out["maxItems"] = item, s.MaxItems
			break
		}
		if s.Items == nil {
			break
		}
		if keys == nil {
			out["items"] = s.Items.schema(nil, false)
			break
		}
		item := objectSchema(keys, true)
		item["type"] = "object"
		item["anyOf"] = []any{refers("id"), refers("name")}
		out["items"] = map[string]any{"anyOf": []any{s.Items.schema(nil, false), item}}
	case "object":
		for k, v := range objectSchema(keys, s.Closed) {
			out[k] = v
		}
		if s.Required != nil {
			out["required"] = s.Required
		}
		if s.Values != nil {
			out["additionalProperties"] = s.Values.schema(nil, false)
		}
	}
	return out
}

// refers demands a reference under the key.
func refers(key string) map[string]any {
	return map[string]any{"required": []string{key}, "properties": map[string]any{key: reference.schema(nil, false)}}
}
