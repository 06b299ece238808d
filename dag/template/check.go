package template

import (
	"maps"
	"slices"
	"strings"
)

// Ref is a path that a document names.
type Ref struct {
	Path       []string
	Token      string // as it was written
	HasDefault bool
	at         *place
}

// At is where in the document it is.
func (r Ref) At() string { return r.at.String() }

// Check finds the faults of a document, [MaxFaults] at most: of its strings' grammar, of roots that are not known, of keys that look like templates
// where rules say so, and of paths that known objects to, which gives its reason; nil objects to none. The order is that of the document, keys sorted.
func (r *Rules) Check(document any, known func(Ref) (reason string)) (faults []*Error) {
	c := &checker{rules: r, known: known}
	c.value(document)
	return c.faults
}

type checker struct {
	rules  *Rules
	known  func(Ref) string
	none   bool // each token is a fault
	at     place
	faults []*Error
}

func (c *checker) tell(e *Error) {
	if len(c.faults) < MaxFaults {
		e.At = c.at.String()
		c.faults = append(c.faults, e)
	}
}

func (c *checker) value(v any) {
	if len(c.at) > MaxDepth {
		c.tell(&Error{Kind: TooLarge, Reason: "the document is nested too deep"})
		return
	}
	if len(c.faults) >= MaxFaults {
		return
	}
	switch v := v.(type) {
	case string:
		c.text(v)
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			c.at.push(step{name: name, key: true})
			if c.rules.Keys {
				c.key(name)
			}
			c.value(v[name])
			c.at.pop()
		}
	case []any:
		for i, e := range v {
			c.at.push(step{index: i})
			c.value(e)
			c.at.pop()
		}
	}
}

// key refuses a token where only values have them.
func (c *checker) key(name string) {
	if open := strings.Index(name, "{{"); open >= 0 && strings.Contains(name[open:], "}}") {
		c.tell(&Error{Kind: NotHere, Token: name, Offset: open, Reason: "is a key, and keys are never templates"})
	}
}

func (c *checker) text(text string) {
	if c.rules.plain(text) {
		return
	}
	tell := c.tell
	if c.none {
		tell = func(*Error) {}
	}
	t, _ := c.rules.parse(text, tell)
	for i := range t.parts {
		if p := &t.parts[i]; p.path != nil {
			c.token(p)
		}
	}
}

func (c *checker) token(p *part) {
	fault := c.rules.root(p)
	if c.none {
		fault = &Error{Kind: NotHere, Token: p.token, Offset: p.offset, Reason: "is no template here"}
	}
	if fault == nil && c.known != nil {
		if reason := c.known(Ref{Path: p.path, Token: p.token, HasDefault: p.hasDefault, at: &c.at}); reason != "" {
			fault = &Error{Kind: MissingKey, Token: p.token, Offset: p.offset, Reason: reason}
		}
	}
	if fault != nil {
		c.tell(fault)
	}
}

// Tokens finds each token in a part of a document that must have none: [NotHere]. What is no token is text there.
func Tokens(document any) []*Error {
	c := &checker{rules: &Rules{Plain: true, Blanks: true, Keys: true}, none: true}
	c.value(document)
	return c.faults
}

// Refs are the paths that a document's strings name, each once, in the order of their first token, keys sorted. What does not parse names nothing.
func (r *Rules) Refs(document any) (refs [][]string) {
	seen := map[string]bool{}
	c := &checker{rules: r, known: func(r Ref) string {
		if name := strings.Join(r.Path, "."); !seen[name] {
			seen[name] = true
			refs = append(refs, r.Path)
		}
		return ""
	}}
	c.value(document)
	return refs
}
