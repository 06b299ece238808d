package template

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Scope are the values that tokens may name, by root. They are of the types that [encoding/json] decodes to, with [json.Number] or float64 for
// numbers; other numbers of Go are numbers, too. They are not changed.
type Scope map[string]any

// Render renders each string of a document, and shares what has no token with it, and the values that tokens name. most bounds the bytes of all that
// tokens put into the document, as JSON; 0: nothing does. *[Error]: the first one, keys sorted.
func (r *Rules) Render(document any, scope Scope, most int) (any, error) {
	out, fault := (&renderer{rules: r, scope: scope, left: most, bounded: most > 0}).whole(document)
	if fault != nil { // once more, so that the fault is always the same one
		_, fault = (&renderer{rules: r, scope: scope, left: most, bounded: most > 0, sorted: true}).whole(document)
		return nil, fault
	}
	return out, nil
}

type renderer struct {
	rules   *Rules
	scope   Scope
	left    int
	bounded bool
	sorted  bool
	fill    bool // tokens of other roots stay
	at      place
}

func (r *renderer) whole(document any) (any, *Error) {
	out, _, fault := r.value(document)
	return out, fault
}

// value renders a value. The fault says where it is. Without one, and unless changed, out is v.
func (r *renderer) value(v any) (out any, changed bool, fault *Error) {
	if len(r.at) > MaxDepth {
		return nil, false, r.placed(&Error{Kind: TooLarge, Reason: "the document is nested too deep"})
	}
	switch v := v.(type) {
	case string:
		out, changed, fault := r.text(v)
		return out, changed, r.placed(fault)
	case map[string]any:
		return r.object(v)
	case []any:
		return r.list(v)
	}
	return v, false, nil
}

func (r *renderer) placed(fault *Error) *Error {
	if fault != nil {
		fault.At = r.at.String()
	}
	return fault
}

func (r *renderer) object(v map[string]any) (out any, changed bool, fault *Error) {
	var made map[string]any
	one := func(name string, member any) *Error {
		r.at.push(step{name: name, key: true})
		value, changed, fault := r.value(member)
		if r.at.pop(); fault != nil || !changed {
			return fault
		}
		if made == nil {
			made = maps.Clone(v)
		}
		made[name] = value
		return nil
	}
	if r.sorted {
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if fault := one(name, v[name]); fault != nil {
				return nil, false, fault
			}
		}
	} else {
		for name, member := range v {
			if fault := one(name, member); fault != nil {
				return nil, false, fault
			}
		}
	}
	if made == nil {
		return v, false, nil
	}
	return made, true, nil
}

func (r *renderer) list(v []any) (out any, changed bool, fault *Error) {
	made := v
	for i, e := range v {
		r.at.push(step{index: i})
		value, c, fault := r.value(e)
		if r.at.pop(); fault != nil {
			return nil, false, fault
		}
		if !c {
			continue
		}
		if !changed {
			made, changed = slices.Clone(v), true
		}
		made[i] = value
	}
	return made, changed, nil
}

// text renders one string.
func (r *renderer) text(text string) (out any, changed bool, fault *Error) {
	if r.rules.plain(text) {
		return text, false, nil
	}
	t, err := r.rules.cached(text)
	if err != nil {
		return nil, false, err
	}
	if t.Plain() {
		return text, false, nil
	}
	if p := t.alone(); p != nil {
		if r.later(p) {
			return text, false, nil
		}
		v, fault := r.read(p)
		if fault == nil {
			fault = r.harmless(p, v)
		}
		if fault != nil {
			return nil, false, fault
		}
		return v, true, r.count(p, v)
	}
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		if p.path == nil {
			b.WriteString(p.plain)
			continue
		}
		if r.later(p) {
			b.WriteString(p.token)
			continue
		}
		v, fault := r.read(p)
		if fault == nil {
			fault = r.harmless(p, v)
		}
		if fault != nil {
			return nil, false, fault
		}
		if s, is := v.(string); is {
			b.WriteString(s)
		} else {
			b.Write(appendText(nil, v))
		}
		if r.bounded && b.Len() > r.left {
			return nil, false, tooLong(p)
		}
	}
	r.left -= b.Len()
	return b.String(), true, nil
}

func tooLong(p *part) *Error {
	return &Error{Kind: TooLarge, Token: p.token, Offset: p.offset, Reason: "makes the document too large"}
}

// count takes a value that stands for itself off what is left, and looks how deep it makes the document.
func (r *renderer) count(p *part, v any) *Error {
	left := r.left
	if !r.bounded {
		left = int(^uint(0) >> 1)
	}
	if left = measure(v, left, len(r.at)); left < 0 {
		return tooLong(p)
	}
	r.left = left
	return nil
}

// measure is what is left of so many bytes after a value, written as JSON; negative: it is too large, or too deep below a depth.
func measure(v any, left, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	switch v := v.(type) {
	case string:
		left -= len(v) + 2
	case map[string]any:
		left -= 2
		for name, member := range v {
			if left -= len(name) + 4; left < 0 {
				return left
			}
			if left = measure(member, left, depth+1); left < 0 {
				return left
			}
		}
	case []any:
		left -= 2
		for _, e := range v {
			if left = measure(e, left-1, depth+1); left < 0 {
				return left
			}
		}
	case json.Number:
		left -= len(v)
	default:
		left -= 5
	}
	return left
}

// read is the value of a token, or its default.
func (r *renderer) read(p *part) (any, *Error) {
	if fault := r.rules.root(p); fault != nil {
		return nil, fault
	}
	v, found, cut := r.look(p)
	switch {
	case cut:
		return nil, &Error{Kind: Truncated, Token: p.token, Offset: p.offset, Reason: "is not whole: its executor has kept a part only"}
	case found && !(v == nil && p.hasDefault && r.rules.Nulls):
		return v, nil
	case p.hasDefault:
		return p.byDefault, nil
	}
	return nil, &Error{Kind: MissingKey, Token: p.token, Offset: p.offset, Reason: "nothing is there"}
}

// look walks a path through objects. cut: what it leads to is no more than a part.
func (r *renderer) look(p *part) (v any, found, cut bool) {
	v, found = r.scope[p.path[0]]
	for _, name := range p.path[1:] {
		object, is := v.(map[string]any)
		if !found || !is {
			return nil, false, cut
		}
		v, found = object[name]
		cut = cut || found && r.rules.Cut && truncated(object, name)
	}
	return v, found && (v != "" || r.rules.Empty), cut
}

// TruncatedFields is the member of an object that names those of its members of which only a part is there.
const TruncatedFields = "truncated_fields"

func truncated(object map[string]any, name string) bool {
	fields, is := object[TruncatedFields].([]any)
	return is && slices.Contains(fields, any(name))
}
