package treedoc

import (
	"errors"
	"fmt"
	"io"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

const firstWindow = 64 << 10

// window is the part of a stream that is in memory: at most one task and what came with it.
type window struct {
	r    io.Reader
	buf  []byte
	at   int      // the next byte
	end  int      // of what was read into buf
	from Position // where buf begins
	max  int      // bytes of one task
	err  error    // why nothing more will come; io.EOF at the regular end
}

// errTooLong is a task that exceeds the window.
var errTooLong = errors.New("too long")

func newWindow(r io.Reader, max int) *window {
	return &window{r: r, buf: make([]byte, min(firstWindow, max)), max: max, from: first}
}

// wholeWindow has all of data; nothing is read or written.
func wholeWindow(data []byte, max int) *window {
	return &window{buf: data, end: len(data), max: max, err: io.EOF, from: first}
}

// position is where the next byte is.
func (w *window) position() Position { return w.from.after(w.buf[:w.at]) }

// more reads on, keeping what begins at the next byte, and reports whether something came.
func (w *window) more() bool {
	if w.err != nil {
		return false
	}
	if w.at > 0 {
		w.from = w.position()
		w.end = copy(w.buf, w.buf[w.at:w.end])
		w.at = 0
	}
	if w.end == len(w.buf) {
		if len(w.buf) >= w.max {
			w.err = errTooLong
			return false
		}
		w.buf = append(make([]byte, 0, min(2*len(w.buf), w.max)), w.buf...)
		w.buf = w.buf[:cap(w.buf)]
	}
	for range 100 {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		w.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	w.err = io.ErrNoProgress
	return false
}

// next skips white space and is the byte behind it; 0 when there is none.
func (w *window) next() byte {
	for {
		for ; w.at < w.end; w.at++ {
			if c := w.buf[w.at]; !isSpace(c) {
				return c
			}
		}
		if !w.more() {
			return 0
		}
	}
}

// value is the text of the value that begins here, not checked any further: an object or array up to its closing bracket, a string up
// to its closing quote, or what goes on until white space or a comma. It is valid until the next call.
func (w *window) value() ([]byte, error) {
	depth, quoted := 0, false
	for i := w.at; ; i++ {
		if quoted && i < w.end {
			i = rawjson.Special(w.buf[:w.end], i)
		}
		if i >= w.end {
			n := i - w.at
			if !w.more() {
				if depth == 0 && !quoted && w.err == io.EOF && n > 0 {
					return w.take(n)
				}
				return nil, w.ended()
			}
			i = w.at + n
			if i >= w.end { // stepped over a byte that is yet to come
				i--
				continue
			}
		}
		switch c := w.buf[i]; {
		case quoted:
			if c == '"' {
				if quoted = false; depth == 0 {
					return w.take(i + 1 - w.at)
				}
			} else if c == '\\' {
				i++
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth <= 0 {
				return w.take(i + 1 + depth - w.at) // of a number or a word, this is not a part
			}
		case depth == 0 && (c == ',' || isSpace(c)):
			return w.take(i - w.at)
		}
	}
}

// take is the next n bytes.
func (w *window) take(n int) ([]byte, error) {
	if n > w.max {
		return nil, errTooLong
	}
	text := w.buf[w.at : w.at+n]
	w.at += n
	return text, nil
}

// ended is why the text stops short.
func (w *window) ended() error {
	switch {
	case w.err == io.EOF: // or something before it is wrong already
		s := scanner{text: w.buf[w.at:w.end]}
		return s.skip()
	case w.err == errTooLong:
		return errTooLong
	}
	return fmt.Errorf("read tasks: %w", w.err)
}
