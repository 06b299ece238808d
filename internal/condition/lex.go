package condition

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// kind is what a token is.
type kind uint8

const (
	end kind = iota
	word
	integer
	unsigned
	float
	quoted
	escaped // a field's name between backticks; its text is the name
	sign    // an operator or a bracket: its text says which; in, true, false and null, too
)

// token is a piece of an expression, from start up to end, counted in characters.
type token struct {
	kind       kind
	text       string
	start, end int32
}

// signs are the operators and brackets, longest first.
var signs = []string{"==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*", "/", "%"}

// lexer cuts a text into tokens.
type lexer struct {
	text []rune
	at   int
}

func (l *lexer) peek(i int) rune {
	if l.at+i < len(l.text) {
		return l.text[l.at+i]
	}
	return -1
}

// next is the next token; at the end of the text it has the kind end.
func (l *lexer) next() (token, *Fault) {
	l.blanks()
	start := l.at
	made := func(k kind) (token, *Fault) {
		return token{k, string(l.text[start:l.at]), int32(start), int32(l.at)}, nil
	}
	c := l.peek(0)
	switch {
	case c < 0:
		return token{end, "", int32(start), int32(start)}, nil
	case digit(c), c == '.' && digit(l.peek(1)):
		return made(l.number())
	case c == '"', c == '\'':
		return l.quotation(start, false)
	case (c == 'r' || c == 'R') && l.quote(1):
		l.at++
		return l.quotation(start, true)
	case (c == 'b' || c == 'B') && l.quotes(1):
		return token{}, faultAt(l.text, start, "there are no literals of bytes here")
	case c == '`':
		return l.escaped(start)
	case letter(c):
		for letter(l.peek(0)) || digit(l.peek(0)) {
			l.at++
		}
		switch t := string(l.text[start:l.at]); t {
		case "in", "true", "false", "null":
			return made(sign)
		}
		return made(word)
	}
	for _, s := range signs {
		if strings.HasPrefix(string(l.text[l.at:min(l.at+2, len(l.text))]), s) {
			l.at += len(s)
			return made(sign)
		}
	}
	return token{}, faultAt(l.text, start, fmt.Sprintf("unexpected character %q", c))
}

// escaped reads a field's name between backticks.
func (l *lexer) escaped(start int) (token, *Fault) {
	for l.at++; ; l.at++ {
		switch c := l.peek(0); {
		case letter(c), digit(c), c == '.', c == '-', c == '/', c == ' ':
			continue
		case c == '`' && l.at > start+1:
			l.at++
			return token{escaped, string(l.text[start+1 : l.at-1]), int32(start), int32(l.at)}, nil
		}
		return token{}, faultAt(l.text, start, "between backticks is the name of a field, of letters, digits, _ . - / and spaces")
	}
}

// quote says whether a quotation mark is ahead, quotes whether one is that may have an r before it.
func (l *lexer) quote(i int) bool { return l.peek(i) == '"' || l.peek(i) == '\'' }
func (l *lexer) quotes(i int) bool {
	return l.quote(i) || (l.peek(i) == 'r' || l.peek(i) == 'R') && l.quote(i+1)
}

// blanks skips white space and comments.
func (l *lexer) blanks() {
	for {
		switch c := l.peek(0); {
		case c == ' ', c == '\t', c == '\r', c == '\n', c == '\f':
			l.at++
		case c == '/' && l.peek(1) == '/':
			for l.peek(0) >= 0 && l.peek(0) != '\n' {
				l.at++
			}
		default:
			return
		}
	}
}

// number reads a number of any form.
func (l *lexer) number() kind {
	k := integer
	if l.peek(0) == '0' && l.peek(1) == 'x' && hex(l.peek(2)) {
		for l.at += 2; hex(l.peek(0)); {
			l.at++
		}
	} else {
		for digit(l.peek(0)) {
			l.at++
		}
		if l.peek(0) == '.' && digit(l.peek(1)) {
			k = float
			for l.at++; digit(l.peek(0)); {
				l.at++
			}
		}
		if n := l.exponent(); n > 0 {
			k = float
			l.at += n
		}
	}
	if c := l.peek(0); k == integer && (c == 'u' || c == 'U') {
		l.at++
		return unsigned
	}
	return k
}

// exponent is the length of the exponent that follows, 0 if none does.
func (l *lexer) exponent() int {
	n := 0
	if c := l.peek(n); c != 'e' && c != 'E' {
		return 0
	}
	n++
	if c := l.peek(n); c == '+' || c == '-' {
		n++
	}
	if !digit(l.peek(n)) {
		return 0
	}
	for digit(l.peek(n)) {
		n++
	}
	return n
}

// quotation reads a string, from its first quotation mark. The token's text is its value.
func (l *lexer) quotation(start int, raw bool) (token, *Fault) {
	mark := l.peek(0)
	long := l.peek(1) == mark && l.peek(2) == mark
	if long {
		l.at += 3
	} else {
		l.at++
	}
	first := l.at
	for {
		c := l.peek(0)
		switch {
		case c < 0, !long && (c == '\n' || c == '\r'):
			return token{}, faultAt(l.text, start, "a string that does not end")
		case c == '\\' && !raw:
			l.at += 2
			continue
		case c == mark && !long:
		case c == mark && l.peek(1) == mark && l.peek(2) == mark:
		default:
			l.at++
			continue
		}
		break
	}
	value := string(l.text[first:l.at])
	if l.at++; long {
		l.at += 2
	}
	value = newlines.Replace(value)
	if !raw {
		plain, err := unescape(value)
		if err != nil {
			return token{}, faultAt(l.text, start, err.Error())
		}
		value = plain
	}
	return token{quoted, value, int32(start), int32(l.at)}, nil
}

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// plain are the characters that stand for one other after a backslash.
var plain = map[byte]byte{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\', '\'': '\'', '"': '"', '`': '`', '?': '?'}

// unescape is what a string with escapes says.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		if after == "" {
			return "", errors.New(`a string that ends with a backslash`)
		}
		c := after[0]
		s = after[1:]
		if p, ok := plain[c]; ok {
			out.WriteByte(p)
			continue
		}
		digits, base := 0, rune(16)
		switch c {
		case 'x', 'X':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		case '0', '1', '2', '3':
			digits, base, s = 3, 8, after
		default:
			r, _ := utf8.DecodeRuneInString(after)
			return "", fmt.Errorf(`unknown escape \%c in a string`, r)
		}
		v, ok := codePoint(s, digits, base)
		if !ok || !utf8.ValidRune(v) {
			return "", fmt.Errorf(`a string has a wrong escape \%c`, c)
		}
		out.WriteRune(v)
		s = s[digits:]
	}
}

// codePoint is what n digits say at the beginning of a text.
func codePoint(s string, n int, base rune) (v rune, ok bool) {
	if len(s) < n {
		return 0, false
	}
	for _, c := range s[:n] {
		d := rune(-1)
		switch {
		case digit(c):
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			d = c - 'A' + 10
		}
		if d < 0 || d >= base {
			return 0, false
		}
		v = v*base + d
	}
	return v, true
}

func digit(c rune) bool { return c >= '0' && c <= '9' }
func hex(c rune) bool {
	return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
func letter(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
