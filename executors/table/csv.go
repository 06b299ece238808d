package table

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Layout is how a file of text with separators looks, as Python's csv has it. Zero values are not the defaults: [Separated] has those.
type Layout struct {
	Header    bool // the first line has the names of the columns
	Encoding  string
	Delimiter string // one character
	Quote     string // one character; empty: with Quoting none alone
	Escape    string // one character, or empty
	Double    bool   // quotes within quotes are doubled; else Escape is before them
	Quoting   string // minimal, all, none or nonnumeric
	Linefeed  string // at the end of each line: \n, \r\n or \r
}

// Separated is the layout that nobody has changed.
func Separated(delimiter string) Layout {
	return Layout{Header: true, Encoding: "utf-8", Delimiter: delimiter, Quote: `"`, Double: true, Quoting: "minimal", Linefeed: "\n"}
}

// Faults are what is wrong with a layout: for each, the name of the option and the reason.
func (l *Layout) Faults() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if _, err := encodingOf(l.Encoding); err != nil {
		fault("encoding %v", err)
	}
	marks := map[string]string{}
	one := func(option, text string) {
		switch r, size := utf8.DecodeRuneInString(text); {
		case size == 0 || size != len(text) || r == utf8.RuneError:
			fault("%s must be one character", option)
		case r == '\n' || r == '\r' || r == 0:
			fault("%s must not be a line break or NUL", option)
		case marks[text] != "":
			fault("%s and %s must not be the same character", marks[text], option)
		default:
			marks[text] = option
		}
	}
	one("delimiter", l.Delimiter)
	if l.Quote != "" || l.Quoting != "none" {
		one("quotechar", l.Quote)
	}
	if l.Escape != "" {
		one("escapechar", l.Escape)
	}
	if !slices.Contains([]string{"minimal", "all", "none", "nonnumeric"}, l.Quoting) {
		fault("quoting must be minimal, all, none or nonnumeric")
	}
	if !slices.Contains([]string{"\n", "\r\n", "\r"}, l.Linefeed) {
		fault(`linefeed must be \n, \r\n or \r`)
	}
	return faults
}

// separated writes text with separators.
type separated struct {
	Layout
	to      io.Writer
	encode  encoder // nil: UTF-8 as it is
	columns []Column
	special [256]bool // bytes that begin what must be quoted or escaped
	rows    int64
	line    []byte
	ends    []int // of the cells in line
	out     []byte
}

// NewSeparated writes a file of a layout that has no faults.
func NewSeparated(to io.Writer, l Layout) Writer {
	w := &separated{Layout: l, to: to}
	w.encode, _ = encodingOf(l.Encoding) // it has no faults
	for _, mark := range []string{l.Delimiter, l.Quote, l.Escape, "\r", "\n"} {
		if mark != "" {
			w.special[mark[0]] = true
		}
	}
	return w
}

// Begin implements [Writer].
func (w *separated) Begin(columns []Column) error {
	w.columns = columns
	if mark := byteOrder[encodingWord(w.Encoding)]; mark != "" {
		if _, err := io.WriteString(w.to, mark); err != nil {
			return err
		}
	}
	if !w.Header {
		return nil
	}
	names := make([]Value, len(columns))
	for i, c := range columns {
		names[i] = Value{Class: Text, Text: []byte(c.Name)}
	}
	return w.write(names)
}

// Row implements [Writer].
func (w *separated) Row(values []Value) error {
	w.rows++
	return w.write(values)
}

// End implements [Writer].
func (*separated) End() error { return nil }

func (w *separated) write(values []Value) error {
	w.line, w.ends = w.line[:0], w.ends[:0]
	for i, v := range values {
		if i > 0 {
			w.line = append(w.line, w.Delimiter...)
		}
		if reason := w.cell(v, len(values) == 1); reason != "" {
			return &CellError{w.rows, w.columns[i].Name, reason}
		}
		w.ends = append(w.ends, len(w.line))
	}
	w.line = append(w.line, w.Linefeed...)
	if w.encode == nil {
		_, err := w.to.Write(w.line)
		return err
	}
	w.out = w.out[:0]
	cell := 0
	for i := 0; i < len(w.line); {
		r, size := utf8.DecodeRune(w.line[i:])
		for cell < len(w.ends)-1 && i >= w.ends[cell] {
			cell++
		}
		var ok bool
		if w.out, ok = w.encode(w.out, r); !ok {
			return &CellError{w.rows, w.columns[cell].Name, fmt.Sprintf("has the character %q, which the encoding %s lacks", r, w.Encoding)}
		}
		i += size
	}
	_, err := w.to.Write(w.out)
	return err
}

// cell appends a value. It gives the reason why it can't.
func (w *separated) cell(v Value, alone bool) (reason string) {
	text := v.Text
	if v.Null {
		text = nil
	}
	quoted := w.Quoting == "all" || w.Quoting == "nonnumeric" && (v.Null || v.Class != Integer && v.Class != Float && v.Class != Decimal)
	if len(text) == 0 && alone && !quoted { // an empty line is no row to who reads
		if w.Quoting == "none" {
			return "is empty and the only column, and without quotes no row is seen then"
		}
		quoted = true
	}
	begin := len(w.line)
	if quoted {
		w.line = append(w.line, w.Quote...)
	}
	plain := true
	for _, c := range text {
		if w.special[c] {
			plain = false
			break
		}
	}
	if plain {
		w.line = append(w.line, text...)
	} else if needs, reason := w.marked(text); reason != "" {
		return reason
	} else if needs && !quoted {
		quoted = true
		w.line = slices.Insert(w.line, begin, []byte(w.Quote)...)
	}
	if quoted {
		w.line = append(w.line, w.Quote...)
	}
	return ""
}

// marked appends a text that may hold characters with a meaning. needs says that quotes must be around it.
func (w *separated) marked(text []byte) (needs bool, reason string) {
	for i := 0; i < len(text); {
		mark := ""
		if w.special[text[i]] {
			mark = w.mark(text[i:])
		}
		switch {
		case mark == "":
			w.line = append(w.line, text[i])
			i++
			continue
		case w.Quoting != "none" && mark == w.Quote && w.Double:
			w.line = append(w.line, mark...)
			needs = true
		case w.Quoting == "none", mark == w.Quote, mark == w.Escape:
			if w.Escape == "" {
				return false, fmt.Sprintf("has %q, which needs an escapechar", mark)
			}
			w.line = append(w.line, w.Escape...)
		default:
			needs = true
		}
		w.line = append(w.line, mark...)
		i += len(mark)
	}
	return needs, ""
}

// mark is the character with a meaning that a text begins with; empty: none.
func (w *separated) mark(text []byte) string {
	for _, mark := range []string{w.Delimiter, w.Quote, w.Escape, "\r", "\n"} {
		if mark != "" && bytes.HasPrefix(text, []byte(mark)) {
			return mark
		}
	}
	return ""
}
