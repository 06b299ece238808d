//go:build etl

package db_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
)

func TestParquetOfPostgres(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	in, _ := postgres(t)
	at := filepath.Join(k.dir, "x.parquet")
	in = with(in, object{"sql": "SELECT i::int8 AS z, i * 1.5::numeric AS n, i * 1.5::float8 AS f, i > 1 AS b, date '2026-01-02' + i AS d, timestamptz '2026-01-02 00:00+00' AS tz, NULL::text AS t, " +
		"'2026-01-02' AS s FROM generate_series(1, 3) AS i", "output": at, "format": "parquet", "emit_dtypes": true, "dtypes": object{"n": "float", "s": "date"}})
	r := k.run(t, "db_extract_stream", in)
	if got, want := shown(r["dtypes"]), `{"b":"bool","d":"date","f":"float","n":"float","s":"date","t":"string","tz":"datetime","z":"int"}`; got != want {
		t.Errorf("got %s", got)
	}
	file, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := parquet.NewReader(file)
	defer rows.Close()
	some := make([]parquet.Row, 10)
	n, _ := rows.ReadRows(some)
	if got := fmt.Sprint(some[:n]); n != 3 || got[:45] != "[[1 1.5 1.5 false 20456 1767312000000 <null> " {
		t.Errorf("got %d, %s", n, got)
	}
	k.wantError(t, "db_extract_stream", with(in, object{"sql": "SELECT 'infinity'::date AS d", "dtypes": nil}), `row 1, column "d": "infinity" is no date`)
	k.run(t, "db_extract_stream", with(memory, object{"sql": "SELECT 1 AS a, 2.5 AS b, 'x' AS c UNION ALL SELECT 2.5, 'y', NULL", "output": at, "format": "parquet"}))
	k.wantError(t, "db_extract_stream", with(memory, object{"sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) SELECT CASE i WHEN 20 THEN 'x' ELSE i END AS a FROM n", "output": at,
		"format": "parquet", "fetch_size": 10}), `row 20, column "a": "x" is no int`)
}
