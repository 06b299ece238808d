//go:build etl

package table

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
)

// NewParquet writes a Parquet file. Not nil: the build tag etl was there.
var NewParquet = func(to io.Writer) Writer { return &parquetWriter{to: to} }

// rowGroupBytes is about how much is kept of rows before they are written as a row group.
const rowGroupBytes = 16 << 20

// parquetWriter writes columns that may all be null.
type parquetWriter struct {
	to      io.Writer
	columns []Column
	w       *parquet.Writer
	rows    int64
	size    int // of the row group
	row     parquet.Row
}

// ordered is a group whose fields are in the order of the columns; the library's own sorts them.
type ordered struct {
	parquet.Group
	columns []Column
}

// Fields implements [parquet.Node].
func (o ordered) Fields() []parquet.Field {
	place := map[string]int{}
	for i, c := range o.columns {
		place[c.Name] = i
	}
	fields := o.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int { return place[a.Name()] - place[b.Name()] })
	return fields
}

// Begin implements [Writer].
func (p *parquetWriter) Begin(columns []Column) error {
	group := parquet.Group{}
	for _, c := range columns {
		var node parquet.Node
		switch c.Class {
		case Integer:
			node = parquet.Leaf(parquet.Int64Type)
		case Float:
			node = parquet.Leaf(parquet.DoubleType)
		case Bool:
			node = parquet.Leaf(parquet.BooleanType)
		case Date:
			node = parquet.Date()
		case Timestamp:
			node = parquet.TimestampAdjusted(parquet.Millisecond, false)
		case Instant:
			node = parquet.Timestamp(parquet.Millisecond)
		default:
			node = parquet.String()
		}
		group[c.Name] = parquet.Optional(node)
	}
	p.columns = columns
	p.w = parquet.NewWriter(p.to, parquet.NewSchema("table", ordered{group, columns}), parquet.Compression(&parquet.Snappy), parquet.CreatedBy("taskgrove", "", ""))
	return nil
}

// Row implements [Writer].
func (p *parquetWriter) Row(values []Value) error {
	p.rows++
	p.row = p.row[:0]
	for i, v := range values {
		level, one := 1, parquet.NullValue()
		if v.Null {
			level = 0
		} else {
			var wrong string
			if one, wrong = p.value(p.columns[i].Class, v); wrong != "" {
				return &CellError{p.rows, p.columns[i].Name, wrong}
			}
		}
		p.size += 8 + len(v.Text)
		p.row = append(p.row, one.Level(0, level, i))
	}
	if _, err := p.w.WriteRows([]parquet.Row{p.row}); err != nil {
		return err
	}
	if p.size < rowGroupBytes {
		return nil
	}
	p.size = 0
	return p.w.Flush()
}

// value is a value as its column has it, or what is wrong with it.
func (p *parquetWriter) value(class Class, v Value) (parquet.Value, string) {
	text := string(v.Text)
	switch class {
	case Integer:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return parquet.Int64Value(n), ""
		}
	case Float:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return parquet.DoubleValue(f), ""
		}
	case Bool:
		switch text {
		case "true", "1", "t":
			return parquet.BooleanValue(true), ""
		case "false", "0", "f":
			return parquet.BooleanValue(false), ""
		}
	case Date:
		if len(text) >= 10 {
			if at, err := time.Parse(time.DateOnly, text[:10]); err == nil && (len(text) == 10 || text[10] == 'T') {
				return parquet.Int32Value(int32(at.Unix() / 86400)), "" //nolint:gosec // years have four digits
			}
		}
	case Timestamp, Instant:
		if at, ok := instant(text); ok {
			return parquet.Int64Value(at.UnixMilli()), ""
		}
	default:
		return parquet.ByteArrayValue(v.Text), ""
	}
	return parquet.Value{}, fmt.Sprintf("%.60q is no %s; with string for the column in dtypes it stays a text", text, class.Dtype())
}

// instant reads what a database may write as a time. Without a zone it is in UTC.
func instant(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// End implements [Writer].
func (p *parquetWriter) End() error { return p.w.Close() }
