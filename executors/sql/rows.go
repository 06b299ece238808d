package sql

import (
	"context"
	stdsql "database/sql"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// query runs a statement through database/sql and gives its rows to out. counted is the query for what it changed, if it gave no rows; empty:
// nobody wants to know. stop is called if the rest of the rows is not wanted.
func query(ctx context.Context, conn *stdsql.Conn, st *statement, params []any, out *sink, counted string, stop func()) error {
	rows, err := conn.QueryContext(ctx, st.sql, params...)
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	if stopped, err := readRows(rows, types, out); err != nil {
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

func readRows(rows *stdsql.Rows, types []*stdsql.ColumnType, out *sink) (stopped bool, err error) {
	if len(types) > 0 {
		names, kinds := make([]string, len(types)), make([]string, len(types))
		for i, t := range types {
			names[i], kinds[i] = t.Name(), strings.ToLower(t.DatabaseTypeName())
		}
		out.describe(names, kinds)
	}
	raw := make([]any, len(types))
	into := make([]any, len(types))
	for i := range raw {
		into[i] = &raw[i]
	}
	values := make([][]byte, len(types))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return false, err
		}
		for i, v := range raw {
			values[i] = fromDriver(v, types[i].DatabaseTypeName())
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

// fromDriver makes JSON of a value and the name of its type.
func fromDriver(v any, kind string) []byte {
	switch v := v.(type) {
	case nil:
		return null
	case int64:
		return strconv.AppendInt(nil, v, 10)
	case uint64:
		return strconv.AppendUint(nil, v, 10)
	case float64:
		return number(v, 64)
	case float32:
		return number(float64(v), 32)
	case bool:
		return strconv.AppendBool(nil, v)
	case time.Time:
		if kind == "DATE" && v.Equal(v.Truncate(24*time.Hour)) {
			return quote(v.Format(time.DateOnly))
		}
		return quote(v.Format(time.RFC3339Nano))
	case string:
		return fromText([]byte(v), kind)
	case []byte:
		return fromText(v, kind)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return null
	}
	return text
}

// number is a float as JSON, or as a text where JSON has none.
func number(f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return quote(strings.TrimPrefix(strings.Replace(strconv.FormatFloat(f, 'g', -1, 64), "Inf", "Infinity", 1), "+"))
	}
	return strconv.AppendFloat(nil, f, 'g', -1, bits)
}

// fromText makes JSON of what a driver gives as bytes. DECIMAL stays a text, so that it keeps all its digits.
func fromText(v []byte, kind string) []byte {
	switch kind {
	case "JSON":
		return document(v)
	case "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "BINARY", "VARBINARY", "GEOMETRY", "VECTOR":
		return quote(base64.StdEncoding.EncodeToString(v))
	case "BIT":
		if len(v) <= 8 {
			n := uint64(0)
			for _, b := range v {
				n = n<<8 | uint64(b)
			}
			return strconv.AppendUint(nil, n, 10)
		}
	case "DATETIME":
		return quote(strings.Replace(string(v), " ", "T", 1))
	case "TIMESTAMP":
		if len(v) >= 19 && v[10] == ' ' && v[0] != '0' {
			return quote(string(v[:10]) + "T" + string(v[11:]) + "Z") // the session's zone is UTC
		}
	case "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "YEAR",
		"UNSIGNED TINYINT", "UNSIGNED SMALLINT", "UNSIGNED MEDIUMINT", "UNSIGNED INT", "UNSIGNED BIGINT", "FLOAT", "DOUBLE":
		if trimmed := strings.TrimLeft(string(v), "0"); json.Valid([]byte(trimmed)) {
			return []byte(trimmed)
		}
		if json.Valid(v) {
			return append([]byte(nil), v...)
		}
	}
	return quote(executors.Text(v))
}
