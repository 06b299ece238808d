// Package template is the one resolver of templates: strings with {{PATH}} and {{PATH:DEFAULT}}, strict, without filters, expressions or a second pass.
//
// It owns the grammar, what a document refers to, and rendering. It must not know what the values are, where they come from, or what becomes of
// the result: it reads no clock, no environment and no file.
//
//	text    = { plain | token }
//	token   = "{{" ws path [ ":" default ] ws "}}"
//	path    = ident { "." ident }
//	ident   = ( A-Z a-z _ ) { A-Z a-z 0-9 _ }
//	default = { any character except "{" and "}" }
//
// The first colon ends the path. A string that is one token keeps the type of its value; in any other the value is written out as text. A default is
// always text. A path that leads to nothing, or to the empty string, is missing: it has its default, or is an error.
package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of a template.
const (
	MaxTextBytes = 256 << 10 // of one string
	MaxDepth     = 64        // of a document, and of a path
)

// Kind names what is wrong with a template.
type Kind string

// The kinds of errors.
const (
	Syntax      Kind = "template.syntax"
	Forbidden   Kind = "template.forbidden_sequence"
	UnknownRoot Kind = "template.unknown_root"
	MissingKey  Kind = "template.missing_key"
	TooLarge    Kind = "template.too_large"
)

// Error is a fault of a template. Its text shows parts of the template, and no value.
type Error struct {
	Kind   Kind
	At     string // path of the string in the document, as "a.b[0]"; empty: the text itself
	Token  string // the token, or what is forbidden
	Offset int    // of it in the string, in bytes
	Reason string
}

// Error says where and what.
func (e *Error) Error() string {
	at := ""
	if e.At != "" {
		at = e.At + ": "
	}
	return fmt.Sprintf("%s%s: %s (%s)", at, shorten(e.Token), e.Reason, e.Kind)
}

func shorten(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Text is a string that was parsed. It is never changed.
type Text struct {
	parts []part
}

// part is plain text, or a token.
type part struct {
	plain      string
	path       []string // nil: plain
	token      string   // as it was written
	offset     int
	byDefault  string
	hasDefault bool
}

// forbidden are sequences that other templates have: whoever writes them means something that does not happen here.
var forbidden = []struct{ text, why string }{
	{"${", "is a shell's: write {{PATH}}, or the $ apart from the brace"},
	{"{%", "is Jinja's: there are no statements"},
	{"%}", "is Jinja's: there are no statements"},
	{"{#", "is Jinja's: there are no comments"},
	{"#}", "is Jinja's: there are no comments"},
	{"{}", "stands for nothing: give structured values, not their text"},
}

// Parse reads a string. *[Error].
func Parse(text string) (*Text, error) {
	if len(text) > MaxTextBytes {
		return nil, &Error{Kind: TooLarge, Token: text, Reason: fmt.Sprintf("is longer than %d bytes", MaxTextBytes)}
	}
	for _, f := range forbidden {
		if i := strings.Index(text, f.text); i >= 0 {
			return nil, &Error{Kind: Forbidden, Token: f.text, Offset: i, Reason: f.why}
		}
	}
	t := &Text{}
	for at := 0; at < len(text); {
		open := strings.Index(text[at:], "{{")
		plain := text[at:]
		if open >= 0 {
			plain = text[at : at+open]
		}
		if i := strings.Index(plain, "}}"); i >= 0 {
			return nil, &Error{Kind: Syntax, Token: "}}", Offset: at + i, Reason: "ends no token"}
		}
		if plain != "" {
			t.parts = append(t.parts, part{plain: plain})
		}
		if open < 0 {
			break
		}
		at += open
		end := strings.Index(text[at:], "}}")
		if end < 0 {
			return nil, &Error{Kind: Forbidden, Token: text[at:], Offset: at, Reason: "has no }} after it"}
		}
		p, err := parseToken(text[at:at+end+2], at)
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, p)
		at += end + 2
	}
	return t, nil
}

// parseToken reads {{PATH:DEFAULT}}.
func parseToken(token string, offset int) (part, error) {
	fault := func(why string) (part, error) {
		return part{}, &Error{Kind: Syntax, Token: token, Offset: offset, Reason: why}
	}
	inner := token[2 : len(token)-2]
	if strings.ContainsAny(inner, "{}") {
		return fault("has a brace inside")
	}
	path, byDefault, has := strings.Cut(inner, ":")
	if path = strings.Trim(path, " \t"); path == "" {
		return fault("names nothing")
	}
	names := strings.Split(path, ".")
	if len(names) > MaxDepth {
		return fault("is too deep")
	}
	if i := slices.IndexFunc(names, func(n string) bool { return !ident(n) }); i >= 0 {
		return fault("is no path: names are of letters, digits and _, with dots between them")
	}
	return part{path: names, token: token, offset: offset, byDefault: strings.TrimRight(byDefault, " \t"), hasDefault: has}, nil
}

func ident(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// Refs are the paths that the text names, in their order.
func (t *Text) Refs() [][]string {
	var refs [][]string
	for _, p := range t.parts {
		if p.path != nil {
			refs = append(refs, p.path)
		}
	}
	return refs
}

// Plain reports whether the text has no token.
func (t *Text) Plain() bool { return len(t.Refs()) == 0 }

// alone is the only token of a text that is one, as a YAML block has it with a line end after it.
func (t *Text) alone() *part {
	if n := len(t.parts); n == 1 || n == 2 && t.parts[1].path == nil && t.parts[1].plain == "\n" {
		if t.parts[0].path != nil {
			return &t.parts[0]
		}
	}
	return nil
}

// roots checks that each token begins with one of the roots.
func (t *Text) roots(known []string) error {
	for _, p := range t.parts {
		if p.path != nil && !slices.Contains(known, p.path[0]) {
			return &Error{Kind: UnknownRoot, Token: p.token, Offset: p.offset, Reason: "begins with none of " + strings.Join(known, ", ")}
		}
	}
	return nil
}

// under says where in a document an error is.
func under(err error, at string) error {
	if e, ok := errors.AsType[*Error](err); ok && e.At == "" {
		placed := *e
		placed.At = at
		return &placed
	}
	return err
}
