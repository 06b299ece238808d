package modeltest

import (
	"bytes"
	"compress/gzip"
	"iter"
	"net/http"
	"strings"
)

// chunks are how many bytes are written at once, by turns: odd, so that characters, lines and events are cut anywhere.
var chunks = []int{97, 1, 7, 61, 2, 29, 3, 13, 89, 5}

// send writes bytes in the turn's chunks, and says whether the client still listens.
func (a *answer) send(t *Turn, b []byte) bool {
	flush := http.NewResponseController(a.w)
	for i := 0; len(b) > 0; i++ {
		n := t.Chunk
		switch {
		case n < 0:
			n = len(b)
		case n == 0:
			n = chunks[i%len(chunks)]
		}
		n = min(n, len(b))
		if _, err := a.w.Write(b[:n]); err != nil || !live(a.r.Context()) {
			a.gone()
			return false
		}
		_ = flush.Flush()
		b = b[n:]
	}
	return true
}

// fillPlace is where the text of Fill and Endless goes in an answer that does not stream.
const fillPlace = "@@fill@@"

// filler is the text of Fill and Endless.
const filler = "All work and no play makes Jack a dull boy. "

// fill writes the text of Fill and Endless.
func (a *answer) fill(t *Turn) bool {
	for text := range t.filled(32 << 10) {
		if _, err := a.w.Write([]byte(text)); err != nil || !live(a.r.Context()) {
			a.gone()
			return false
		}
	}
	return true
}

// filled are the texts of Fill and Endless, each of about so many bytes.
func (t *Turn) filled(size int) iter.Seq[string] {
	return func(yield func(string) bool) {
		block := strings.Repeat(filler, max(1, size/len(filler)))
		for left := t.Fill; left > 0; left -= len(block) {
			if !yield(block[:min(len(block), left)]) {
				return
			}
		}
		for t.Endless && yield(block) {
		}
	}
}

// zip writes a body compressed.
func (a *answer) zip(t *Turn, before, after []byte) {
	z := gzip.NewWriter(a.w)
	_, _ = z.Write(before)
	for text := range t.filled(32 << 10) {
		if _, err := z.Write([]byte(text)); err != nil || !live(a.r.Context()) {
			a.gone()
			return
		}
	}
	_, _ = z.Write(after)
	_ = z.Close()
}

// pieces are the tokens of the turn's text, roughly as a model makes them: words with the blank before them, and long words in parts.
func (t *Turn) pieces() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, token := range split(t.Text) {
			if !yield(token) {
				return
			}
		}
		t.filled(1 << 10)(yield)
	}
}

// After manyTokens, tokens have up to longToken characters: a text of megabytes would be a hundred thousand events otherwise, and minutes of a slow machine.
const manyTokens, longToken = 4000, 1000

// split cuts a text into tokens.
func split(text string) []string {
	var out []string
	var b bytes.Buffer
	runes := 0
	for _, c := range text {
		most, blank := 6, c == ' '
		if len(out) >= manyTokens {
			most, blank = longToken, false
		}
		if runes > 0 && (blank || runes == most) {
			out = append(out, b.String())
			b.Reset()
			runes = 0
		}
		b.WriteRune(c)
		runes++
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	return out
}
