package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Scope are the values that tokens may name, by root. They are of the types that [encoding/json] decodes to, with [json.Number] or float64 for
// numbers; integers of Go are numbers, too. They are not changed.
type Scope map[string]any

// Check finds the first fault of a document: of its strings' grammar, and of roots that are not known. Keys are no templates. *[Error].
func Check(document any, roots []string) error {
	return each(document, "", 0, func(text string) error {
		t, err := Parse(text)
		if err != nil {
			return err
		}
		return t.roots(roots)
	})
}

// each calls f with each string of a document, objects in the order of their keys.
func each(v any, at string, depth int, f func(string) error) error {
	if depth > MaxDepth {
		return &Error{Kind: TooLarge, At: at, Reason: "the document is nested too deep"}
	}
	switch v := v.(type) {
	case string:
		return under(f(v), at)
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if err := each(v[name], join(at, name), depth+1, f); err != nil {
				return err
			}
		}
	case []any:
		for i, e := range v {
			if err := each(e, fmt.Sprintf("%s[%d]", at, i), depth+1, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// Render renders each string of a document, and shares what has no token with it. most bounds the bytes of all texts that are made, 0: nothing does.
// *[Error].
func Render(document any, scope Scope, most int) (any, error) {
	r := &renderer{scope: scope, left: most, bounded: most > 0}
	return r.render(document, "", 0)
}

type renderer struct {
	scope   Scope
	left    int
	bounded bool
}

func (r *renderer) render(v any, at string, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, &Error{Kind: TooLarge, At: at, Reason: "the document is nested too deep"}
	}
	switch v := v.(type) {
	case string:
		out, err := r.text(v)
		return out, under(err, at)
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			one, err := r.render(v[name], join(at, name), depth+1)
			if err != nil {
				return nil, err
			}
			out[name] = one
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			one, err := r.render(e, fmt.Sprintf("%s[%d]", at, i), depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = one
		}
		return out, nil
	}
	return v, nil
}

// text renders one string.
func (r *renderer) text(text string) (any, error) {
	t, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if t.Plain() {
		return text, nil
	}
	if p := t.alone(); p != nil {
		v, found := r.look(p)
		if !found {
			return p.missing()
		}
		return v, nil
	}
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		if p.path == nil {
			b.WriteString(p.plain)
			continue
		}
		v, found := r.look(p)
		if !found {
			if v, err = p.missing(); err != nil {
				return nil, err
			}
		}
		if err := write(&b, v); err != nil {
			return nil, err
		}
		if r.bounded && b.Len() > r.left {
			return nil, &Error{Kind: TooLarge, Token: p.token, Offset: p.offset, Reason: "makes the text too long"}
		}
	}
	if r.bounded {
		r.left -= b.Len()
	}
	return b.String(), nil
}

// missing is what stands for a value that is not there.
func (p *part) missing() (any, error) {
	if !p.hasDefault {
		return nil, &Error{Kind: MissingKey, Token: p.token, Offset: p.offset, Reason: "nothing is there"}
	}
	return p.byDefault, nil
}

// look walks a path through objects.
func (r *renderer) look(p *part) (v any, found bool) {
	v, found = r.scope[p.path[0]]
	for _, name := range p.path[1:] {
		object, is := v.(map[string]any)
		if !found || !is {
			return nil, false
		}
		v, found = object[name]
	}
	return v, found && v != ""
}

// write writes a value in the middle of a text.
func write(b *strings.Builder, v any) error {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case string:
		b.WriteString(v)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case json.Number:
		b.WriteString(v.String())
	case int:
		b.WriteString(strconv.Itoa(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	default:
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return fmt.Errorf("a value can't be written: %w", err)
		}
		b.Write(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
	}
	return nil
}
