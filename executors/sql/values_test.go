package sql

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskgrove/taskgrove/executors/table"
)

// What a server calls a number, and is none, is a text: it can neither end the worker nor change the shape of a result.
func TestNumbersThatAreNone(t *testing.T) {
	for _, row := range []struct {
		text string
		want string // as JSON, of a column of floats
		is   table.Class
	}{
		{"", `""`, table.Text}, {"1", "1", table.Float}, {"-0", "-0", table.Float}, {"1e+300", "1e+300", table.Float}, {"1e999", "1e999", table.Float}, {"NaN", `"NaN"`, table.Float}, {"-Infinity", `"-Infinity"`, table.Float},
		{"1],[2", `"1],[2"`, table.Text}, {`1,"x"`, `"1,\"x\""`, table.Text}, {"1 ", `"1 "`, table.Text}, {"1\n", `"1\n"`, table.Text}, {"null", `"null"`, table.Text}, {"[1]", `"[1]"`, table.Text}, {`{"a":1}`, `"{\"a\":1}"`, table.Text},
		{"-", `"-"`, table.Text}, {"0x1", `"0x1"`, table.Text}, {"1.", `"1."`, table.Text}, {"\xff1", `"\ufffd1"`, table.Text}, {"18446744073709551616", "18446744073709551616", table.Float},
	} {
		for name, v := range map[string]table.Value{"Postgres": fromPostgres(pgtype.Float8OID)([]byte(row.text)), "MySQL": fromText([]byte(row.text), "DOUBLE")} {
			if name == "MySQL" && (row.text == "NaN" || row.text == "-Infinity") {
				continue // it has none
			}
			got := string(v.AppendJSON(nil, true))
			var a, b any
			if json.Unmarshal([]byte(got), &a) != nil && row.text != "1e999" || json.Unmarshal([]byte(row.want), &b) != nil && row.text != "1e999" || a != b || v.Class != row.is {
				t.Errorf("%s: %q is %s, %v", name, row.text, got, v.Class)
			}
		}
		if v := fromPostgres(pgtype.Int4OID)([]byte(row.text)); v.Class == table.Integer && !json.Valid(v.AppendJSON(nil, true)) {
			t.Errorf("an integer: %q is %s", row.text, v.Text)
		}
	}
}
