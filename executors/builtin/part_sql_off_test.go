//go:build nosql

package builtin_test

func init() {
	for _, id := range []string{"sql_executor", "db_extract", "db_fetch_small", "db_extract_stream"} {
		leftOut[id] = true
	}
}
