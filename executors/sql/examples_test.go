package sql_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	stdsql "database/sql"

	"github.com/taskgrove/taskgrove/executors/sql"
)

// TestExamplesRun gives the examples the servers of the test instead of those that they name.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	e := newExecutor(t, sql.Config{Place: func(string) (string, bool) { return root, false }})
	db, conn := database(t)
	execute(t, conn, "CREATE TABLE orders (id int PRIMARY KEY, total numeric, placed_at timestamptz, paid bool)", "CREATE TABLE payments (order_id int, amount numeric)",
		"INSERT INTO orders VALUES (42, 19.90, '2026-01-02', false)", "CREATE TABLE taskgrove_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome text)")
	if err := os.Mkdir(filepath.Join(root, "reports"), 0o700); err != nil {
		t.Fatal(err)
	}
	lite, err := stdsql.Open("sqlite", filepath.Join(root, "reports", "sales.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer lite.Close()
	executeMaria(t, lite, "CREATE TABLE sales (region text, amount int)", "INSERT INTO sales VALUES ('north', 1), ('north', 2)")
	for i, want := range []string{`"row_count":1,"rows":[{"id":42,`, `"rows_affected":2`, `"rows":[{"amount":3,"region":"north"}]`} {
		example := e.Describe().Examples[i]
		t.Run(example.Title, func(t *testing.T) {
			var in object
			decode(t, string(example.Inputs), &in)
			if in["connection"] != nil {
				delete(in, "connection")
				in = with(in, db)
			}
			got, err := json.Marshal(run(t, e, in))
			if err != nil || !strings.Contains(string(got), want) {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	if paid := scalar[bool](t, conn, "SELECT paid FROM orders"); !paid {
		t.Error("the order is not paid")
	}
}
