//go:build !nosql

package builtin_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

func init() { parts["sql_executor"] = sqlFeatures }

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
