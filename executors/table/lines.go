package table

import "io"

// lines writes objects, one a line.
type lines struct {
	to   io.Writer
	keys [][]byte // with quotes and colon
	row  []byte
}

// NewLines writes lines of JSON: an object for each row, with numbers as [Value.AppendJSON] has them.
func NewLines(to io.Writer) Writer { return &lines{to: to} }

// Begin implements [Writer].
func (l *lines) Begin(columns []Column) error {
	for _, c := range columns {
		l.keys = append(l.keys, append(AppendText(nil, []byte(c.Name)), ':'))
	}
	return nil
}

// Row implements [Writer].
func (l *lines) Row(values []Value) error {
	row := append(l.row[:0], '{')
	for i, v := range values {
		if i > 0 {
			row = append(row, ',')
		}
		row = append(row, l.keys[i]...)
		row = v.AppendJSON(row, true)
	}
	l.row = append(row, "}\n"...)
	_, err := l.to.Write(l.row)
	return err
}

// End implements [Writer].
func (*lines) End() error { return nil }
