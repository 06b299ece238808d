package fill

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"

	"github.com/taskgrove/taskgrove/executors/excel"
)

// maxField is how many bytes of a field are read: more than any cell may have.
const maxField = 256 << 10

// csvReader reads rows of text files: as encoding/csv does, with the dialects that steps know (flows 5.3). Line breaks outside of quotes are any of \n, \r\n and \r.
type csvReader struct {
	r     *bufio.Reader
	d     excel.Dialect
	line  int // that a row begins in
	at    int // that the reader is in
	field []byte
	row   []value
	begun bool
}

func newCSVReader(r io.Reader, d excel.Dialect) (*csvReader, error) {
	decoded, err := decode(r, d.Encoding)
	if err != nil {
		return nil, err
	}
	return &csvReader{r: bufio.NewReaderSize(decoded, 64<<10), d: d, at: 1}, nil
}

// decode gives a text in UTF-8.
func decode(r io.Reader, name string) (io.Reader, error) {
	var e encoding.Encoding
	switch strings.ReplaceAll(name, "_", "-") {
	case "utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii":
		return r, nil
	case "utf-16", "utf16":
		e = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "utf-16-le", "utf-16le":
		e = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "utf-16-be", "utf-16be":
		e = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case "utf-32", "utf32":
		e = utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	case "utf-32-le", "utf-32le":
		e = utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)
	case "utf-32-be", "utf-32be":
		e = utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)
	case "latin-1", "latin1", "iso-8859-1":
		e, _ = htmlindex.Get("windows-1252") // as browsers have it: it differs only in control characters
	default:
		if cp, ok := strings.CutPrefix(name, "cp125"); ok {
			name = "windows-125" + cp
		}
		var err error
		if e, err = htmlindex.Get(name); err != nil {
			return nil, fmt.Errorf("encoding %.100q is unknown", name)
		}
	}
	return transform.NewReader(r, e.NewDecoder()), nil
}

var (
	errNotUTF8  = errors.New("is not text in the encoding that is given")
	errColumns  = fmt.Errorf("has more than %d columns", excel.MaxCol)
	errField    = fmt.Errorf("has a field of more than %d bytes", maxField)
	errUnclosed = errors.New("begins a quote that never ends")
)

// next is the next row, which stays the reader's until the call after; io.EOF: there is none.
func (c *csvReader) next() ([]value, error) {
	c.line, c.row = c.at, c.row[:0]
	if !c.begun {
		c.begun = true
		if mark, _ := c.r.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
			_, _ = c.r.Discard(3)
		}
	}
	err := c.read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d %w", c.line, err)
	}
	return c.row, err
}

func (c *csvReader) read() error {
	const (
		start = iota
		plain
		quoted
		after // a quote that may end the field
	)
	state, wasQuoted, empty := start, false, true
	c.field = c.field[:0]
	for {
		b, err := c.r.ReadByte()
		if err != nil {
			switch {
			case !errors.Is(err, io.EOF):
				return err
			case state == quoted:
				return errUnclosed
			case empty:
				return io.EOF
			}
			return c.end(wasQuoted)
		}
		if len(c.field) > maxField {
			return errField
		}
		breaks := b == '\n' || b == '\r'
		switch {
		case c.d.Escape != 0 && b == c.d.Escape && state != after:
			if b, err = c.r.ReadByte(); errors.Is(err, io.EOF) {
				b = c.d.Escape // with nothing after it, it stands for itself
			} else if err != nil {
				return err
			}
			if b == '\n' {
				c.at++
			}
			c.field = append(c.field, b)
			if state == start {
				state = plain
			}
		case state == quoted && c.d.Quote != 0 && b == c.d.Quote:
			state = after
		case state == quoted:
			if b == '\n' {
				c.at++
			}
			c.field = append(c.field, b)
		case state == after && c.d.DoubleQuote && b == c.d.Quote:
			c.field = append(c.field, b)
			state = quoted
		case breaks:
			if b == '\r' {
				if n, _ := c.r.Peek(1); len(n) == 1 && n[0] == '\n' {
					_, _ = c.r.Discard(1)
				}
			}
			c.at++
			if empty {
				return nil // a line of nothing is a row of no cells
			}
			return c.end(wasQuoted)
		case b == c.d.Delimiter:
			if err := c.end(wasQuoted); err != nil {
				return err
			}
			state, wasQuoted = start, false
		case state == start && c.d.Quote != 0 && b == c.d.Quote:
			state, wasQuoted = quoted, true
		default:
			c.field = append(c.field, b)
			state = plain
		}
		empty = false
	}
}

// end ends a field.
func (c *csvReader) end(quoted bool) error {
	if len(c.row) == excel.MaxCol {
		return errColumns
	}
	if !utf8.Valid(c.field) {
		return errNotUTF8
	}
	v := textValue(string(c.field))
	c.field = c.field[:0]
	if c.d.Nonnumeric && !quoted && v.kind == text {
		s := strings.TrimSpace(v.text)
		f, err := strconv.ParseFloat(s, 64)
		switch {
		case !decimal(s):
			return fmt.Errorf("has %.50q outside of quotes, which is no number", v.text)
		case err != nil:
		case whole(s):
			v = integer(s)
		default:
			v = float(f)
		}
	}
	c.row = append(c.row, v)
	return nil
}

// countLines counts rows quickly: line feeds, and a last line without one.
func countLines(r io.Reader, feed byte) (n int, err error) {
	buf := make([]byte, 64<<10)
	last := feed
	for {
		k, err := r.Read(buf)
		if k > 0 {
			n += bytes.Count(buf[:k], []byte{feed})
			last = buf[k-1]
		}
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
	}
	if last != feed {
		n++
	}
	return n, nil
}
