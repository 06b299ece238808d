package apflow

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// The files in testdata are what DuckDB exported of a table that the server of aipartnerupflow 0.9.0 wrote.
const exported = "testdata/tasks.jsonl"

// schema is the reference's table, with a column of a user's own; document and moment are the types of JSON and times.
func schema(document, moment string) string {
	return strings.NewReplacer("DOCUMENT", document, "MOMENT", moment).Replace(`create table apflow_tasks (id varchar(255) primary key, parent_id varchar(255), user_id varchar(255),
		name varchar(100) not null, status varchar(50), priority integer, dependencies DOCUMENT, inputs DOCUMENT, params DOCUMENT, result DOCUMENT, error text, schemas DOCUMENT,
		progress numeric(3, 2), created_at MOMENT, started_at MOMENT, updated_at MOMENT, completed_at MOMENT, has_children boolean, original_task_id varchar(255), has_copy boolean)`)
}

// inserts are the exported rows as statements that every database understands.
func inserts(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var row map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		var columns, values []string
		for column, raw := range row {
			value := string(raw)
			var quoted string
			switch {
			case value == "null":
				continue
			case slices.Contains(jsonColumns, column):
				value = "'" + strings.ReplaceAll(value, "'", "''") + "'"
			case json.Unmarshal(raw, &quoted) == nil:
				value = "'" + strings.ReplaceAll(quoted, "'", "''") + "'"
			}
			columns, values = append(columns, column), append(values, value)
		}
		all = append(all, fmt.Sprintf("insert into apflow_tasks (%s) values (%s)", strings.Join(columns, ","), strings.Join(values, ",")))
	}
	return all
}

func read(t *testing.T, from string) []Tree {
	t.Helper()
	source, err := Open(t.Context(), from, "")
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close() //nolint:errcheck // it was only read
	var trees []Tree
	total := 0
	for tree, err := range source.Trees(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range tree { // times of a zone, and JSON with other spaces, are the same
			for _, at := range []*time.Time{&row.CreatedAt, &row.StartedAt, &row.UpdatedAt, &row.EndsAt} {
				*at = at.UTC()
			}
			for _, doc := range []*json.RawMessage{&row.Dependencies, &row.Inputs, &row.Params, &row.Schemas, &row.Result} {
				var value any
				if *doc != nil {
					if err := json.Unmarshal(*doc, &value); err != nil {
						t.Fatal(err)
					}
					*doc, _ = json.Marshal(value)
				}
			}
		}
		trees, total = append(trees, tree), total+len(tree)
	}
	if n, err := source.Rows(t.Context()); err != nil || n != total {
		t.Errorf("%s: %d rows (%v), and %d in trees", from, n, err, total)
	}
	return trees
}

// TestEverySourceGivesTheSameTrees puts what the reference has written into each database.
func TestEverySourceGivesTheSameTrees(t *testing.T) {
	t.Parallel()
	want := read(t, exported)
	var roots []string
	for _, tree := range want {
		roots = append(roots, fmt.Sprintf("%s %d", tree[0].Name, len(tree)))
	}
	if got := strings.Join(roots, ", "); got != "held-root 2, done-root 3, fails 2, gone-root 2, done-root 3" {
		t.Fatalf("trees: %s", got)
	}
	done := want[1][0]
	if done.Status != "completed" || done.UserID != "bob" || *done.Priority != 1 || done.Progress != 1 || !done.HasCopy || done.EndsAt.Before(done.StartedAt) ||
		!strings.Contains(string(done.Result), `"stdout":"done"`) || !strings.Contains(string(done.Dependencies), `"required":false`) {
		t.Errorf("a completed root: %+v", done)
	}
	if failed := want[2][0]; failed.Status != "failed" || failed.Error != "All connection attempts failed" || failed.Result != nil {
		t.Errorf("a failed root: %+v", failed)
	}
	if copied := want[4][0]; copied.OriginalID != "done-root" || copied.Status != "pending" || !copied.EndsAt.IsZero() {
		t.Errorf("a copy: %+v", copied)
	}

	lite := filepath.Join(t.TempDir(), "apflow.db")
	db, err := sql.Open("sqlite", lite)
	if err != nil {
		t.Fatal(err)
	}
	server := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the database goes
	for _, statement := range append([]string{schema("json", "timestamptz")}, inserts(t)...) {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%v: %s", err, statement)
		}
	}
	for _, statement := range append([]string{schema("json", "datetime")}, inserts(t)...) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%v: %s", err, statement)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{
		"an array": "testdata/tasks.json", "CSV": "testdata/tasks.csv", "a file's URL": "file:testdata/tasks.csv",
		"Postgres": server, "Postgres of SQLAlchemy": strings.Replace(server, "postgres://", "postgresql+asyncpg://", 1), "SQLite": "sqlite:" + lite, "SQLite of SQLAlchemy": "sqlite:///" + lite,
		"a file of SQLite": lite,
	} {
		if got := read(t, from); !reflect.DeepEqual(got, want) {
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			t.Errorf("%s:\n%s\nwant\n%s", name, a, b)
		}
	}
}

// TestColumnsOfAUserAreKept reads a table that its user extended, and rows that belong to no tree.
func TestColumnsOfAUserAreKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tasks.jsonl")
	text := `{"id":"a","name":"a","project_id":"p1","cost":1.5,"created_at":"2026-01-02 03:04:05"}
{"id":"lost","parent_id":"none","name":"lost"}
{"id":"x","parent_id":"y","name":"x"}
{"id":"y","parent_id":"x","name":"y"}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := Open(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for tree, err := range source.Trees(t.Context()) {
		n++
		if err != nil || len(tree) != 1 || string(tree[0].Extra["project_id"]) != `"p1"` || string(tree[0].Extra["cost"]) != "1.5" || tree[0].CreatedAt.Hour() != 3 {
			t.Errorf("%v %+v", err, tree[0])
		}
	}
	if rows, _ := source.Rows(t.Context()); n != 1 || rows != 4 {
		t.Errorf("%d trees of %d rows", n, rows)
	}
}

// TestWhatCanNotBeRead names what is wrong, and no password.
func TestWhatCanNotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for from, want := range map[string]string{
		"duckdb:///a/b.duckdb":                         "COPY apflow_tasks TO 'apflow_tasks.jsonl'",
		"b.duckdb":                                     "COPY apflow_tasks TO",
		"mysql://u:secret@h/db":                        "must be postgresql://",
		"postgresql://u:secret@127.0.0.1:1/db":         "connect",
		"postgresql://u:secret@[/db":                   "can't be read",
		"sqlite:" + filepath.Join(dir, "missing.db"):   "no such file",
		write("a.jsonl", `{"name":"a"}`):               "row 1: has no id",
		write("b.jsonl", `{"id":"a","priority":"x"}`):  `column priority: is no number`,
		write("c.jsonl", `{"id":"a"`):                  "row 1",
		write("d.csv", "a,b\n1,2\n"):                   "names no column id",
		write("e.csv", "id,inputs\nx,{\n"):             "line 2: task \"x\": column inputs: is no JSON",
		write("f.csv", "id,created_at\nx,yesterday\n"): "is no time",
		write("g.json", `[{"id":"a"}`):                 "row 2",
	} {
		source, err := Open(t.Context(), from, "")
		if err == nil {
			_ = source.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", from, err, want)
		}
	}
	if _, err := Open(t.Context(), exported, "a; drop table b"); err == nil {
		t.Error("a statement was taken for the name of a table")
	}
}
