package treedoc

import (
	"bytes"
	"fmt"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// maxDepth is how deep arrays and objects may nest within a task, the task itself included.
const maxDepth = rawjson.MaxDepth

// syntaxError is a place where text stops being JSON.
type syntaxError struct {
	at     int // in the text scanned
	reason string
}

func (e *syntaxError) Error() string { return e.reason }

// scanner steps through JSON text, strictly as RFC 8259 has it, and hands out its parts as they stand there. It looks
// at every byte once and keeps nothing. That the text is UTF-8, its caller has to see to.
type scanner struct {
	text  []byte
	at    int
	depth int
	// spaced is set by white space between tokens.
	spaced bool
	// unsure is set by an object that is stepped over if its names are not plainly different.
	unsure bool
	// names are those of the objects that are being stepped over, in their quotes. nil: they are not compared.
	names [][]byte
}

// compare begins with a text, in the memory of the one before, and compares names.
func (s *scanner) compare(text []byte) {
	if s.names == nil {
		s.names = make([][]byte, 0, 2*fewNames)
	}
	*s = scanner{text: text, names: s.names[:0]}
}

func (s *scanner) fail(format string, args ...any) error {
	return &syntaxError{s.at, fmt.Sprintf(format, args...)}
}

// unexpected says what is wrong with the byte at hand.
func (s *scanner) unexpected(want string) error {
	if s.at >= len(s.text) {
		return s.fail("unexpected end")
	}
	return s.fail("unexpected %s, want %s", showByte(s.text[s.at]), want)
}

func showByte(c byte) string {
	if c > ' ' && c < 0x7f {
		return "'" + string(rune(c)) + "'"
	}
	return fmt.Sprintf("byte 0x%02x", c)
}

func (s *scanner) space() {
	for s.at < len(s.text) && isSpace(s.text[s.at]) {
		s.at++
		s.spaced = true
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// next skips white space and is the byte behind it; 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.at >= len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// part is a value within a text.
type part struct {
	raw    []byte
	spaced bool // holds white space between its tokens
	unsure bool // may hold an object that has a name twice
}

// value steps over any value.
func (s *scanner) value() (part, error) {
	s.space()
	start, before := s.at, s.spaced
	s.spaced, s.unsure = false, false
	err := s.skip()
	p := part{s.text[start:s.at], s.spaced, s.unsure}
	s.spaced = s.spaced || before
	return p, err
}

// skip steps over the value that begins here.
func (s *scanner) skip() error {
	if s.at >= len(s.text) {
		return s.unexpected("a value")
	}
	switch c := s.text[s.at]; c {
	case '"':
		return s.str()
	case '{':
		return s.object(nil)
	case '[':
		return s.array(nil)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested deeper than %d levels", maxDepth)
	}
	s.at++
	return nil
}

// object steps over the object that begins here, calling each, if given, with every key in its quotes and its value.
func (s *scanner) object(each func(key []byte, value part) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	first := len(s.names)
	if s.next() != '}' {
		for {
			if s.next() != '"' {
				return s.unexpected("a key")
			}
			start := s.at
			if err := s.str(); err != nil {
				return err
			}
			key := s.text[start:s.at]
			if s.next() != ':' {
				return s.unexpected("':'")
			}
			s.at++
			if each == nil {
				s.name(first, key)
				s.space()
				if err := s.skip(); err != nil {
					return err
				}
			} else if v, err := s.value(); err != nil {
				return err
			} else if err := each(key, v); err != nil {
				return err
			}
			if s.next() != ',' {
				break
			}
			s.at++
		}
	}
	if s.names != nil {
		s.names = s.names[:first]
	}
	return s.leave('}')
}

// fewNames is how many names of an object are compared one by one.
const fewNames = 16

// name takes a name of an object whose names begin at first.
func (s *scanner) name(first int, quoted []byte) {
	if s.unsure || s.names == nil {
		return
	}
	if len(s.names) == first+fewNames || bytes.IndexByte(quoted, '\\') >= 0 {
		s.unsure = true
		return
	}
	for _, before := range s.names[first:] {
		if bytes.Equal(before, quoted) {
			s.unsure = true
			return
		}
	}
	s.names = append(s.names, quoted)
}

// array steps over the array that begins here, calling each, if given, with every item.
func (s *scanner) array(each func(item part) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	if s.next() != ']' {
		for {
			s.space()
			if each == nil {
				if err := s.skip(); err != nil {
					return err
				}
			} else if v, err := s.value(); err != nil {
				return err
			} else if err := each(v); err != nil {
				return err
			}
			if s.next() != ',' {
				break
			}
			s.at++
		}
	}
	return s.leave(']')
}

func (s *scanner) leave(end byte) error {
	if s.next() != end {
		return s.unexpected("',' or " + showByte(end))
	}
	s.at++
	s.depth--
	return nil
}

func (s *scanner) word(w string) error {
	for i := range len(w) {
		if s.at >= len(s.text) || s.text[s.at] != w[i] {
			return s.unexpected(w)
		}
		s.at++
	}
	return nil
}

// str steps over the string that begins here.
func (s *scanner) str() error {
	for s.at++; ; s.at++ {
		if s.at = rawjson.Special(s.text, s.at); s.at >= len(s.text) {
			return s.fail("unexpected end")
		}
		switch c := s.text[s.at]; c {
		case '"':
			s.at++
			return nil
		case '\\':
			if err := s.escape(); err != nil {
				return err
			}
		default:
			return s.fail("unexpected %s in a string", showByte(c))
		}
	}
}

// escape steps to the last byte of the escape that begins here.
func (s *scanner) escape() error {
	s.at++
	if s.at >= len(s.text) {
		return s.fail("unexpected end")
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
	default:
		return s.unexpected("an escape")
	}
	for range 4 {
		s.at++
		if s.at >= len(s.text) || !isHex(s.text[s.at]) {
			return s.unexpected("a hexadecimal digit")
		}
	}
	return nil
}

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (s *scanner) number() error {
	if s.text[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.text) && s.text[s.at] == '0' {
		s.at++
	} else if err := s.digits("a value"); err != nil {
		return err
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if err := s.digits("a digit"); err != nil {
			return err
		}
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		return s.digits("a digit")
	}
	return nil
}

// digits steps over at least one.
func (s *scanner) digits(want string) error {
	start := s.at
	for s.at < len(s.text) && isDigit(s.text[s.at]) {
		s.at++
	}
	if s.at == start {
		return s.unexpected(want)
	}
	return nil
}

// appendCompact appends a valid value without the white space between its tokens.
func appendCompact(out []byte, p part) []byte {
	if !p.spaced {
		return append(out, p.raw...)
	}
	return rawjson.AppendCompact(out, p.raw)
}
