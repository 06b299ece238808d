package treedoc

import (
	"bytes"
	"unicode/utf8"
)

// Position is a place in a text, for people: both count from 1, and columns are characters.
type Position struct{ Line, Column int }

// first is where a text begins.
var first = Position{1, 1}

// PositionOf is the place of the byte at offset.
func PositionOf(text []byte, offset int) Position {
	return first.after(text[:max(0, min(offset, len(text)))])
}

// after is the place behind a text that begins here.
func (p Position) after(text []byte) Position {
	if lines := bytes.Count(text, []byte{'\n'}); lines > 0 {
		p.Line += lines
		p.Column = 1
		text = text[bytes.LastIndexByte(text, '\n')+1:]
	}
	p.Column += utf8.RuneCount(text)
	return p
}
