package dag

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// member is one key and value of a JSON object, as bytes of the text that it was read from.
type member struct {
	key   []byte // with its quotes
	value []byte
}

// name is the key decoded, so that two spellings of one key compare equal.
func (m member) name() string { return unquote(m.key) }

// is reports whether the key, decoded, is name.
func (m member) is(name string) bool {
	if isPlain(m.key) {
		return string(m.key[1:len(m.key)-1]) == name
	}
	return m.name() == name
}

// unquote decodes a JSON string given with its quotes.
func unquote(quoted []byte) string {
	if isPlain(quoted) {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // callers pass strings out of valid JSON
	return s
}

// isPlain reports whether a JSON string stands for the bytes between its quotes.
func isPlain(quoted []byte) bool {
	return !slices.ContainsFunc(quoted, func(c byte) bool { return c == '\\' || c >= utf8.RuneSelf })
}

// isObject reports whether valid JSON is an object.
func isObject(value []byte) bool {
	i := skipSpace(value, 0)
	return i < len(value) && value[i] == '{'
}

// isNull reports whether valid JSON is null; nothing at all counts as null.
func isNull(value []byte) bool {
	i := skipSpace(value, 0)
	return i >= len(value) || value[i] == 'n'
}

// members yields what a valid JSON object holds, in its order, repeated keys included. For anything else it yields
// nothing.
func members(object []byte) func(yield func(member) bool) {
	return func(yield func(member) bool) {
		i := skipSpace(object, 0)
		if i >= len(object) || object[i] != '{' {
			return
		}
		for i = skipSpace(object, i+1); i < len(object) && object[i] == '"'; i = skipSpace(object, i+1) {
			var m member
			end := skipString(object, i)
			if end-i < 2 {
				return
			}
			m.key = object[i:end]
			i = skipSpace(object, end)
			i = skipSpace(object, i+1) // the colon
			end = skipValue(object, i)
			m.value = object[min(i, end):end]
			if !yield(m) {
				return
			}
			i = skipSpace(object, end) // at the comma or the end
		}
	}
}

// lookup is the value of a key of a valid JSON object, the last one if it is repeated; nil when there is none.
func lookup(object []byte, key string) (value []byte) {
	for m := range members(object) {
		if m.is(key) {
			value = m.value
		}
	}
	return value
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString is the index after the string that begins at i.
func skipString(b []byte, i int) int {
	quote := i
	for i++; i < len(b); {
		if quote < i {
			n := bytes.IndexByte(b[i:], '"')
			if n < 0 {
				return len(b)
			}
			quote = i + n
		}
		escape := bytes.IndexByte(b[i:quote], '\\')
		if escape < 0 {
			return quote + 1
		}
		i += escape + 2
	}
	return len(b)
}

// skipValue is the index after the value that begins at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			i++
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
			i++
			continue
		default: // a number or a word
			for i < len(b) && !isDelimiter(b[i]) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return len(b)
}

func isDelimiter(c byte) bool {
	switch c {
	case ',', ':', ' ', '\n', '\t', '\r', '}', ']', '{', '[', '"':
		return true
	}
	return false
}

// appendQuoted appends s as a JSON string. Unlike encoding/json it leaves <, > and & as they are.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r) // U+FFFD for what is not UTF-8
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}
