package template

import "strings"

// Fill replaces the tokens of a document that begin with a root of the scope, and leaves all others as they are written: somebody renders them later. What would
// then be read as a template, as a value has braces of its own, is refused. most bounds what it puts in, as [Rules.Render] has it. *[Error].
func (r *Rules) Fill(document any, scope Scope, most int) (any, error) {
	filling := &renderer{rules: r, scope: scope, left: most, bounded: most > 0, fill: true, sorted: true}
	out, fault := filling.whole(document)
	if fault != nil {
		return nil, fault
	}
	return out, nil
}

// later reports whether somebody else renders a token.
func (r *renderer) later(p *part) bool {
	if !r.fill {
		return false
	}
	_, ours := r.scope[p.path[0]]
	return !ours
}

// harmless refuses a value that would be read as a template.
func (r *renderer) harmless(p *part, v any) *Error {
	if r.fill && braced(v) {
		return &Error{Kind: Forbidden, Token: p.token, Offset: p.offset, Reason: "the value has {{ in it, which would be read as a template"}
	}
	return nil
}

// braced reports whether a string in the value holds the beginning of a token.
func braced(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{")
	case map[string]any:
		for name, member := range v {
			if strings.Contains(name, "{{") || braced(member) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if braced(e) {
				return true
			}
		}
	}
	return false
}
