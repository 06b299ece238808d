package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// Special is the index of the first byte from i on that has a meaning within a string: a quote, a backslash or a control character. It is
// the text's length if there is none. It looks at eight bytes at a time.
func Special(text []byte, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		word := binary.LittleEndian.Uint64(text[i:])
		quote, backslash := word^(ones*'"'), word^(ones*'\\')
		// A byte below n borrows from its own high bit when n is taken from it, and had none before. Bytes above one that does may be taken
		// for such, never bytes below, and the lowest is the first.
		found := ((quote-ones)&^quote | (backslash-ones)&^backslash | (word-ones*' ')&^word) & high
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return len(text)
}

// SkipString is the index behind the string that begins at i, in a text that need not be JSON; the text's length if it does not end.
func SkipString(text []byte, i int) int {
	for i = Special(text, i+1); i < len(text); i = Special(text, i) {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i += 2
		default:
			i++
		}
	}
	return len(text)
}

// SkipSpace is the index of the first byte from i on that is no white space.
func SkipSpace(text []byte, i int) int {
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	return i
}

// SkipValue is the index behind the value that begins at i of a valid text. Where none begins, it is i.
func SkipValue(text []byte, i int) int {
	for level := 0; i < len(text); {
		switch text[i] {
		case '"':
			if i = SkipString(text, i); level == 0 {
				return i
			}
			continue
		case '[', '{':
			level++
		case ']', '}':
			if level == 0 { // the end of what holds a number or word
				return i
			}
			if level--; level == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\n', '\t', '\r':
			if level == 0 {
				return i
			}
		}
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// AppendCompact appends a valid text without white space between its tokens.
func AppendCompact(out, text []byte) []byte {
	from := 0
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			i = SkipString(text, i)
		case isSpace(c):
			out = append(out, text[from:i]...)
			i = SkipSpace(text, i)
			from = i
		default:
			i++
		}
	}
	return append(out, text[from:]...)
}
