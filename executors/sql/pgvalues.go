package sql

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskgrove/taskgrove/executors/table"
)

// rawJSON is a parameter that is a list or an object.
type rawJSON = json.RawMessage

var null = []byte("null")

// pgTypes knows Postgres's own types. It is only read.
var pgTypes = pgtype.NewMap()

// pgText is a parameter as Postgres reads it; nil is NULL.
func pgText(p any) []byte {
	switch p := p.(type) {
	case string:
		return []byte(p)
	case bool:
		if p {
			return []byte("true")
		}
		return []byte("false")
	case json.Number:
		return []byte(p)
	case rawJSON:
		return p
	}
	return nil
}

// pgTexts are the parameters as Postgres reads them.
func pgTexts(params []any) [][]byte {
	texts := make([][]byte, len(params))
	for i, p := range params {
		texts[i] = pgText(p)
	}
	return texts
}

func isList(p any) bool {
	raw, ok := p.(rawJSON)
	return ok && raw[0] == '['
}

func hasList(params []any) bool { return slices.ContainsFunc(params, isList) }

func isArray(oid uint32) bool { return elementOf(oid) != 0 }

// elementOf is the type of an array's elements, or 0.
func elementOf(oid uint32) uint32 {
	if t, ok := pgTypes.TypeForOID(oid); ok {
		if array, ok := t.Codec.(*pgtype.ArrayCodec); ok && array.ElementType != nil {
			return array.ElementType.OID
		}
	}
	return 0
}

// pgArray is a list as an array's text: {1,"a",NULL,{2}}.
func pgArray(raw rawJSON) ([]byte, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("is not valid JSON")
	}
	out := []byte{'{'}
	for i, element := range list {
		if i > 0 {
			out = append(out, ',')
		}
		switch v := value(element).(type) {
		case nil:
			out = append(out, "NULL"...)
		case rawJSON:
			if v[0] == '[' {
				inner, err := pgArray(v)
				if err != nil {
					return nil, err
				}
				out = append(out, inner...)
				continue
			}
			out = appendArrayText(out, v)
		default:
			out = appendArrayText(out, pgText(v))
		}
	}
	return append(out, '}'), nil
}

func appendArrayText(out, text []byte) []byte {
	out = append(out, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	return append(out, '"')
}

// pgClasses are those of Postgres's own types; others are text.
var pgClasses = map[uint32]table.Class{
	pgtype.BoolOID: table.Bool, pgtype.Int2OID: table.Integer, pgtype.Int4OID: table.Integer, pgtype.Int8OID: table.Integer, pgtype.OIDOID: table.Integer,
	pgtype.Float4OID: table.Float, pgtype.Float8OID: table.Float, pgtype.NumericOID: table.Decimal, pgtype.JSONOID: table.JSON, pgtype.JSONBOID: table.JSON,
	pgtype.ByteaOID: table.Bytes, pgtype.DateOID: table.Date, pgtype.TimeOID: table.Time, pgtype.TimetzOID: table.Time,
	pgtype.TimestampOID: table.Timestamp, pgtype.TimestamptzOID: table.Instant,
}

// pgClass is the class of a type's values.
func pgClass(oid uint32) table.Class {
	if elementOf(oid) != 0 {
		return table.JSON
	}
	if class, ok := pgClasses[oid]; ok {
		return class
	}
	return table.Text
}

// fromPostgres makes values of a type's text.
func fromPostgres(oid uint32) func([]byte) table.Value {
	class := pgClass(oid)
	switch oid {
	case pgtype.BoolOID:
		return func(v []byte) table.Value {
			return table.Value{Class: class, Text: strconv.AppendBool(nil, string(v) == "t")}
		}
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.Float4OID, pgtype.Float8OID:
		return func(v []byte) table.Value {
			if isNumber(v) || class == table.Float && (string(v) == "NaN" || string(v) == "Infinity" || string(v) == "-Infinity") {
				return table.Value{Class: class, Text: v}
			}
			return plainText(table.Text, v) // of a server that is none of Postgres's own
		}
	case pgtype.JSONOID, pgtype.JSONBOID:
		return document
	case pgtype.ByteaOID:
		return func(v []byte) table.Value {
			if raw, err := hex.DecodeString(strings.TrimPrefix(string(v), `\x`)); err == nil {
				return table.Value{Class: class, Text: base64.StdEncoding.AppendEncode(nil, raw)}
			}
			return plainText(table.Text, v)
		}
	case pgtype.TimestamptzOID:
		return func(v []byte) table.Value { return table.Value{Class: class, Text: []byte(rfc3339(string(v)))} }
	case pgtype.TimestampOID:
		return func(v []byte) table.Value {
			if strings.HasSuffix(string(v), " BC") {
				return table.Value{Class: class, Text: v}
			}
			return table.Value{Class: class, Text: bytes.Replace(v, []byte(" "), []byte("T"), 1)}
		}
	}
	if element := elementOf(oid); element != 0 {
		convert := fromPostgres(element)
		return func(v []byte) table.Value {
			if array := fromArray(v, func(v []byte) []byte { return convert(v).AppendJSON(nil, false) }); array != nil {
				return table.Value{Class: class, Text: array}
			}
			return plainText(table.Text, v)
		}
	}
	return func(v []byte) table.Value { return plainText(class, v) }
}

// isNumber reports whether a text of a server is a number as JSON has it, and nothing else: results take it as it is.
func isNumber(v []byte) bool {
	return len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9') && v[len(v)-1] >= '0' && v[len(v)-1] <= '9' && json.Valid(v)
}

// document is JSON that a database keeps as it was written. NUL, which the result can't hold, becomes U+FFFD, as in all texts.
func document(v []byte) table.Value {
	if !json.Valid(v) {
		return plainText(table.Text, v)
	}
	if !bytes.Contains(v, []byte(`\u0000`)) {
		return table.Value{Class: table.JSON, Text: bytes.Clone(v)}
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) { // in a string
			if bytes.HasPrefix(v[i:], []byte(`\u0000`)) {
				out = append(out, `\ufffd`...)
				i += 5
				continue
			}
			out = append(out, v[i], v[i+1])
			i++
			continue
		}
		out = append(out, v[i])
	}
	return table.Value{Class: table.JSON, Text: out}
}

// rfc3339 is a timestamp with time zone as RFC 3339 has it. Offsets with seconds, years before Christ and infinity are left as they are.
func rfc3339(v string) string {
	if len(v) < 19 || v[10] != ' ' || strings.HasSuffix(v, " BC") {
		return v
	}
	sign := strings.LastIndexAny(v, "+-")
	if sign < 19 {
		return v
	}
	at, zone := v[:10]+"T"+v[11:sign], v[sign:]
	switch {
	case zone == "+00", zone == "+00:00":
		return at + "Z"
	case len(zone) == 3:
		return at + zone + ":00"
	case len(zone) == 6:
		return at + zone
	}
	return v
}

// fromArray makes a JSON list of an array's text, or nil if it is of another form ([2:3]={…}).
func fromArray(v []byte, convert func([]byte) []byte) []byte {
	p := &arrayParser{in: v, convert: convert}
	out, ok := p.list(nil, 0)
	if !ok || p.at != len(v) {
		return nil
	}
	return out
}

type arrayParser struct {
	in      []byte
	at      int
	convert func([]byte) []byte
}

// maxDimensions is Postgres's own bound.
const maxDimensions = 6

func (p *arrayParser) list(out []byte, depth int) ([]byte, bool) {
	if depth > maxDimensions || p.at >= len(p.in) || p.in[p.at] != '{' {
		return nil, false
	}
	p.at++
	out = append(out, '[')
	for p.at < len(p.in) && p.in[p.at] != '}' {
		var ok bool
		if p.in[p.at] == '{' {
			out, ok = p.list(out, depth+1)
		} else {
			out, ok = p.element(out)
		}
		if !ok {
			return nil, false
		}
		if p.at < len(p.in) && p.in[p.at] == ',' {
			p.at++
			out = append(out, ',')
		}
	}
	if p.at >= len(p.in) {
		return nil, false
	}
	p.at++
	return append(out, ']'), true
}

func (p *arrayParser) element(out []byte) ([]byte, bool) {
	if p.in[p.at] != '"' {
		end := bytes.IndexAny(p.in[p.at:], ",}")
		if end < 0 {
			return nil, false
		}
		v := p.in[p.at : p.at+end]
		p.at += end
		if string(v) == "NULL" {
			return append(out, null...), true
		}
		return append(out, p.convert(v)...), true
	}
	var v []byte
	for p.at++; p.at < len(p.in); p.at++ {
		switch c := p.in[p.at]; c {
		case '"':
			p.at++
			return append(out, p.convert(v)...), true
		case '\\':
			if p.at++; p.at < len(p.in) {
				v = append(v, p.in[p.at])
			}
		default:
			v = append(v, c)
		}
	}
	return nil, false
}
