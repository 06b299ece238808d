package inputs

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// flat is a schema whose members have types, and numbers their bounds: what most inputs can be checked by without being decoded.
type flat struct {
	members  map[string]rule
	required []string
}

// maxRequired is how many members a flat schema may require.
const maxRequired = 64

// rule is what a flat schema says of a member. One that says more is not known here.
type rule struct {
	known    bool
	types    []string // none: any
	min, max *float64
}

// flatten makes a flat schema; nil: it says more than that.
func flatten(doc any) *flat {
	s, isObject := doc.(map[string]any)
	if !isObject {
		return nil
	}
	f := &flat{members: map[string]rule{}}
	for keyword, value := range s {
		switch {
		case slices.Contains(remarks, keyword), keyword == "type" && value == "object":
		case keyword == "properties":
			properties, isObject := value.(map[string]any)
			if !isObject {
				return nil
			}
			for name, rules := range properties {
				f.members[name] = ruleOf(rules)
			}
		case keyword == "required":
			var ok bool
			if f.required, ok = texts(value); !ok || len(f.required) > maxRequired {
				return nil
			}
		default:
			return nil
		}
	}
	return f
}

func ruleOf(doc any) (r rule) {
	s, isObject := doc.(map[string]any)
	if !isObject {
		return rule{}
	}
	for keyword, value := range s {
		ok := true
		switch {
		case slices.Contains(remarks, keyword):
		case keyword == "type":
			r.types, ok = texts(value)
		case keyword == "minimum":
			r.min, ok = bound(value)
		case keyword == "maximum":
			r.max, ok = bound(value)
		default:
			ok = false
		}
		if !ok {
			return rule{}
		}
	}
	r.known = true
	return r
}

// texts are those of a list, or one alone.
func texts(value any) (all []string, ok bool) {
	if one, ok := value.(string); ok {
		return []string{one}, true
	}
	list, ok := value.([]any)
	for _, v := range list {
		text, isText := v.(string)
		if !isText {
			return nil, false
		}
		all = append(all, text)
	}
	return all, ok
}

func bound(value any) (*float64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return nil, false
	}
	f, err := n.Float64()
	return &f, err == nil
}

// accepts reports whether inputs, a valid object, satisfy the schema for certain. whole says that nothing will be added to them. If it
// returns false, check them.
func (f *flat) accepts(inputs []byte, whole bool) bool {
	if f == nil {
		return false
	}
	missing := uint64(0) // a bit for each
	if whole {
		missing = 1<<len(f.required) - 1
	}
	for quoted, value := range rawjson.Members(inputs) {
		if bytes.IndexByte(quoted, '\\') >= 0 {
			return false
		}
		name := quoted[1 : len(quoted)-1]
		if r, constrained := f.members[string(name)]; constrained && !r.accepts(value) {
			return false
		}
		if i := slices.Index(f.required, string(name)); i >= 0 {
			missing &^= 1 << i
		}
	}
	return missing == 0
}

func (r rule) accepts(value []byte) bool {
	if !r.known || len(value) == 0 {
		return false
	}
	typ := ""
	switch value[0] {
	case '"':
		typ = "string"
	case '{':
		typ = "object"
	case '[':
		typ = "array"
	case 't', 'f':
		typ = "boolean"
	case 'n':
		typ = "null"
	default:
		return r.acceptsNumber(value)
	}
	return len(r.types) == 0 || slices.Contains(r.types, typ)
}

// acceptsNumber leaves whole numbers with a fraction or an exponent, and what is at a bound but for a rounding, to others.
func (r rule) acceptsNumber(value []byte) bool {
	if len(r.types) > 0 && !slices.Contains(r.types, "number") && (!slices.Contains(r.types, "integer") || bytes.ContainsAny(value, ".eE")) {
		return false
	}
	if r.min == nil && r.max == nil {
		return true
	}
	n, err := strconv.ParseFloat(string(value), 64)
	return err == nil && (r.min == nil || n > *r.min || n == *r.min && len(value) < 16) && (r.max == nil || n < *r.max || n == *r.max && len(value) < 16)
}
