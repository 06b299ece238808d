package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a tool that is written as text.
const (
	maxSyntaxBytes = 16 << 10
	maxSyntaxDepth = 20
)

// written is a tool as tasks write it in text: "Name(1, b='x')".
type written struct {
	name       string
	positional []json.RawMessage
	names      []string // of the arguments that have one, in their order
	named      []json.RawMessage
}

// parse reads such a text. Arguments are literals of Python: texts, numbers, True, False, None, lists, tuples and dictionaries. The parentheses
// may be left out.
func parse(text string) (*written, error) {
	if len(text) > maxSyntaxBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxSyntaxBytes)
	}
	p := &parser{text: text}
	w := &written{name: p.word()}
	if !identifier(w.name) {
		return nil, errors.New("want a name with its arguments in parentheses, such as MyTool(x=1)")
	}
	if p.space(); p.done() {
		return w, nil
	}
	if !p.take('(') {
		return nil, fmt.Errorf("want ( behind the name, not %s", p.here())
	}
	if err := p.arguments(w); err != nil {
		return nil, err
	}
	if p.space(); !p.done() {
		return nil, fmt.Errorf("want nothing behind ), not %s", p.here())
	}
	return w, nil
}

// parser reads literals from left to right.
type parser struct {
	text string
	at   int
}

func (p *parser) done() bool { return p.at >= len(p.text) }

func (p *parser) space() {
	for !p.done() && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take goes over a byte behind white space, if it is the next.
func (p *parser) take(c byte) bool {
	p.space()
	if p.done() || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

// here shows where the text can't be read, for people.
func (p *parser) here() string {
	if p.done() {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return fmt.Sprintf("%q at byte %d", r, p.at+1)
}

// word is the letters, digits and _ that come next.
func (p *parser) word() string {
	p.space()
	from := p.at
	for !p.done() && identifier("_"+p.text[p.at:p.at+1]) {
		p.at++
	}
	return p.text[from:p.at]
}

// arguments reads up to the closing parenthesis.
func (p *parser) arguments(w *written) error {
	for !p.take(')') {
		from := p.at
		name := p.word()
		if p.space(); !identifier(name) || p.done() || p.text[p.at] != '=' {
			p.at, name = from, ""
		} else {
			p.at++
		}
		value, err := p.literal(0)
		switch {
		case err != nil:
			return err
		case name != "":
			w.names, w.named = append(w.names, name), append(w.named, value)
		case len(w.names) > 0:
			return errors.New("an argument without a name stands behind one that has one")
		default:
			w.positional = append(w.positional, value)
		}
		if !p.take(',') && (p.done() || p.text[p.at] != ')') {
			return fmt.Errorf("want , or ) behind an argument, not %s", p.here())
		}
	}
	return nil
}

// literal reads one value, as JSON.
func (p *parser) literal(depth int) (json.RawMessage, error) {
	if p.space(); p.done() {
		return nil, errors.New("it ends where a value should be")
	}
	if depth > maxSyntaxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxSyntaxDepth)
	}
	switch c := p.text[p.at]; {
	case c == '\'' || c == '"':
		text, err := p.quoted(c)
		if err != nil {
			return nil, err
		}
		return json.Marshal(text)
	case c == '[':
		return p.list(']', depth)
	case c == '(':
		return p.list(')', depth)
	case c == '{':
		return p.dictionary(depth)
	case c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.':
		return p.number()
	}
	from := p.at
	switch p.word() {
	case "True", "true":
		return json.RawMessage("true"), nil
	case "False", "false":
		return json.RawMessage("false"), nil
	case "None", "null":
		return json.RawMessage("null"), nil
	}
	p.at = from
	return nil, fmt.Errorf("values are literals only: texts, numbers, True, False, None, lists, dictionaries; not %s", p.here())
}

func (p *parser) number() (json.RawMessage, error) {
	from := p.at
	for !p.done() && strings.IndexByte("0123456789+-.eE_", p.text[p.at]) >= 0 {
		p.at++
	}
	text := strings.TrimPrefix(strings.ReplaceAll(p.text[from:p.at], "_", ""), "+")
	if number := json.RawMessage(text); json.Valid(number) {
		return number, nil
	}
	f, err := strconv.ParseFloat(text, 64) // 1. and .5
	if err != nil {
		p.at = from
		return nil, fmt.Errorf("no number: %s", p.here())
	}
	return json.Marshal(f)
}

func (p *parser) list(end byte, depth int) (json.RawMessage, error) {
	p.at++
	out := []byte{'['}
	for !p.take(end) {
		value, err := p.literal(depth + 1)
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, value...)
		if !p.take(',') && (p.done() || p.text[p.at] != end) {
			return nil, fmt.Errorf("want , or %c in a list, not %s", end, p.here())
		}
	}
	return append(out, ']'), nil
}

func (p *parser) dictionary(depth int) (json.RawMessage, error) {
	p.at++
	out := []byte{'{'}
	for !p.take('}') {
		if p.space(); p.done() || p.text[p.at] != '\'' && p.text[p.at] != '"' {
			return nil, fmt.Errorf("want a text as the key in a dictionary, not %s", p.here())
		}
		key, err := p.literal(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.take(':') {
			return nil, fmt.Errorf("want : behind a key, not %s", p.here())
		}
		value, err := p.literal(depth + 1)
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, key...), ':'), value...)
		if !p.take(',') && (p.done() || p.text[p.at] != '}') {
			return nil, fmt.Errorf("want , or } in a dictionary, not %s", p.here())
		}
	}
	return append(out, '}'), nil
}

// escapes are those of a text that stand for one byte.
var escapes = map[byte]byte{'\\': '\\', '\'': '\'', '"': '"', 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f', '0': 0}

// quoted reads a text in quotes.
func (p *parser) quoted(quote byte) (string, error) {
	p.at++
	var b strings.Builder
	for !p.done() {
		c := p.text[p.at]
		p.at++
		switch {
		case c == quote:
			return b.String(), nil
		case c == '\n':
			return "", errors.New("a text does not end in its line")
		case c != '\\':
			b.WriteByte(c)
			continue
		case p.done():
			continue
		}
		c = p.text[p.at]
		p.at++
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		plain, known := escapes[c]
		switch {
		case known:
			b.WriteByte(plain)
		case digits == 0 || p.at+digits > len(p.text):
			return "", fmt.Errorf("a text has an escape that is none, at byte %d", p.at)
		default:
			code, err := strconv.ParseUint(p.text[p.at:p.at+digits], 16, 32)
			if err != nil || code > utf8.MaxRune {
				return "", fmt.Errorf("a text has an escape that is none, at byte %d", p.at)
			}
			b.WriteRune(rune(code))
			p.at += digits
		}
	}
	return "", errors.New("a text has no end")
}
