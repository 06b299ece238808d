package fill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/taskgrove/taskgrove/executors/excel"
)

// maxParquetFooter is how large the description of a Parquet file may be, in bytes.
const maxParquetFooter = 16 << 20

// parquetReader reads rows of Parquet files without nested columns.
type parquetReader struct {
	names   []string
	convert []func(parquet.Value) (value, error)
	total   int
	dated   bool

	groups []parquet.RowGroup
	rows   parquet.Rows
	buf    []parquet.Row
	got    []parquet.Row // of buf, not given yet
	row    []value
	ended  bool
	n      int
}

func openParquet(r io.ReaderAt, size int64, dates calendar) (p *parquetReader, err error) {
	defer rescued(&err)
	if size < 12 {
		return nil, errors.New("is no Parquet file")
	}
	var tail [8]byte
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, err
	}
	if string(tail[4:]) != "PAR1" {
		return nil, errors.New("is no Parquet file")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:4])); n > maxParquetFooter || n > size {
		return nil, fmt.Errorf("has a footer of %d bytes", n)
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, err
	}
	p = &parquetReader{groups: file.RowGroups(), buf: make([]parquet.Row, 256)}
	for _, g := range p.groups {
		if g.NumRows() < 0 || g.NumRows() > 1<<40 {
			return nil, errors.New("has a count of rows that can't be")
		}
		p.total += int(min(g.NumRows(), 1<<40))
	}
	for _, f := range file.Schema().Fields() {
		if !f.Leaf() || f.Repeated() {
			return nil, fmt.Errorf("column %.100q is nested, and a cell holds one value", f.Name())
		}
		p.names = append(p.names, f.Name())
		if len(p.names) > excel.MaxCol {
			return nil, errColumns
		}
		convert, dated := converter(f.Type(), dates)
		p.dated = p.dated || dated
		p.convert = append(p.convert, convert)
	}
	return p, nil
}

// rescued makes an error of a panic in a library that reads what others wrote.
func rescued(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("can't be read: %.200v", p)
	}
}

func (p *parquetReader) next() (row []value, err error) {
	defer rescued(&err)
	for len(p.got) == 0 {
		if p.rows == nil {
			if len(p.groups) == 0 {
				return nil, io.EOF
			}
			p.rows, p.groups, p.ended = p.groups[0].Rows(), p.groups[1:], false
		}
		if p.ended {
			err := p.rows.Close()
			if p.rows = nil; err != nil {
				return nil, err
			}
			continue
		}
		n, err := p.rows.ReadRows(p.buf)
		p.got = p.buf[:n]
		if p.ended = errors.Is(err, io.EOF) || err == nil && n == 0; err != nil && !p.ended {
			return nil, err
		}
	}
	got := p.got[0]
	p.got = p.got[1:]
	p.n++
	p.row = append(p.row[:0], make([]value, len(p.names))...)
	for _, v := range got {
		i := v.Column()
		if i < 0 || i >= len(p.row) {
			return nil, errors.New("has a value of no column")
		}
		if v.IsNull() {
			continue
		}
		if p.row[i], err = p.convert[i](v); err != nil {
			return nil, fmt.Errorf("row %d, column %.100q: %w", p.n, p.names[i], err)
		}
	}
	return p.row, nil
}

func (p *parquetReader) close() {
	if p.rows != nil {
		_ = p.rows.Close()
	}
}

// converter turns a column's values into those of cells; dated: they are dates.
func converter(typ parquet.Type, dates calendar) (convert func(parquet.Value) (value, error), dated bool) {
	at := func(kind kind, t time.Time) value {
		if serial, ok := dates.serial(t.UTC(), kind == date); ok {
			return value{kind, serial}
		}
		if kind == date {
			return textValue(t.UTC().Format(time.DateOnly))
		}
		return textValue(t.UTC().Format("2006-01-02T15:04:05.999999999"))
	}
	var logical format.LogicalTypeValue
	if l := typ.LogicalType(); l != nil {
		logical = l.Value
	}
	switch logical := logical.(type) {
	case *format.DateType:
		return func(v parquet.Value) (value, error) { return at(date, time.Unix(int64(v.Int32())*86400, 0)), nil }, true
	case *format.TimestampType:
		return func(v parquet.Value) (value, error) {
			n := v.Int64()
			switch logical.Unit.Value.(type) {
			case *format.MilliSeconds:
				return at(datetime, time.UnixMilli(n)), nil
			case *format.MicroSeconds:
				return at(datetime, time.UnixMicro(n)), nil
			}
			return at(datetime, time.Unix(n/1e9, n%1e9)), nil
		}, true
	case *format.TimeType:
		return func(v parquet.Value) (value, error) {
			of := time.Duration(v.Int64())
			switch logical.Unit.Value.(type) {
			case *format.MilliSeconds:
				of = time.Duration(v.Int32()) * time.Millisecond
			case *format.MicroSeconds:
				of *= time.Microsecond
			}
			return textValue(time.Unix(0, 0).UTC().Add(of).Format("15:04:05.999999999")), nil
		}, false
	case *format.DecimalType:
		return func(v parquet.Value) (value, error) { return decimalValue(v, int(logical.Scale)), nil }, false
	case *format.UUIDType:
		return func(v parquet.Value) (value, error) {
			b := v.ByteArray()
			if len(b) != 16 {
				return value{}, errors.New("holds a UUID of another length")
			}
			return textValue(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])), nil
		}, false
	case *format.IntType:
		if !logical.IsSigned {
			return func(v parquet.Value) (value, error) {
				if v.Kind() == parquet.Int32 {
					return integer(strconv.FormatUint(uint64(v.Uint32()), 10)), nil
				}
				return integer(strconv.FormatUint(v.Uint64(), 10)), nil
			}, false
		}
	}
	return func(v parquet.Value) (value, error) {
		switch v.Kind() {
		case parquet.Boolean:
			if v.Boolean() {
				return truth, nil
			}
			return falsity, nil
		case parquet.Int32:
			return integer(strconv.Itoa(int(v.Int32()))), nil
		case parquet.Int64:
			return integer(strconv.FormatInt(v.Int64(), 10)), nil
		case parquet.Int96:
			n := v.Int96() // nanoseconds of the day, and the Julian day: an older form of timestamps
			days := int64(n[2]) - 2440588
			return at(datetime, time.Unix(days*86400, int64(uint64(n[1])<<32|uint64(n[0])))), nil
		case parquet.Float:
			f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v.Float()), 'g', -1, 32), 64) // as it was written, such as 0.1
			return float(f), nil
		case parquet.Double:
			return float(v.Double()), nil
		}
		b := v.ByteArray()
		if !utf8.Valid(b) {
			return value{}, errors.New("holds bytes that are no text")
		}
		return textValue(string(b)), nil
	}, typ.Kind() == parquet.Int96
}

// decimalValue is a number where Excel keeps all its digits, and else its text.
func decimalValue(v parquet.Value, scale int) value {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default:
		b := v.ByteArray()
		n.SetBytes(b)
		if len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
		}
	}
	digits := new(big.Int).Abs(n).String()
	if scale < 0 || scale > 1000 || len(digits) > 1000 {
		return textValue(n.String() + "e-" + strconv.Itoa(scale))
	}
	if scale > 0 {
		if len(digits) <= scale {
			digits = strings.Repeat("0", scale+1-len(digits)) + digits
		}
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	if len(strings.Trim(strings.Replace(digits, ".", "", 1), "-0")) > 15 {
		return textValue(digits)
	}
	if scale > 0 {
		digits = strings.TrimSuffix(strings.TrimRight(digits, "0"), ".")
	}
	return value{number, digits}
}
