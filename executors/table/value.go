package table

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Class is what a value is, or those of a column, whatever its database calls it.
type Class uint8

// The classes, with the form of [Value.Text].
const (
	Unknown   Class = iota // of columns alone: nobody says what their values are
	Text                   // as it is, valid UTF-8
	Integer                // digits, with a sign or not
	Float                  // such as 1.5 or 1e+300; NaN, Infinity, -Infinity
	Decimal                // digits with a point or not; NaN, Infinity, -Infinity
	Bool                   // true, false
	Date                   // 2026-01-02; databases have some that aren't of this form, such as infinity
	Time                   // 03:04:05.5
	Timestamp              // 2026-01-02T03:04:05.5, of no time zone; also others, as with Date
	Instant                // 2026-01-02T03:04:05.5+01:00 or …Z; also others, as with Date
	JSON                   // a JSON document
	Bytes                  // base64
)

// dtypes are the words for classes that other steps know (excel_fill_from_file does).
var dtypes = map[Class]string{Integer: "int", Float: "float", Decimal: "float", Bool: "bool", Date: "date", Timestamp: "datetime", Instant: "datetime"}

// Dtype is the word for a class: int, float (of decimals, too), bool, date, datetime or string.
func (c Class) Dtype() string {
	if word, ok := dtypes[c]; ok {
		return word
	}
	return "string"
}

// classes are what words of other programs stand for.
var classes = map[string]Class{
	"int": Integer, "integer": Integer, "bigint": Integer, "int64": Integer, "int32": Integer,
	"float": Float, "double": Float, "number": Float, "float64": Float, "float32": Float,
	"decimal": Decimal, "numeric": Decimal,
	"bool": Bool, "boolean": Bool,
	"date": Date, "datetime": Timestamp, "timestamp": Timestamp, "datetime64[ns]": Timestamp,
	"string": Text, "str": Text, "text": Text, "object": Text,
}

// ClassOf is the class that a word stands for: one of [Class.Dtype], or of pandas and SQL.
func ClassOf(word string) (Class, bool) {
	c, ok := classes[strings.ToLower(strings.TrimSpace(word))]
	return c, ok
}

// Column is one of a table's columns.
type Column struct {
	Name  string // no two of a table have the same
	Type  string // as the database calls it, in lower case
	Class Class
}

// Value is one cell. Its text belongs to who made it, until the next row.
type Value struct {
	Class Class
	Null  bool
	Text  []byte
}

// AppendJSON appends a value as JSON. Decimals are numbers where a float holds all their digits, if decimals says so, and text otherwise; what JSON has no number for, such
// as NaN, is text.
func (v Value) AppendJSON(out []byte, decimals bool) []byte {
	if v.Null {
		return append(out, "null"...)
	}
	switch v.Class {
	case Integer, Bool:
		return append(out, v.Text...)
	case JSON:
		return appendCompact(out, v.Text)
	case Float:
		if last := v.Text[len(v.Text)-1]; last >= '0' && last <= '9' {
			return append(out, v.Text...)
		}
	case Decimal:
		if decimals && len(v.Text) < 400 {
			if f, err := strconv.ParseFloat(string(v.Text), 64); err == nil && json.Valid(v.Text) && Exact(string(v.Text), f) {
				return append(out, v.Text...)
			}
		}
	}
	return AppendText(out, v.Text)
}

// appendCompact appends a document without line breaks.
func appendCompact(out, document []byte) []byte {
	if bytes.IndexByte(document, '\n') < 0 && bytes.IndexByte(document, '\r') < 0 {
		return append(out, document...)
	}
	b := bytes.NewBuffer(out)
	if json.Compact(b, document) != nil {
		return AppendText(out, document)
	}
	return b.Bytes()
}

// AppendText appends a text as JSON.
func AppendText(out, text []byte) []byte {
	out, _ = jsontext.AppendQuote(out, text) // what is no UTF-8 becomes U+FFFD
	return out
}

// Exact reports whether the shortest decimal of f is what was written.
func Exact(written string, f float64) bool {
	if len(written) > 400 {
		return false
	}
	if i := strings.IndexAny(written, "eE"); i >= 0 {
		if exponent, err := strconv.Atoi(written[i+1:]); err != nil || exponent > 400 || exponent < -400 {
			return false
		}
	}
	want, ok := new(big.Rat).SetString(written)
	got, ok2 := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && ok2 && want.Cmp(got) == 0
}

// Common is the class of a column that has values of both.
func Common(a, b Class) Class {
	number := func(c Class) bool { return c == Integer || c == Float || c == Decimal }
	switch {
	case a == Unknown || a == b:
		return b
	case b == Unknown:
		return a
	case number(a) && number(b) && a != Decimal && b != Decimal:
		return Float
	case number(a) && number(b):
		return Decimal
	}
	return Text
}
