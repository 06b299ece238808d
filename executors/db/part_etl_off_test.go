//go:build !etl

package db_test

import "testing"

// Without the tag etl a step that asks for what it puts in is told so.
func TestWhatTheWorkerLacks(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	const lacks = "it needs the image taskgrove-worker-etl, or a build with the tag etl"
	k.wantError(t, "db_extract_stream", with(memory, object{"sql": "SELECT 1", "output": "x", "format": "parquet"}), "format: this worker writes no parquet: "+lacks)
	for _, driver := range []string{"sqlserver", "mssql", "oracle", "oracledb"} {
		k.wantError(t, "db_fetch_small", object{"driver": driver, "host": "h", "database": "d", "sql": "SELECT 1"}, lacks)
	}
	k.wantError(t, "db_fetch_small", object{"url": "oracle://h/d", "sql": "SELECT 1"}, "driver: this worker has none for oracle: "+lacks)
}
