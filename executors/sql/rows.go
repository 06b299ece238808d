package sql

import (
	"bytes"
	"context"
	stdsql "database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/table"
)

// querier runs statements: a connection, or a transaction of one.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*stdsql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *stdsql.Row
}

// query runs a statement through database/sql and gives its rows to out. counted is the query for what it changed, if it gave no rows; empty:
// nobody wants to know. stop is called if the rest of the rows is not wanted.
func query(ctx context.Context, dialect string, conn querier, st *statement, params []any, out *sink, counted string, stop func()) error {
	rows, err := conn.QueryContext(ctx, st.sql, params...)
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	if stopped, err := readRows(dialect, rows, types, out); err != nil {
		return err
	} else if stopped {
		stop() // closing the rows would read the rest
		return nil
	}
	if err := rows.Close(); err != nil {
		return err
	}
	if len(types) > 0 {
		if st.kind.changes() && st.kind.first != "with" {
			out.affected = out.seen
		}
		return nil
	}
	if counted == "" {
		return nil
	}
	var id int64
	if err := conn.QueryRowContext(ctx, counted).Scan(&out.affected, &id); err != nil {
		return err
	}
	out.affected = max(0, out.affected)
	if id != 0 && (st.kind.first == "insert" || st.kind.first == "replace") {
		out.lastID = &id
	}
	return nil
}

// changes reports whether the statement's rows are what it changed (RETURNING).
func (k statementKind) changes() bool {
	switch k.first {
	case "insert", "update", "delete", "replace", "with":
		return true
	}
	return false
}

func readRows(dialect string, rows *stdsql.Rows, types []*stdsql.ColumnType, out *sink) (stopped bool, err error) {
	if len(types) > 0 {
		names, kinds, classes := make([]string, len(types)), make([]string, len(types)), make([]table.Class, len(types))
		for i, t := range types {
			names[i], kinds[i], classes[i] = t.Name(), strings.ToLower(t.DatabaseTypeName()), classOf(dialect, t.DatabaseTypeName())
		}
		out.describe(names, kinds, classes)
		if out.failed != nil {
			return true, nil
		}
	}
	raw := make([]any, len(types))
	into := make([]any, len(types))
	for i := range raw {
		into[i] = &raw[i]
	}
	values := make([]table.Value, len(types))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return false, err
		}
		for i, v := range raw {
			values[i] = valueOf(dialect, v, types[i].DatabaseTypeName())
		}
		if !out.add(values) && out.mayStop {
			return true, nil
		}
	}
	for rows.NextResultSet() { // a procedure's further results are read and dropped
		for rows.Next() {
		}
	}
	return false, rows.Err()
}

// valueOf makes a value of what a driver gives, and the name of its type.
func valueOf(dialect string, v any, kind string) table.Value {
	switch v := v.(type) {
	case nil:
		return table.Value{Null: true}
	case int64:
		return table.Value{Class: table.Integer, Text: strconv.AppendInt(nil, v, 10)}
	case uint64:
		return table.Value{Class: table.Integer, Text: strconv.AppendUint(nil, v, 10)}
	case float64:
		return float(v, 64)
	case float32:
		return float(float64(v), 32)
	case bool:
		return table.Value{Class: table.Bool, Text: strconv.AppendBool(nil, v)}
	case time.Time:
		return moment(dialect, v, kind)
	case string:
		return fromText([]byte(v), kind)
	case []byte:
		if dialect == sqlite {
			kind = "BLOB"
		}
		return fromText(v, kind)
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return table.Value{Null: true}
	}
	return table.Value{Class: table.JSON, Text: encoded}
}

// moment is a time as its type has it.
func moment(dialect string, v time.Time, kind string) table.Value {
	switch {
	case kind == "DATE" && v.Equal(v.Truncate(24*time.Hour)):
		return table.Value{Class: table.Date, Text: v.AppendFormat(nil, time.DateOnly)}
	case dialect == sqlserver && kind == "TIME":
		return table.Value{Class: table.Time, Text: v.AppendFormat(nil, "15:04:05.999999999")}
	case dialect == sqlserver && kind != "DATETIMEOFFSET", dialect == oracle && (kind == "DATE" || kind == "TIMESTAMP" || kind == "TIMESTAMPDTY" || kind == "TIMESTAMPTZ_DTY"):
		return table.Value{Class: table.Timestamp, Text: v.AppendFormat(nil, "2006-01-02T15:04:05.999999999")}
	}
	return table.Value{Class: table.Instant, Text: v.AppendFormat(nil, time.RFC3339Nano)}
}

// float is a float as a value.
func float(f float64, bits int) table.Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		word := strings.TrimPrefix(strings.Replace(strconv.FormatFloat(f, 'g', -1, 64), "Inf", "Infinity", 1), "+")
		return table.Value{Class: table.Float, Text: []byte(word)}
	}
	return table.Value{Class: table.Float, Text: strconv.AppendFloat(nil, f, 'g', -1, bits)}
}

// plainText is bytes as text that can be stored.
func plainText(class table.Class, v []byte) table.Value {
	return table.Value{Class: class, Text: []byte(executors.Text(v))}
}

// fromText makes a value of what a driver gives as bytes.
func fromText(v []byte, kind string) table.Value {
	switch kind {
	case "UNIQUEIDENTIFIER": // SQL Server's, whose first parts have their bytes the other way round
		if len(v) == 16 {
			return table.Value{Class: table.Text, Text: fmt.Appendf(nil, "%02X%02X%02X%02X-%02X%02X-%02X%02X-%X-%X", v[3], v[2], v[1], v[0], v[5], v[4], v[7], v[6], v[8:10], v[10:])}
		}
	case "JSON":
		return document(v)
	case "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "BINARY", "VARBINARY", "GEOMETRY", "VECTOR", "IMAGE", "RAW", "LONG RAW", "UDT":
		return table.Value{Class: table.Bytes, Text: base64.StdEncoding.AppendEncode(nil, v)}
	case "BIT":
		if len(v) <= 8 {
			n := uint64(0)
			for _, b := range v {
				n = n<<8 | uint64(b)
			}
			return table.Value{Class: table.Integer, Text: strconv.AppendUint(nil, n, 10)}
		}
	case "DATE":
		return plainText(table.Date, v)
	case "TIME":
		return plainText(table.Time, v)
	case "DATETIME":
		return table.Value{Class: table.Timestamp, Text: []byte(strings.Replace(executors.Text(v), " ", "T", 1))}
	case "TIMESTAMP":
		if len(v) >= 19 && v[10] == ' ' && v[0] != '0' {
			return table.Value{Class: table.Instant, Text: []byte(executors.Text(v[:10]) + "T" + executors.Text(v[11:]) + "Z")} // the session's zone is UTC
		}
	case "DECIMAL", "MONEY", "SMALLMONEY", "NUMBER":
		return plainText(table.Decimal, v)
	case "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "YEAR",
		"UNSIGNED TINYINT", "UNSIGNED SMALLINT", "UNSIGNED MEDIUMINT", "UNSIGNED INT", "UNSIGNED BIGINT", "FLOAT", "DOUBLE":
		class := table.Integer
		if kind == "FLOAT" || kind == "DOUBLE" {
			class = table.Float
		}
		if trimmed := bytes.TrimLeft(v, "0"); isNumber(trimmed) {
			return table.Value{Class: class, Text: bytes.Clone(trimmed)}
		}
		if isNumber(v) {
			return table.Value{Class: class, Text: bytes.Clone(v)}
		}
	}
	return plainText(table.Text, v)
}

// classOf is the class of a column, by what its database calls its type.
func classOf(dialect, kind string) table.Class {
	if dialect == sqlite {
		return affinity(kind)
	}
	switch strings.TrimPrefix(kind, "UNSIGNED ") {
	case "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "YEAR":
		return table.Integer
	case "BIGINT":
		if strings.HasPrefix(kind, "UNSIGNED") {
			return table.Decimal // not all of them are an int64
		}
		return table.Integer
	case "BIT":
		if dialect == sqlserver {
			return table.Bool
		}
		return table.Decimal
	case "FLOAT", "DOUBLE", "REAL", "IBFLOAT", "IBDOUBLE":
		return table.Float
	case "DECIMAL", "MONEY", "SMALLMONEY", "NUMBER":
		return table.Decimal
	case "DATE":
		if dialect == oracle {
			return table.Timestamp
		}
		return table.Date
	case "TIME":
		return table.Time
	case "DATETIME", "DATETIME2", "SMALLDATETIME", "TIMESTAMPDTY":
		return table.Timestamp
	case "TIMESTAMP", "DATETIMEOFFSET", "TIMESTAMPTZ", "TIMESTAMPLTZ", "TIMESTAMPTZ_DTY", "TIMESTAMPLTZ_DTY":
		return table.Instant
	case "JSON":
		return table.JSON
	case "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "BINARY", "VARBINARY", "GEOMETRY", "VECTOR", "IMAGE", "RAW", "LONG RAW", "UDT":
		return table.Bytes
	}
	return table.Text
}

// affinity is what SQLite says of the values of a column with such a type: a hint, or nothing.
func affinity(kind string) table.Class {
	has := func(part string) bool { return strings.Contains(kind, part) }
	switch {
	case has("INT"):
		return table.Integer
	case has("BOOL"):
		return table.Bool
	case has("CHAR"), has("CLOB"), has("TEXT"):
		return table.Text
	case has("BLOB"):
		return table.Bytes
	case has("REAL"), has("FLOA"), has("DOUB"):
		return table.Float
	case kind == "DATE":
		return table.Date
	case kind == "DATETIME", kind == "TIMESTAMP":
		return table.Instant
	}
	return table.Unknown
}
