package fill

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

// sheetPart is the XML of a sheet as excelize writes it, cut into what is before its rows, the rows, and what follows.
type sheetPart struct {
	head, tail []byte
	columns    []columnStyle
	data       []byte // <sheetData> to </sheetData>
}

type columnStyle struct{ from, to, style int }

// cell is a cell that is there.
type cell struct {
	col, style int
	formula    *formula
	raw        []byte
}

type formula struct {
	kind   string // shared, array, dataTable or empty
	ref    string // cells that it is for, in the one that has it
	shared string // which of the shared ones
}

// row is a row that is there.
type sheetRow struct {
	n     int
	style int    // -1: none of its own
	attrs string // begins with a blank
	cells []cell
	raw   []byte
}

var errNoSheet = errors.New("is no sheet")

// cutSheet cuts a sheet's XML.
func cutSheet(part []byte) (*sheetPart, error) {
	d := xml.NewDecoder(bytes.NewReader(part))
	s := &sheetPart{}
	for {
		before := d.InputOffset()
		token, err := d.RawToken()
		if err != nil {
			return nil, errNoSheet
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "dimension": // is optional, and no longer true
			if err := skip(d); err != nil {
				return nil, errNoSheet
			}
			part = append(append(part[:before:before], bytes.Repeat([]byte(" "), int(d.InputOffset()-before))...), part[d.InputOffset():]...)
		case "col":
			from, _ := attribute(e, "min")
			to, _ := attribute(e, "max")
			if style, ok := attribute(e, "style"); ok {
				s.columns = append(s.columns, columnStyle{digits(from), digits(to), max(0, digits(style))})
			}
		case "sheetData":
			start := before
			if err := skip(d); err != nil {
				return nil, errNoSheet
			}
			s.head, s.data, s.tail = part[:start], part[start:d.InputOffset()], part[d.InputOffset():]
			return s, nil
		}
	}
}

// skip reads to the end of an element that has begun.
func skip(d *xml.Decoder) error {
	for depth := 1; depth > 0; {
		token, err := d.RawToken()
		if err != nil {
			return err
		}
		switch token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
	}
	return nil
}

// rows gives the rows one after the other, and io.EOF.
func (s *sheetPart) rows() func() (*sheetRow, error) {
	d := xml.NewDecoder(bytes.NewReader(s.data))
	last := 0
	return func() (*sheetRow, error) {
		for {
			before := d.InputOffset()
			token, err := d.RawToken()
			if err != nil {
				return nil, err
			}
			e, ok := token.(xml.StartElement)
			if !ok || e.Name.Local != "row" {
				continue
			}
			r := &sheetRow{n: last + 1, style: -1}
			custom := false
			var attrs strings.Builder
			for _, a := range e.Attr {
				switch a.Name.Local {
				case "r":
					r.n = digits(a.Value)
					continue
				case "spans":
					continue
				case "s":
					r.style = digits(a.Value)
				case "customFormat":
					custom = a.Value == "1" || a.Value == "true"
				}
				attrs.WriteByte(' ')
				if a.Name.Space != "" {
					attrs.WriteString(a.Name.Space + ":")
				}
				attrs.WriteString(a.Name.Local + `="`)
				_ = xml.EscapeText(&attrs, []byte(a.Value))
				attrs.WriteByte('"')
			}
			if r.attrs = attrs.String(); !custom {
				r.style = -1
			}
			if r.n <= last {
				return nil, errNoSheet
			}
			last = r.n
			if err := s.cells(d, r); err != nil {
				return nil, err
			}
			r.raw = s.data[before:d.InputOffset()]
			return r, nil
		}
	}
}

func (s *sheetPart) cells(d *xml.Decoder, r *sheetRow) error {
	for {
		before := d.InputOffset()
		token, err := d.RawToken()
		if err != nil {
			return err
		}
		switch e := token.(type) {
		case xml.EndElement:
			return nil // of the row: elements in it are read whole
		case xml.StartElement:
			c := cell{}
			if at, ok := attribute(e, "r"); ok {
				c.col, _, err = excelize.CellNameToCoordinates(at)
			}
			if err != nil || c.col == 0 || e.Name.Local != "c" {
				if err := skip(d); err != nil {
					return err
				}
				continue
			}
			if style, ok := attribute(e, "s"); ok {
				c.style = max(0, digits(style))
			}
			for depth := 1; depth > 0; {
				token, err := d.RawToken()
				if err != nil {
					return err
				}
				switch e := token.(type) {
				case xml.EndElement:
					depth--
				case xml.StartElement:
					if depth++; depth == 2 && e.Name.Local == "f" {
						c.formula = &formula{}
						c.formula.kind, _ = attribute(e, "t")
						c.formula.ref, _ = attribute(e, "ref")
						c.formula.shared, _ = attribute(e, "si")
					}
				}
			}
			c.raw = s.data[before:d.InputOffset()]
			r.cells = append(r.cells, c)
		}
	}
}

// styleOf is the style that a column gives to its cells.
func (s *sheetPart) styleOf(col int) int {
	for _, c := range s.columns {
		if c.from <= col && col <= c.to {
			return c.style
		}
	}
	return 0
}

// layer is written over a sheet: rows one below the other.
type layer struct {
	top, left, height, width int
	next                     func() ([]value, error)              // nil: the cells are emptied
	style                    func(row, col, was int, v value) int // the cell's style, from the one that it had
}

func (l *layer) bottom() int { return l.top + l.height - 1 }

// names of columns, by their number.
var columnNames = func() []string {
	names := make([]string, 16_385)
	for i := 1; i < len(names); i++ {
		names[i], _ = excelize.ColumnNumberToName(i)
	}
	return names
}()

// put is a value for a cell of a row.
type put struct {
	layer *layer
	v     value
}

// merge writes a sheet with layers over it. Later ones win.
func (s *sheetPart) merge(w io.Writer, layers []*layer, tick func() error) error {
	buf := append(make([]byte, 0, 128<<10), s.head...)
	buf = append(buf, "<sheetData>"...)
	next := s.rows()
	there, err := next()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	puts, cols := map[int]put{}, []int(nil)
	row := 0
	for n := 0; ; n++ {
		if n%1000 == 0 {
			if err := tick(); err != nil {
				return err
			}
		}
		row = nextRow(row, there, layers)
		if row == 0 {
			break
		}
		var active []*layer
		for _, l := range layers {
			if l.top <= row && row <= l.bottom() {
				active = append(active, l)
			}
		}
		old := there
		if old != nil && old.n == row {
			if there, err = next(); err != nil {
				if !errors.Is(err, io.EOF) {
					return err
				}
				there = nil
			}
		} else {
			old = nil
		}
		switch {
		case len(active) == 0:
			buf = append(buf, old.raw...)
		case len(active) == 1 && old == nil:
			if buf, err = s.fresh(buf, row, active[0]); err != nil {
				return err
			}
		default:
			clear(puts)
			cols = cols[:0]
			for _, l := range active {
				values, err := l.values()
				if err != nil {
					return err
				}
				for i := range l.width {
					p := put{layer: l}
					if i < len(values) {
						p.v = values[i]
					}
					if _, ok := puts[l.left+i]; !ok {
						cols = append(cols, l.left+i)
					}
					puts[l.left+i] = p
				}
			}
			buf = s.over(buf, row, old, puts, cols)
		}
		if len(buf) > 100<<10 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	buf = append(buf, "</sheetData>"...)
	if _, err := w.Write(buf); err != nil {
		return err
	}
	_, err = w.Write(s.tail)
	return err
}

func (l *layer) values() ([]value, error) {
	if l.next == nil {
		return nil, nil
	}
	return l.next()
}

// nextRow is the next row after one that is there, or that a layer has; 0: there is none.
func nextRow(after int, there *sheetRow, layers []*layer) (row int) {
	if there != nil {
		row = there.n
	}
	for _, l := range layers {
		at := max(l.top, after+1)
		if at <= l.bottom() && (row == 0 || at < row) {
			row = at
		}
	}
	return row
}

// fresh writes a row that was not there.
func (s *sheetPart) fresh(buf []byte, row int, l *layer) ([]byte, error) {
	values, err := l.values()
	if err != nil {
		return nil, err
	}
	begin := len(buf)
	buf = append(buf, `<row r="`...)
	buf = strconv.AppendInt(buf, int64(row), 10)
	buf = append(buf, `">`...)
	empty := len(buf)
	for i, v := range values {
		if i >= l.width {
			break
		}
		col := l.left + i
		buf = appendCell(buf, row, col, l.style(row, col, s.styleOf(col), v), v)
	}
	if len(buf) == empty {
		return buf[:begin], nil
	}
	return append(buf, "</row>"...), nil
}

// over writes a row with values over what was there; old may be nil.
func (s *sheetPart) over(buf []byte, row int, old *sheetRow, puts map[int]put, cols []int) []byte {
	begin := len(buf)
	buf = append(buf, `<row r="`...)
	buf = strconv.AppendInt(buf, int64(row), 10)
	buf = append(buf, '"')
	if old != nil {
		buf = append(buf, old.attrs...)
	} else {
		old = &sheetRow{style: -1}
	}
	buf = append(buf, '>')
	empty := len(buf)
	slices.Sort(cols)
	place := func(col, was int) {
		p := puts[col]
		style := was
		if p.layer.next != nil {
			style = p.layer.style(row, col, was, p.v)
		}
		buf = appendCell(buf, row, col, style, p.v)
	}
	fill := func(before int) {
		for len(cols) > 0 && cols[0] < before {
			was := s.styleOf(cols[0])
			if old.style >= 0 {
				was = old.style
			}
			place(cols[0], was)
			cols = cols[1:]
		}
	}
	for _, c := range old.cells {
		fill(c.col)
		if len(cols) > 0 && cols[0] == c.col {
			place(c.col, c.style)
			cols = cols[1:]
			continue
		}
		buf = append(buf, c.raw...)
	}
	fill(len(columnNames))
	if len(buf) == empty && old.attrs == "" {
		return buf[:begin]
	}
	return append(buf, "</row>"...)
}

// appendCell writes a cell. Texts are texts, whatever they look like: no value becomes a formula.
func appendCell(buf []byte, row, col, style int, v value) []byte {
	if v.kind == blank && style == 0 {
		return buf
	}
	buf = append(buf, `<c r="`...)
	buf = append(buf, columnNames[col]...)
	buf = strconv.AppendInt(buf, int64(row), 10)
	buf = append(buf, '"')
	if style != 0 {
		buf = append(buf, ` s="`...)
		buf = strconv.AppendInt(buf, int64(style), 10)
		buf = append(buf, '"')
	}
	switch v.kind {
	case blank:
		return append(buf, "/>"...)
	case text:
		buf = append(buf, ` t="inlineStr"><is><t xml:space="preserve">`...)
		buf = appendEscaped(buf, v.text)
		return append(buf, "</t></is></c>"...)
	case boolean:
		buf = append(buf, ` t="b"`...)
	}
	buf = append(buf, "><v>"...)
	buf = append(buf, v.text...)
	return append(buf, "</v></c>"...)
}
