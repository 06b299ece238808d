package treedoc

import (
	"bytes"
	"sort"
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

// Places finds places in one text, without counting from its beginning each time.
type Places struct {
	text  []byte
	marks []mark
}

type mark struct {
	offset int
	at     Position
}

// markEvery is how many bytes are counted for a place, at most.
const markEvery = 4 << 10

// NewPlaces looks through a text, which must not change.
func NewPlaces(text []byte) *Places {
	p := &Places{text: text, marks: []mark{{0, first}}}
	for end := markEvery; end < len(text); end += markEvery {
		for end < len(text) && !utf8.RuneStart(text[end]) {
			end++
		}
		last := p.marks[len(p.marks)-1]
		p.marks = append(p.marks, mark{end, last.at.after(text[last.offset:end])})
	}
	return p
}

// Of is the place of the byte at offset.
func (p *Places) Of(offset int) Position {
	offset = max(0, min(offset, len(p.text)))
	i := sort.Search(len(p.marks), func(i int) bool { return p.marks[i].offset > offset }) - 1
	return p.marks[i].at.after(p.text[p.marks[i].offset:offset])
}
