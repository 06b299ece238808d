//go:build etl

package table_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/taskgrove/taskgrove/executors/table"
)

// readParquet gives the schema and the rows of a file.
func readParquet(t *testing.T, file []byte) (schema string, rows []string, groups int) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.RowGroups() {
		groups++
		r := g.Rows()
		for {
			some := make([]parquet.Row, 100)
			n, err := r.ReadRows(some)
			for _, row := range some[:n] {
				rows = append(rows, fmt.Sprintf("%v", row))
			}
			if err != nil || n == 0 {
				break
			}
		}
		_ = r.Close()
	}
	return f.Schema().String(), rows, groups
}

func value(class table.Class, text string) table.Value {
	return table.Value{Class: class, Text: []byte(text), Null: text == "NULL"}
}

func TestParquet(t *testing.T) {
	columns := []table.Column{{Name: "z", Class: table.Integer}, {Name: "a", Class: table.Float}, {Name: "a b,c\"", Class: table.Bool}, {Name: "", Class: table.Date}, {Name: "é", Class: table.Timestamp},
		{Name: "tz", Class: table.Instant}, {Name: "n", Class: table.Decimal}, {Name: "t", Class: table.Text}, {Name: "j", Class: table.JSON}}
	var out bytes.Buffer
	w := table.NewParquet(&out)
	rows := [][]table.Value{
		{value(table.Integer, "-9223372036854775808"), value(table.Float, "NaN"), value(table.Bool, "true"), value(table.Date, "1969-12-31"), value(table.Timestamp, "2026-01-02T03:04:05.123456"),
			value(table.Instant, "2026-01-02T03:04:05.5+01:00"), value(table.Decimal, "123456789012345678901234567890.5"), value(table.Text, "é\n\""), value(table.JSON, `{"a": 1}`)},
		{value(0, "NULL"), value(0, "NULL"), value(0, "NULL"), value(0, "NULL"), value(0, "NULL"), value(0, "NULL"), value(0, "NULL"), value(0, "NULL"), value(0, "NULL")},
	}
	err := w.Begin(columns)
	for _, row := range rows {
		err = errors.Join(err, w.Row(row))
	}
	if err = errors.Join(err, w.End()); err != nil {
		t.Fatal(err)
	}
	schema, got, _ := readParquet(t, out.Bytes())
	const want = `message table {
	optional int64 z (INT(64,true));
	optional double a;
	optional boolean a b,c";
	optional int32 (DATE);
	optional int64 é (TIMESTAMP(isAdjustedToUTC=false,unit=MILLIS));
	optional int64 tz (TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS));
	optional binary n (STRING);
	optional binary t (STRING);
	optional binary j (STRING);
}`
	if schema != want {
		t.Errorf("got %s", schema)
	}
	if s := fmt.Sprint(got); s != "[[-9223372036854775808 NaN true -1 1767323045123 1767319445500 123456789012345678901234567890.5 é\n\" {\"a\": 1}] [<null> <null> <null> <null> <null> <null> <null> <null> <null>]]" {
		t.Errorf("got %q", s)
	}
	for _, c := range []struct {
		class table.Class
		text  string
		want  string
	}{
		{table.Integer, "9223372036854775808", `row 1, column "c": "9223372036854775808" is no int; with string for the column in dtypes it stays a text`},
		{table.Date, "infinity", `row 1, column "c": "infinity" is no date; with string for the column in dtypes it stays a text`},
		{table.Instant, "0044-03-15 00:00:00+00 BC", `row 1, column "c": "0044-03-15 00:00:00+00 BC" is no datetime; with string for the column in dtypes it stays a text`},
		{table.Bool, "2", `row 1, column "c": "2" is no bool; with string for the column in dtypes it stays a text`},
	} {
		w := table.NewParquet(&bytes.Buffer{})
		err := errors.Join(w.Begin([]table.Column{{Name: "c", Class: c.class}}), w.Row([]table.Value{value(c.class, c.text)}))
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// Rows leave the memory by row groups.
func TestParquetRowGroups(t *testing.T) {
	var out bytes.Buffer
	w := table.NewParquet(&out)
	text := table.Value{Class: table.Text, Text: bytes.Repeat([]byte("x"), 100_000)}
	err := w.Begin([]table.Column{{Name: "a", Class: table.Text}})
	for range 1000 {
		err = errors.Join(err, w.Row([]table.Value{text}))
	}
	if err = errors.Join(err, w.End()); err != nil {
		t.Fatal(err)
	}
	if _, rows, groups := readParquet(t, out.Bytes()); len(rows) != 1000 || groups < 5 || groups > 10 {
		t.Errorf("%d rows in %d groups", len(rows), groups)
	}
	w, out = table.NewParquet(&out), bytes.Buffer{}
	if err := errors.Join(w.Begin([]table.Column{{Name: "a", Class: table.Integer}}), w.End()); err != nil {
		t.Fatal(err)
	}
	if _, rows, _ := readParquet(t, out.Bytes()); len(rows) > 0 {
		t.Errorf("got %v", rows)
	}
}
