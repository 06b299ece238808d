package rawjson

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf16"
)

// Steers reports whether a terminal takes the character for other than text: control characters, and the ones that turn the direction of
// writing, or end a line in some programs.
func Steers(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// Harmless is a valid text with the characters escaped that [Steers] names and that JSON need not escape, such as U+009B, which begins the same
// sequences as ESC [. Line breaks stay, as they stand between values only. The values stay what they are.
func Harmless(text []byte) []byte {
	harmful := func(r rune) bool { return r != '\n' && Steers(r) }
	if bytes.IndexFunc(text, harmful) < 0 {
		return text
	}
	var out bytes.Buffer
	for _, r := range string(text) { // outside of strings, JSON has none of them
		if !harmful(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.Bytes()
}
