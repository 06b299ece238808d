package gate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const blanks = " \t\r\n"

type kind int

const (
	kEnd kind = iota
	kWord
	kNumber
	kString
	kSign
)

type token struct {
	kind kind
	text string // of a string: what it says
	at   int
}

// parser reads by recursive descent. The first fault ends it, by a panic of *Fault that read catches.
type parser struct {
	text  string
	at    int
	here  token
	depth int
	expr  *Expr
}

func (p *parser) read() (fault *Fault) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Fault:
			fault = r
		default:
			panic(r)
		}
	}()
	p.next()
	p.expr.root = p.or()
	if p.here.kind != kEnd {
		p.unexpected("and, or, a comparison or the end")
	}
	return nil
}

func (p *parser) fail(at int, format string, args ...any) {
	panic(&Fault{at, fmt.Sprintf(format, args...)})
}

func (p *parser) unexpected(want string) {
	got := "the end"
	switch p.here.kind {
	case kString:
		got = "a text"
	case kWord, kNumber, kSign:
		got = strconv.Quote(p.here.text)
	}
	if note, known := refused[p.here.text]; known && (p.here.kind == kSign || p.here.kind == kWord) {
		want += "; " + note
	}
	p.fail(p.here.at, "has %s where it wants %s", got, want)
}

// refused are signs and words of other languages.
var refused = map[string]string{
	"&&": "write and", "||": "write or", "!": "write not", "=": "write ==", "[": "there is no indexing", "+": "there is no arithmetic", "*": "there is no arithmetic",
	"/": "there is no arithmetic", "%": "there is no arithmetic", "in": "there is no in", "is": "write == or !=", "if": "there is no if", "<>": "write !=", "AND": "write and", "OR": "write or", "NOT": "write not",
	"{": "templates have no place in a gate: name jobs.<id>.outputs.<key> without braces",
}

var signs = []string{"==", "!=", ">=", "<=", "<>", "&&", "||", ">", "<", "(", ")", ".", "=", "!", "[", "]", "{", "}", "+", "-", "*", "/", "%", ",", ":"}

func (p *parser) next() {
	for p.at < len(p.text) && strings.IndexByte(blanks, p.text[p.at]) >= 0 {
		p.at++
	}
	start := p.at
	if start == len(p.text) {
		p.here = token{kEnd, "", start}
		return
	}
	switch c := p.text[start]; {
	case letter(c):
		for p.at < len(p.text) && (letter(p.text[p.at]) || digit(p.text[p.at])) {
			p.at++
		}
		p.here = token{kWord, p.text[start:p.at], start}
	case digit(c), c == '-' && start+1 < len(p.text) && digit(p.text[start+1]):
		p.number(start)
	case c == '\'' || c == '"':
		p.quoted(start, c)
	default:
		for _, s := range signs {
			if strings.HasPrefix(p.text[start:], s) {
				p.at += len(s)
				p.here = token{kSign, s, start}
				return
			}
		}
		r, _ := utf8.DecodeRuneInString(p.text[start:])
		p.fail(start, "has %q, which means nothing here", r)
	}
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

func (p *parser) number(start int) {
	p.at++
	digits := func() {
		for p.at < len(p.text) && digit(p.text[p.at]) {
			p.at++
		}
	}
	digits()
	if p.at+1 < len(p.text) && p.text[p.at] == '.' && digit(p.text[p.at+1]) {
		p.at++
		digits()
	}
	if rest := p.text[p.at:]; len(rest) > 1 && (rest[0] == 'e' || rest[0] == 'E') && (digit(rest[1]) || len(rest) > 2 && (rest[1] == '-' || rest[1] == '+') && digit(rest[2])) {
		p.at += 2
		digits()
	}
	if p.at < len(p.text) && (letter(p.text[p.at]) || p.text[p.at] == '.') {
		p.fail(start, "has a number that goes on with %q", p.text[p.at])
	}
	p.here = token{kNumber, p.text[start:p.at], start}
}

func (p *parser) quoted(start int, quote byte) {
	var b strings.Builder
	for i := start + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == quote:
			p.at = i + 1
			if !utf8.ValidString(b.String()) {
				p.fail(start, "has a text that is not UTF-8")
			}
			p.here = token{kString, b.String(), start}
			return
		case c == '\n' || c == '\r':
			p.fail(start, "has a text that does not end in its line")
		case c == '\\':
			i++
			if i == len(p.text) {
				break
			}
			meant, known := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '\\': '\\', '\'': '\'', '"': '"'}[p.text[i]]
			if !known {
				p.fail(i-1, `has a \ that stands before none of n, t, r, \ and quotes`)
			}
			b.WriteByte(meant)
		default:
			b.WriteByte(c)
		}
	}
	p.fail(start, "has a text without its second %c", quote)
}

func (p *parser) isWord(text string) bool { return p.here.kind == kWord && p.here.text == text }
func (p *parser) isSign(texts ...string) bool {
	return p.here.kind == kSign && slices.Contains(texts, p.here.text)
}

func (p *parser) deeper() {
	if p.depth++; p.depth > MaxDepth {
		p.fail(p.here.at, "is nested deeper than %d levels", MaxDepth)
	}
}

func (p *parser) or() *node { return p.joined(opOr, "or", p.and) }

func (p *parser) and() *node { return p.joined(opAnd, "and", p.not) }

func (p *parser) joined(op op, word string, term func() *node) *node {
	first := term()
	if !p.isWord(word) {
		return first
	}
	n := &node{op: op, of: []*node{first}}
	for p.isWord(word) {
		p.next()
		n.of = append(n.of, term())
	}
	return n
}

func (p *parser) not() *node {
	if !p.isWord("not") {
		return p.compare()
	}
	p.next()
	p.deeper()
	n := &node{op: opNot, of: []*node{p.not()}}
	p.depth--
	return n
}

func (p *parser) compare() *node {
	first := p.term()
	if !p.isSign(comparisons...) {
		return first
	}
	n := &node{op: opCompare, of: []*node{first}}
	for p.isSign(comparisons...) {
		n.signs = append(n.signs, p.here.text)
		p.next()
		n.of = append(n.of, p.term())
	}
	return n
}

var comparisons = []string{"==", "!=", ">", ">=", "<", "<="}

// reserved are words that are no names.
var reserved = []string{"and", "or", "not", "in", "is", "if", "else"}

func (p *parser) term() *node {
	t := p.here
	switch {
	case p.isSign("("):
		p.next()
		p.deeper()
		n := p.or()
		p.depth--
		if !p.isSign(")") {
			p.unexpected("')'")
		}
		p.next()
		return n
	case t.kind == kString:
		p.next()
		return &node{value: t.text}
	case t.kind == kNumber:
		v := number(t.text)
		if v == nil {
			p.fail(t.at, "has a number that is too large: %s", t.text)
		}
		p.next()
		return &node{value: v}
	case t.kind == kWord && t.text == "jobs":
		return p.reference()
	case t.kind == kWord && !slices.Contains(reserved, t.text):
		switch strings.ToLower(t.text) {
		case "true", "false":
			p.next()
			return &node{value: strings.EqualFold(t.text, "true")}
		case "null", "none":
			p.next()
			return &node{}
		}
		if _, known := refused[t.text]; !known {
			p.fail(t.at, "has %q, and knows no name but jobs: texts are in quotes", t.text)
		}
	}
	p.unexpected("jobs.<id>.…, a value or '('")
	return nil
}

func (p *parser) reference() *node {
	r := Ref{Offset: p.here.at}
	p.next()
	name := func(what string) string {
		if !p.isSign(".") {
			p.unexpected("'.' and " + what)
		}
		p.next()
		switch {
		case p.here.kind != kWord:
			p.unexpected(what)
		case p.here.text[0] == '_':
			p.fail(p.here.at, "has %q: names must not begin with _", p.here.text)
		}
		text := p.here.text
		p.next()
		return text
	}
	r.Job = name("the id of a job")
	at := p.here.at
	r.Field = name("one of " + strings.Join(Fields, ", "))
	if !slices.Contains(Fields, r.Field) {
		p.fail(at, "asks a job for %q, which has %s", r.Field, strings.Join(Fields, ", "))
	}
	if r.Field == "outputs" {
		r.Path = []string{name("the key of an output")}
		for p.isSign(".") {
			r.Path = append(r.Path, name("a key"))
		}
	} else if p.isSign(".") {
		p.fail(p.here.at, "asks for a member of %s, which is a text", r.Field)
	}
	if p.isSign("(") {
		p.fail(p.here.at, "has a call, and there are none")
	}
	p.expr.refs = append(p.expr.refs, r)
	return &node{op: opRef, ref: len(p.expr.refs) - 1}
}

// number is an integer or a float; nil: it is too large.
func number(text string) any {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return nil
}
