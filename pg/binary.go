package pg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskgrove/taskgrove/dag"
)

// Postgres's binary format, written and read by hand where there is a value for each task: pgx boxes, and finds types out by
// reflection, value by value.

// rowWriter writes rows in the binary format of COPY. Each begins with row, which tells how many values follow.
type rowWriter struct{ buf []byte }

func (w *rowWriter) start() {
	w.buf = append(w.buf, "PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000"...)
}
func (w *rowWriter) end() { w.row(-1) }

func (w *rowWriter) row(values int16) { w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(values)) }

// word is what lengths and counts are written as.
func (w *rowWriter) word(v int32) { w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(v)) }

func (w *rowWriter) null() { w.word(-1) }

func (w *rowWriter) smallint(v int16) {
	w.word(2)
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(v))
}

func (w *rowWriter) integer(v int32) {
	w.word(4)
	w.word(v)
}

func (w *rowWriter) real(v float32) {
	w.word(4)
	w.word(int32(math.Float32bits(v)))
}

func (w *rowWriter) bigint(v int64) {
	w.word(8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(v))
}

func (w *rowWriter) key(k dag.Key) { w.bigint(int64(k)) }

func (w *rowWriter) boolean(v bool) {
	w.word(1)
	if v {
		w.buf = append(w.buf, 1)
	} else {
		w.buf = append(w.buf, 0)
	}
}

func (w *rowWriter) text(s string) {
	w.word(int32(len(s)))
	w.buf = append(w.buf, s...)
}

// json writes a document; nil is null.
func (w *rowWriter) json(raw []byte) {
	if raw == nil {
		w.null()
		return
	}
	w.word(int32(len(raw)))
	w.buf = append(w.buf, raw...)
}

// epoch is Postgres's, 2000-01-01, in microseconds since 1970.
const epoch = 946_684_800_000_000

// timestamp writes a time, in microseconds since Postgres's epoch.
func (w *rowWriter) timestamp(t time.Time) {
	w.bigint(t.UnixMicro() - epoch)
}

// array writes n elements of a type, known by its oid, each written by element.
func (w *rowWriter) array(oid uint32, n int, element func(i int)) {
	at := len(w.buf)
	w.word(0)
	w.elements(oid, n, element)
	binary.BigEndian.PutUint32(w.buf[at:], uint32(len(w.buf)-at-4))
}

// elements is array without the length that a value begins with.
func (w *rowWriter) elements(oid uint32, n int, element func(i int)) {
	for _, v := range [...]int32{1, 0, int32(oid), int32(n), 1} { // dimensions, nulls, type, length, index of the first
		w.word(v)
	}
	for i := range n {
		element(i)
	}
}

// unlessZero writes a value, or null when it is the zero one.
func unlessZero[T comparable](w *rowWriter, v T, write func(T)) {
	var zero T
	if v == zero {
		w.null()
		return
	}
	write(v)
}

// arrayCodec writes those arrays that statements are given; the rest is pgx's.
type arrayCodec struct{ *pgtype.ArrayCodec }

// PlanEncode is for slices whose elements are of the array's type. Zero times in one are null.
func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		for _, plan := range arrayPlans[c.ElementType.OID] {
			if plan.fits(value) {
				return plan
			}
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// arrayPlans are the slices that can be written, by the oid of the elements.
var arrayPlans = map[uint32][]interface {
	pgtype.EncodePlan
	fits(value any) bool
}{
	pgtype.Int8OID: {bigints[int64](), bigints[dag.Key](), bigints[dag.TreeKey](), bigints[dag.WorkerKey]()},
	pgtype.Int4OID: {arrayPlan[int32]{pgtype.Int4OID, (*rowWriter).integer}},
	pgtype.Int2OID: {arrayPlan[int16]{pgtype.Int2OID, (*rowWriter).smallint}},
	pgtype.BoolOID: {arrayPlan[bool]{pgtype.BoolOID, (*rowWriter).boolean}},
	pgtype.TextOID: {arrayPlan[string]{pgtype.TextOID, (*rowWriter).text}},
	pgtype.TimestamptzOID: {arrayPlan[time.Time]{pgtype.TimestamptzOID, func(w *rowWriter, t time.Time) {
		if t.IsZero() {
			w.null()
		} else {
			w.timestamp(t)
		}
	}}},
}

// arrayPlan writes arrays of an element type, known by its oid.
type arrayPlan[T any] struct {
	oid   uint32
	write func(w *rowWriter, v T)
}

func bigints[T ~int64]() arrayPlan[T] {
	return arrayPlan[T]{pgtype.Int8OID, func(w *rowWriter, v T) { w.bigint(int64(v)) }}
}

func (arrayPlan[T]) fits(value any) bool {
	_, ok := value.([]T)
	return ok
}

// Encode appends the array.
func (p arrayPlan[T]) Encode(value any, buf []byte) ([]byte, error) {
	all := value.([]T)
	w := rowWriter{buf}
	w.elements(p.oid, len(all), func(i int) { p.write(&w, all[i]) })
	return w.buf, nil
}

// registerArrays makes a connection write arrays by arrayPlans.
func registerArrays(m *pgtype.Map) {
	for _, oid := range [...]uint32{pgtype.Int8ArrayOID, pgtype.Int4ArrayOID, pgtype.Int2ArrayOID, pgtype.BoolArrayOID,
		pgtype.TextArrayOID, pgtype.TimestamptzArrayOID} {
		t, _ := m.TypeForOID(oid)
		m.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: arrayCodec{t.Codec.(*pgtype.ArrayCodec)}})
	}
}

// eachRow calls each with every row, and closes rows. It ends with the first error of rows, each or what each read.
func eachRow(rows pgx.Rows, each func(v *values)) error {
	defer rows.Close()
	var v values
	for rows.Next() {
		v.columns, v.raw, v.at = rows.FieldDescriptions(), rows.RawValues(), 0
		each(&v)
		if v.at < len(v.raw) {
			v.fail(fmt.Errorf("column %s was not read", v.columns[v.at].Name))
		}
		if v.fault != nil {
			return v.fault
		}
	}
	return rows.Err()
}

// values are those of a row, all to be read, from left to right. Null is read as the zero value. What is read of a column of
// another type is a fault.
type values struct {
	columns []pgconn.FieldDescription
	raw     [][]byte // valid until the next row
	at      int      // the next one to be read
	fault   error    // the first
}

// next is the next value, nil for null, which is of a type of Postgres's that is known by its oid.
func (v *values) next(oid uint32, size int) []byte {
	if v.at == len(v.raw) {
		v.fail(fmt.Errorf("a row has only %d columns", v.at))
		return nil
	}
	raw, c := v.raw[v.at], v.columns[v.at]
	v.at++
	if c.DataTypeOID != oid || raw != nil && size > 0 && (c.Format != pgtype.BinaryFormatCode || len(raw) != size) {
		v.fail(fmt.Errorf("column %s: %d bytes in format %d of the type with oid %d, want oid %d", c.Name, len(raw), c.Format, c.DataTypeOID, oid))
		return nil
	}
	return raw
}

// ignore is for the columns that follow.
func (v *values) ignore() { v.at = len(v.raw) }

func (v *values) fail(err error) {
	if v.fault == nil {
		v.fault = err
	}
}

func (v *values) bigint() int64 {
	if raw := v.next(pgtype.Int8OID, 8); raw != nil {
		return int64(binary.BigEndian.Uint64(raw))
	}
	return 0
}

func (v *values) key() dag.Key { return dag.Key(v.bigint()) }

func (v *values) integer() int32 {
	if raw := v.next(pgtype.Int4OID, 4); raw != nil {
		return int32(binary.BigEndian.Uint32(raw))
	}
	return 0
}

func (v *values) smallint() int16 {
	if raw := v.next(pgtype.Int2OID, 2); raw != nil {
		return int16(binary.BigEndian.Uint16(raw))
	}
	return 0
}

func (v *values) boolean() bool {
	raw := v.next(pgtype.BoolOID, 1)
	return raw != nil && raw[0] != 0
}

func (v *values) text() string { return string(v.next(pgtype.TextOID, 0)) }

// textLike is text, and the other one itself where both are the same.
func (v *values) textLike(other string) string {
	if raw := v.next(pgtype.TextOID, 0); string(raw) != other { // compared without a copy
		return string(raw)
	}
	return other
}

// json is a copy of a document; null in Postgres is nil.
func (v *values) json() []byte { return bytes.Clone(v.next(pgtype.JSONOID, 0)) }

// bytea is a copy of bytes; null in Postgres is nil.
func (v *values) bytea() []byte { return bytes.Clone(v.next(pgtype.ByteaOID, 0)) }

// uuid is zero for null.
func (v *values) uuid() (id uuid.UUID) {
	copy(id[:], v.next(pgtype.UUIDOID, len(id)))
	return id
}

func (v *values) timestamp() time.Time {
	if raw := v.next(pgtype.TimestamptzOID, 8); raw != nil {
		return time.UnixMicro(int64(binary.BigEndian.Uint64(raw)) + epoch)
	}
	return time.Time{}
}
