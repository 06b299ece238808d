//go:build !nosql

package builtin_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

func init() {
	parts["sql_executor"] = sqlFeatures
	parts["db_fetch_small"] = func(*testing.T, *builtin.Config) conformance.Features {
		return stepFeatures("db_fetch_small", ``, "columns", "rows", "row_count", "columns_json", "rows_json", "dtypes", "dtypes_json")
	}
	parts["db_extract_stream"] = func(*testing.T, *builtin.Config) conformance.Features {
		return stepFeatures("db_extract_stream", `, "output": "out/x.csv", "format": "csv"`, "artifact_path", "format", "columns", "row_count", "sha256")
	}
	parts["db_extract"] = func(*testing.T, *builtin.Config) conformance.Features {
		return stepFeatures("db_extract", `, "output": "x.tsv"`, "output", "format", "rows")
	}
}

// stepFeatures are those of a step that reads a database. more are its further inputs.
func stepFeatures(id, more string, demo ...string) conformance.Features {
	const memory = `"driver": "sqlite", "database": ":memory:", `
	const endless = `"sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT `
	const secret = "hunter2-canary"
	return conformance.Features{
		Quick:    `{` + memory + `"sql": "SELECT 1 AS one, :x AS x", "params": {"x": "y"}` + more + `}`,
		Slow:     `{` + memory + endless + `count(*) FROM n"` + more + `}`,
		Missing:  map[string]string{`{"driver": "sqlite", "database": ":memory:"` + more + `}`: "[" + id + "] sql is required in inputs"},
		TimesOut: map[string]string{`{` + memory + endless + `count(*) FROM n", "timeout": 0.3` + more + `}`: "Database timeout after 0.3 seconds"},
		Failing: []string{
			`{` + memory + `"sql": "SELECT nope, :x", "params": {"x": "` + secret + `"}` + more + `}`,
			`{` + memory + `"sql": "SELECT 1", "params": {"x": "` + secret + `"}` + more + `}`,
			`{"driver": "postgres", "host": "127.0.0.1", "port": 1, "password": "` + secret + `", "sql": "SELECT 1"` + more + `}`,
			`{"url": "mysql://u:` + secret + `@127.0.0.1:1/d?x=1", "sql": "SELECT 1"` + more + `}`,
			`{"dsn": "oracle://u:` + secret + `@127.0.0.1:1/d?x=1", "sql": "SELECT 1"` + more + `}`,
			`{"driver": "oracle", "dsn": "` + secret + `", "sql": "SELECT 1"` + more + `}`,
		},
		Secret: secret,
		Demo:   map[string][]string{`{"sql": "SELECT 1"` + more + `}`: demo},
	}
}

// sqlFeatures uses SQLite in memory; the package of the executor has real servers.
func sqlFeatures(*testing.T, *builtin.Config) conformance.Features {
	const memory = `"driver": "sqlite", "database": ":memory:", `
	const endless = `"query": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT `
	const secret = "hunter2-canary"
	return conformance.Features{
		Quick:    `{` + memory + `"query": "SELECT 1 AS one, :x AS x", "params": {"x": "y"}}`,
		Slow:     `{` + memory + endless + `count(*) FROM n", "timeout": 600}`,
		Missing:  map[string]string{`{"driver": "sqlite"}`: "[sql_executor] query is required in inputs"},
		Large:    `{` + memory + endless + `i, hex(randomblob(1000)) FROM n LIMIT 20000", "max_rows": 100000}`,
		TimesOut: map[string]string{`{` + memory + endless + `count(*) FROM n", "timeout": 0.3}`: "SQL timeout after 0.3 seconds"},
		Failing: []string{
			`{` + memory + `"query": "SELECT nope, ?", "params": ["` + secret + `"]}`,
			`{"driver": "postgres", "host": "127.0.0.1", "port": 1, "password": "` + secret + `", "query": "SELECT 1"}`,
			`{"url": "mysql://u:` + secret + `@127.0.0.1:1/d?x=1", "query": "SELECT 1"}`,
			`{"url": "mysql://u:` + secret + `%@127.0.0.1:1/d", "query": "SELECT 1"}`,
		},
		Secret: secret,
		Demo:   map[string][]string{`{"query": "SELECT 1"}`: {"columns", "rows", "row_count", "rows_affected"}},
	}
}
