// Package template is the one resolver of templates: strings with {{PATH}} and {{PATH:DEFAULT}}, strict, without filters, expressions or a second pass.
//
// It owns the grammar, what a document refers to, and rendering. It must not know what the values are, where they come from, or what becomes of
// the result: it reads no clock, no environment and no file.
//
//	text    = { plain | token }
//	token   = "{{" ws path [ ":" default ] ws "}}"
//	path    = ident { "." ident }
//	ident   = ( A-Z a-z _ ) { A-Z a-z 0-9 _ }
//	default = { any character except "{", "}" and line breaks }
//	ws      = { space | tab }
//
// The first colon ends the path, and no blank stands before it. A string that is one token keeps the type of its value; in any other the value is
// written out as text. A default is always text: blanks at its end do not belong to it, those at its beginning do. A path that leads to nothing, or to
// the empty string, is missing: it has its default, or is an error. What was rendered is never read again.
package template

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of a template.
const (
	MaxTextBytes = 256 << 10 // of one string that has tokens
	MaxDepth     = 256       // of a document, before and after it is rendered
	MaxNames     = 64        // of a path
	MaxFaults    = 100       // that [Check] tells
)

// Rules say how strings are read, and what they may name. Those of flows and of webhooks' bodies are strict; their zero value knows no root.
type Rules struct {
	// Roots are what paths may begin with. nil: whatever the scope has, which nobody can check before.
	Roots Roots
	// Plain: what looks like other templates' and shells' sequences is text, and only tokens mean something. Not so, such sequences are refused.
	Plain bool
	// Blanks: a blank before a default's colon, and line breaks inside a token, are taken, as version 0.9 did.
	Blanks bool
	// Keys: a token in a key of an object is a fault. Not so, it is text. It never means anything.
	Keys bool
	// Cut: to read a value that its executor has cut is an error. See [Truncated].
	Cut bool
	// Empty: the empty string is a value like others. Not so, it is missing.
	Empty bool
	// Nulls: a default stands for null, too. Not so, null is a value like others.
	Nulls bool
}

// Roots are what a path may begin with.
type Roots map[string]Root

// Root is what may follow one.
type Root struct {
	Names int      // so many names have to follow at least: what has fewer is no value, but a way to many
	Of    []string // what the first of them may be; nil: anything
}

// Kind names what is wrong with a template.
type Kind string

// The kinds of errors.
const (
	Syntax      Kind = "template.syntax"
	Forbidden   Kind = "template.forbidden_sequence"
	UnknownRoot Kind = "template.unknown_root"
	MissingKey  Kind = "template.missing_key"
	NotHere     Kind = "template.not_allowed_here"
	TooLarge    Kind = "template.too_large"
	// Truncated: the value is there, and is not whole: truncated_fields, beside it in its object, names it.
	Truncated Kind = "output.truncated"
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
	{"{}", "stands for nothing: give structured values instead of their text, let a script have a file of its own, or let xargs -I@ stand for find's braces"},
}

// Parse reads a string. *[Error].
func (r *Rules) Parse(text string) (*Text, error) {
	t, fault := r.cached(text)
	if fault != nil {
		return nil, fault
	}
	return t, nil
}

// cached is parse, but that it may know the text.
func (r *Rules) cached(text string) (*Text, *Error) {
	keep := len(text) <= maxKeptBytes && strings.Contains(text, "{{")
	if keep {
		if t := parsed.get(r, text); t != nil {
			return t, nil
		}
	}
	t, fault := r.parse(text, nil)
	if keep && fault == nil {
		parsed.put(r, text, t)
	}
	return t, fault
}

// plain reports whether a text means nothing but itself, without reading it further.
func (r *Rules) plain(text string) bool { return r.Plain && !strings.Contains(text, "{{") }

// parse reads a string. Without also, it stops at the first fault, and returns it; else each is told to also, and the tokens that are none are left out.
func (r *Rules) parse(text string, also func(*Error)) (*Text, *Error) {
	t := &Text{}
	if r.plain(text) {
		if text != "" {
			t.parts = []part{{plain: text}}
		}
		return t, nil
	}
	if len(text) > MaxTextBytes {
		return t, told(also, &Error{Kind: TooLarge, Token: text, Reason: fmt.Sprintf("is longer than %d bytes", MaxTextBytes)})
	}
	if e := r.sequences(text); e != nil {
		return t, told(also, e)
	}
	for at := 0; at < len(text); {
		open := strings.Index(text[at:], "{{")
		plain := text[at:]
		if open >= 0 {
			plain = text[at : at+open]
		}
		if i := strings.Index(plain, "}}"); i >= 0 && !r.Plain {
			if e := told(also, &Error{Kind: Syntax, Token: "}}", Offset: at + i, Reason: "ends no token"}); e != nil {
				return nil, e
			}
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
			return t, told(also, &Error{Kind: Syntax, Token: text[at:], Offset: at, Reason: "has no }} after it"})
		}
		p, e := r.token(text[at:at+end+2], at)
		if e == nil {
			t.parts = append(t.parts, p)
		} else if e = told(also, e); e != nil {
			return nil, e
		}
		at += end + 2
	}
	return t, nil
}

// told tells a fault, or returns it where nobody wants to be told.
func told(also func(*Error), e *Error) *Error {
	if also == nil {
		return e
	}
	also(e)
	return nil
}

// sequences finds what strict texts must not hold.
func (r *Rules) sequences(text string) *Error {
	if r.Plain {
		return nil
	}
	for _, f := range forbidden {
		if i := strings.Index(text, f.text); i >= 0 {
			return &Error{Kind: Forbidden, Token: f.text, Offset: i, Reason: f.why}
		}
	}
	return nil
}

// token reads {{PATH:DEFAULT}}.
func (r *Rules) token(token string, offset int) (part, *Error) {
	fault := func(why string) (part, *Error) {
		return part{}, &Error{Kind: Syntax, Token: token, Offset: offset, Reason: why}
	}
	inner := token[2 : len(token)-2]
	if strings.ContainsAny(inner, "{}") {
		return fault("has a brace inside")
	}
	if !r.Blanks && strings.ContainsAny(inner, "\n\r") {
		return fault("has a line break inside")
	}
	path, byDefault, has := strings.Cut(inner, ":")
	path = strings.TrimLeft(path, " \t")
	if trimmed := strings.TrimRight(path, " \t"); !has || r.Blanks {
		path = trimmed
	} else if trimmed != path && trimmed != "" {
		return fault("has a blank before the colon")
	}
	if strings.Trim(path, " \t") == "" {
		return fault("names nothing")
	}
	names := strings.Split(path, ".")
	if len(names) > MaxNames {
		return fault(fmt.Sprintf("is a path of more than %d names", MaxNames))
	}
	if i := slices.IndexFunc(names, func(n string) bool { return !Identifier(n) }); i >= 0 {
		return fault("is no path: names are of letters, digits and _, with dots between them")
	}
	return part{path: names, token: token, offset: offset, byDefault: strings.TrimRight(byDefault, " \t"), hasDefault: has}, nil
}

// Identifier reports whether a path can name it.
func Identifier(s string) bool {
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
	for i := range t.parts {
		if p := &t.parts[i]; p.path != nil {
			refs = append(refs, p.path)
		}
	}
	return refs
}

// Piece is a part of a text: a token, or plain text.
type Piece struct {
	Plain      string   // if Path is nil
	Path       []string // of a token
	Token      string   // as it was written
	Default    string
	HasDefault bool
}

// Pieces are the parts of the text in their order.
func (t *Text) Pieces() []Piece {
	out := make([]Piece, len(t.parts))
	for i, p := range t.parts {
		out[i] = Piece{Plain: p.plain, Path: p.path, Token: p.token, Default: p.byDefault, HasDefault: p.hasDefault}
	}
	return out
}

// Plain reports whether the text has no token.
func (t *Text) Plain() bool {
	return !slices.ContainsFunc(t.parts, func(p part) bool { return p.path != nil })
}

// alone is the only token of a text that is one, as a YAML block has it with a line end after it.
func (t *Text) alone() *part {
	if n := len(t.parts); n == 1 || n == 2 && t.parts[1].path == nil && t.parts[1].plain == "\n" {
		if t.parts[0].path != nil {
			return &t.parts[0]
		}
	}
	return nil
}

// root checks what a token begins with.
func (r *Rules) root(p *part) *Error {
	fault := func(kind Kind, why string) *Error {
		return &Error{Kind: kind, Token: p.token, Offset: p.offset, Reason: why}
	}
	root, known := r.Roots[p.path[0]]
	switch members := p.path[1:]; {
	case r.Roots == nil:
	case !known:
		return fault(UnknownRoot, "begins with none of "+r.Roots.list())
	case len(members) > 0 && root.Of != nil && !slices.Contains(root.Of, members[0]):
		return fault(MissingKey, fmt.Sprintf("%s has %s", p.path[0], strings.Join(root.Of, ", ")))
	case len(members) < root.Names:
		why := "is no value: name one of its members"
		if root.Of != nil && len(members) == 0 {
			why = fmt.Sprintf("is no value: %s has %s", p.path[0], strings.Join(root.Of, ", "))
		}
		return fault(Syntax, why)
	}
	return nil
}

// list names the roots.
func (rs Roots) list() string {
	names := make([]string, 0, len(rs))
	for name := range rs {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
