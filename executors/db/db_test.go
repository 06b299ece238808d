package db_test

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/db"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/executors/workdir"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// object is inputs, or a part of them.
type object = map[string]any

// kit has the executors of a worker, and the directory that its tasks may use.
type kit struct {
	byID map[string]executors.Executor
	dir  string
}

func newKit(t testing.TB) *kit { return newKitOf(t, db.Config{}) }

func newKitOf(t testing.TB, cfg db.Config) *kit {
	t.Helper()
	k := &kit{byID: map[string]executors.Executor{}, dir: t.TempDir()}
	databases := sql.NewDatabases(sql.Config{
		Network: network.New(network.Config{Guard: network.Guard{Loopback: true}}),
		Place:   func(string) (string, bool) { return k.dir, false },
	})
	t.Cleanup(func() { _ = databases.Close() })
	cfg.Databases, cfg.Place = databases, func(string) workdir.Place { return workdir.Place{Dir: k.dir} }
	for _, e := range db.New(cfg) {
		k.byID[e.Describe().ID] = e
	}
	return k
}

// with is the inputs with more.
func with(all ...object) object {
	in := object{}
	for _, from := range all {
		maps.Copy(in, from)
	}
	return in
}

// call is an attempt of inputs.
func call(t testing.TB, in object) *executors.Call {
	t.Helper()
	c, _ := conformance.Call(t, in)
	return c
}

func (k *kit) attempt(ctx context.Context, t testing.TB, id string, in object) (object, error) {
	t.Helper()
	return k.outcome(ctx, t, id, call(t, in))
}

func (k *kit) outcome(ctx context.Context, t testing.TB, id string, c *executors.Call) (object, error) {
	t.Helper()
	out, err := k.byID[id].Run(ctx, c)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(out.Value())
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var result object
	if err := decoder.Decode(&result); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return result, nil
}

func (k *kit) run(t testing.TB, id string, in object) object {
	t.Helper()
	result, err := k.attempt(t.Context(), t, id, in)
	if err != nil {
		t.Fatalf("%v: %v", in["sql"], err)
	}
	return result
}

// file runs an extraction, and gives what the file has.
func (k *kit) file(t testing.TB, in object) string {
	t.Helper()
	at := filepath.Join(k.dir, "out", "file")
	k.run(t, "db_extract_stream", with(in, object{"output": at}))
	text, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantError runs what must fail for good.
func (k *kit) wantError(t testing.TB, id string, in object, want string) {
	t.Helper()
	_, err := k.attempt(t.Context(), t, id, in)
	if err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v: got %v, want a permanent error with %q", in, err, want)
	}
}

// files are those below a directory.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

// postgres is a fresh database, as inputs and as a connection of the test's own.
func postgres(t testing.TB) (object, *pgx.Conn) {
	t.Helper()
	url := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return object{"url": url}, conn
}

func execute(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func executeStd(t testing.TB, conn *stdsql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// memory is a SQLite database of an attempt's own.
var memory = object{"driver": "sqlite", "database": ":memory:"}

// shown is a value as JSON.
func shown(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func TestFetchSmall(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	in := with(memory, object{"sql": "SELECT column1 AS n, column2 AS t, column2 FROM (VALUES (1, 'a'), (:n, NULL))", "params": object{"n": 2}})
	r := k.run(t, "db_fetch_small", in)
	if got, want := shown(r), `{"columns":["n","t","column2"],"columns_json":"[\"n\",\"t\",\"column2\"]","dtypes":{"column2":"string","n":"int","t":"string"},`+
		`"dtypes_json":"{\"column2\":\"string\",\"n\":\"int\",\"t\":\"string\"}","row_count":2,"rows":[[1,"a","a"],[2,null,null]],"rows_json":"[[1,\"a\",\"a\"],[2,null,null]]"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	in["params"] = `{"n": "2"}` // as flows hand tables on
	if got := shown(k.run(t, "db_fetch_small", in)["rows"]); got != `[[1,"a","a"],["2",null,null]]` {
		t.Errorf("got %s", got)
	}
	r = k.run(t, "db_fetch_small", with(memory, object{"sql": "SELECT 1 AS n WHERE false"}))
	if got, want := shown(r), `{"columns":["n"],"columns_json":"[\"n\"]","dtypes":{"n":"string"},"dtypes_json":"{\"n\":\"string\"}","row_count":0,"rows":[],"rows_json":"[]"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

const many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n"

func TestFetchSmallHasBounds(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, c := range []struct {
		more object
		want string // the number of rows, or the error after !
	}{
		{object{"sql": strings.Replace(many, "%d", "10", 1), "max_rows": 10}, "10"},
		{object{"sql": strings.Replace(many, "%d", "10", 1), "max_rows": "10"}, "10"},
		{object{"sql": strings.Replace(many, "%d", "10", 1), "max_rows": 9}, "!there are more than 9 rows"},
		{object{"sql": strings.Replace(many, "%d", "10", 1), "max_rows": 0}, "!there are more than 0 rows"},
		{object{"sql": strings.Replace(many, "%d", "50000", 1)}, "50000"},
		{object{"sql": strings.Replace(many, "%d", "50001", 1)}, "!there are more than 50000 rows"},
		{object{"sql": strings.Replace(many, "%d", "1000000000", 1), "max_rows": 1000}, "!there are more than 1000 rows"},
		{object{"sql": "SELECT 1", "max_rows": -1}, "!max_rows must be from 0 to 1000000"},
		{object{"sql": "SELECT hex(zeroblob(600000)) AS x"}, "!the rows are larger than 1048576 bytes"},
	} {
		r, err := k.attempt(t.Context(), t, "db_fetch_small", with(memory, c.more))
		got := shown(r["row_count"])
		if err != nil {
			if got = "!" + err.Error(); !executors.IsPermanent(err) {
				t.Errorf("%v may be retried", err)
			}
		}
		if want, failed := strings.CutPrefix(c.want, "!"); failed && !strings.Contains(got, want) || !failed && got != want {
			t.Errorf("%v: got %s, want %s", c.more, got, c.want)
		}
	}
}

// All faults are told at once, and nothing has happened then.
func TestFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.wantError(t, "db_extract_stream", object{
		"driver": "postgres", "sql": "DELETE FROM t WHERE a = :a AND b = :b AND c = '::x' AND d = d::text", "params": object{"c": 1, "d-e": 2, "a": 3},
		"format": "xls", "encoding": "ebcdic", "delimiter": ";", "file": object{"delimiter": ","}, "fetch_size": 0, "dtypes": object{"x": "money"}, "quoting": "some",
	}, "[db_extract_stream] host is required in inputs, or a url; sql begins with DELETE, and only reading is allowed; sql_executor writes, with read_only: false; "+
		"params has no value for :b; params has a value for :c, which the statement does not have; params has \"d-e\", which is no name: letters, digits and _, no digit first; "+
		"fetch_size must be from 1 to 1000000; output is required in inputs; format must be tsv, csv, jsonl or parquet; "+
		`dtypes: the type "money" of "x" is not known: int, float, bool, date, datetime and string are; delimiter and file.delimiter say different things`)
	for _, c := range []struct {
		id   string
		in   object
		want string
	}{
		{"db_fetch_small", object{}, "driver is required in inputs"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT 1; DROP TABLE t"}), "sql is more than one statement"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT ?", "params": []any{1}}), "params must be an object"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT ?"}), "sql has a ?, for which there is no value"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT 1", "params": "[1]"}), "params must be an object"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT 1", "params": "x"}), "params must be an object"},
		{"db_fetch_small", object{"url": "postgres://127.0.0.1/x", "sql": "SELECT $1"}, "sql has $1, for which there is no value"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT 1\x00"}), "sql has a NUL byte"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT 1", "max_rows": "many"}), "max_rows has a value that can't be read"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT 1", "timeout": 0}), "timeout must be a number of seconds above 0"},
		{"db_fetch_small", with(memory, object{"sql": "SELECT nope"}), "no such column: nope"},
		{"db_fetch_small", object{"driver": "db2", "sql": "SELECT 1"}, "driver must be postgres, mysql, mariadb, sqlite, sqlserver or oracle"},
		{"db_extract", with(memory, object{"sql": "SELECT 1", "output": "x", "format": "parquet"}), "format must be tsv, csv or jsonl"},
		{"db_extract_stream", with(memory, object{"sql": "SELECT 1", "output": "x", "format": "jsonl", "encoding": "latin-1"}), "encoding: a file of format jsonl is always utf-8"},
		{"db_extract_stream", with(memory, object{"sql": "SELECT 1 AS a", "output": "x", "dtypes": object{"b": "int"}}), `dtypes names "b", and the result has no such column: it has a`},
		{"db_extract_stream", with(memory, object{"sql": "SELECT 1", "output": "x", "dtypes_json": "[]"}), "dtypes_json must be an object of columns and their types"},
		{"db_extract_stream", with(memory, object{"sql": "SELECT 'é' AS a", "output": "x", "format": "csv", "encoding": "ascii"}), `row 1, column "a": has the character 'é'`},
		{"db_extract_stream", with(memory, object{"sql": "SELECT 'a,b' AS a", "output": "x", "format": "csv", "quoting": "none"}), `row 1, column "a": has ",", which needs an escapechar`},
	} {
		k.wantError(t, c.id, c.in, c.want)
	}
	if left := files(t, k.dir); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

func TestOptionsOfAFile(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	row := with(memory, object{"sql": "SELECT 1 AS a, 'x\"y' AS b, NULL AS c, '=1+1' AS d"})
	for _, c := range []struct {
		more object
		want string
	}{
		{object{}, "a\tb\tc\td\n1\t\"x\"\"y\"\t\t=1+1\n"},
		{object{"format": "csv"}, "a,b,c,d\n1,\"x\"\"y\",,=1+1\n"},
		{object{"format": "CSV", "delimiter": ";", "include_header": "no", "linefeed": `\r\n`}, "1;\"x\"\"y\";;=1+1\r\n"},
		{object{"format": "csv", "file": object{"delimiter": `\t`, "quotechar": "'", "quoting": "ALL"}}, "'a'\t'b'\t'c'\t'd'\n'1'\t'x\"y'\t''\t'=1+1'\n"},
		{object{"format": "csv", "file": object{"doublequote": "false", "escapechar": `\`}}, "a,b,c,d\n1,x\\\"y,,=1+1\n"},
		{object{"format": "csv", "quoting": "QUOTE_NONNUMERIC", "include_header": false}, "1,\"x\"\"y\",\"\",\"=1+1\"\n"},
		{object{"format": "jsonl", "delimiter": "ignored"}, "{\"a\":1,\"b\":\"x\\\"y\",\"c\":null,\"d\":\"=1+1\"}\n"},
	} {
		if got := k.file(t, with(row, c.more)); got != c.want {
			t.Errorf("%v: got %q, want %q", c.more, got, c.want)
		}
	}
	at := filepath.Join(k.dir, "empty.csv")
	r := k.run(t, "db_extract_stream", with(memory, object{"sql": "SELECT 1 AS a, 2.5 AS a WHERE false", "output": at, "format": "csv", "emit_dtypes": "true"}))
	if got, want := shown(r), `{"artifact_path":"`+at+`","columns":["a","a_2"],"dtypes":{"a":"string","a_2":"string"},"dtypes_json":"{\"a\":\"string\",\"a_2\":\"string\"}","format":"csv","row_count":0,`+
		`"sha256":"`; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	r = k.run(t, "db_extract", with(memory, object{"sql": "SELECT 'tab\tand\nline' AS a", "output": filepath.Join(k.dir, "x.tsv")}))
	if got := shown(r); got != `{"format":"tsv","output":"`+k.dir+`/x.tsv","rows":1}` {
		t.Errorf("got %s", got)
	}
	text, err := os.ReadFile(filepath.Join(k.dir, "x.tsv"))
	if string(text) != "a\n\"tab\tand\nline\"\n" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
}

// A file is in its place whole or not at all: what fails leaves what was there before.
func TestWhatFailsLeavesTheFileBefore(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	at := filepath.Join(k.dir, "x.csv")
	in := with(memory, object{"output": at, "format": "csv", "encoding": "ascii", "fetch_size": 10})
	k.run(t, "db_extract_stream", with(in, object{"sql": "SELECT 'before' AS a"}))
	k.wantError(t, "db_extract_stream", with(in, object{"sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT CASE i WHEN 49999 THEN 'é' ELSE 'e' END AS a FROM n"}),
		`row 49999, column "a": has the character 'é'`)
	text, err := os.ReadFile(at)
	if string(text) != "a\nbefore\n" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	// What attempts have left that were killed, the next one removes; and only that of its own task.
	c := call(t, with(in, object{"sql": "SELECT 'after' AS a"}))
	c.TaskID, c.Attempt = "t1", 3
	k.leave(t, in, "t1", 2)
	k.leave(t, in, "t2", 1)
	if got := files(t, k.dir); len(got) != 3 {
		t.Fatalf("got %v", got)
	}
	if _, err := k.outcome(t.Context(), t, "db_extract_stream", c); err != nil {
		t.Fatal(err)
	}
	if got := files(t, k.dir); len(got) != 2 || !strings.HasSuffix(got[1], ".1.tmp") {
		t.Errorf("got %v", got)
	}
}

// leave leaves the half file of an attempt that was killed: the files of one that is stopped, copied while it writes.
func (k *kit) leave(t testing.TB, in object, task string, number int) {
	t.Helper()
	c := call(t, with(in, object{"sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n", "fetch_size": 1}))
	c.TaskID, c.Attempt = task, number
	ctx, cancel := context.WithCancelCause(t.Context())
	before := files(t, k.dir)
	c.Reporter = hooked{c.Reporter, func() { cancel(executors.ErrCancelled) }}
	var half string
	c.Reporter = hooked{c.Reporter, func() {
		for _, name := range files(t, k.dir) {
			if !slices.Contains(before, name) {
				half = name
			}
		}
	}}
	if _, err := k.outcome(ctx, t, "db_extract_stream", c); !errors.Is(err, executors.ErrCancelled) {
		t.Fatalf("got %v", err)
	}
	if half == "" || slices.Contains(files(t, k.dir), half) {
		t.Fatalf("the half file %q: %v", half, files(t, k.dir))
	}
	if err := os.WriteFile(filepath.Join(k.dir, half), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hooked calls a function when progress is told.
type hooked struct {
	executors.Reporter
	hook func()
}

func (h hooked) Progress(fraction float64, message string) {
	h.hook()
	h.Reporter.Progress(fraction, message)
}

// No path leads out of the directories that a task may use.
func TestHostilePaths(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "victim"), []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(k.dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"out": outside, "file": filepath.Join(outside, "victim"), "up": "..", "loop": "loop", "dangling": filepath.Join(outside, "made")} {
		if err := os.Symlink(to, filepath.Join(k.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	escapes := func(paths ...string) object {
		all := object{}
		for _, p := range paths {
			all[p] = workdir.KindEscape
		}
		return all
	}
	cases := escapes("../x", "../../etc/passwd", "a/../../x", "/etc/passwd", "/tmp/x", "//etc/passwd", "/", k.dir+"/../x", k.dir+"x", k.dir+"/out/x", k.dir+"/out/victim", k.dir+"/up/x",
		k.dir+"/out/../../x", "..", "a/b/../../../x", outside+"/victim", "/proc/self/environ", "/dev/null", "./../x", "a/./../../x")
	maps.Copy(cases, object{
		"": "output is required", ".": "is a directory", "./": "is a directory", "a/": "is a directory", "a/.": "is a directory", k.dir: "is a directory", k.dir + "/": "is a directory",
		k.dir + "/dir": "is a directory", "x\x00y": "contains a NUL", k.dir + "/loop/x": "too many levels of symbolic links", strings.Repeat("n", 300): "file name too long",
		strings.Repeat("d/", 3000) + "x": "longer than 4096 bytes",
	})
	for path, want := range cases {
		k.wantError(t, "db_extract_stream", with(memory, object{"sql": "SELECT 1 AS a", "output": path}), want.(string))
	}
	// A link in the place of the file is replaced, and not followed.
	for _, link := range []string{"file", "dangling"} {
		k.run(t, "db_extract_stream", with(memory, object{"sql": "SELECT 1 AS a", "output": filepath.Join(k.dir, link)}))
		if info, err := os.Lstat(filepath.Join(k.dir, link)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", link, info, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(outside, "victim")); string(text) != "untouched" || err != nil {
		t.Errorf("the file outside has %q, %v", text, err)
	}
	if left := files(t, outside); len(left) != 1 {
		t.Errorf("outside are %v", left)
	}
	for _, name := range []string{"a name with blanks", "-rf", "ümläut 😀.csv", "a;b|c", "a\nb", "deep/er/and/deeper.csv", "{{x}}"} {
		at := filepath.Join(k.dir, "names", name)
		k.run(t, "db_extract_stream", with(memory, object{"sql": "SELECT 1 AS a", "output": at}))
		if _, err := os.Stat(at); err != nil {
			t.Error(err)
		}
	}
}

// What a task says in its place in a statement stays a value.
func TestHostileValuesAndNames(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, hostile := range []string{"'; DROP TABLE t; --", `\'; SELECT 1; --`, "$$; SELECT 1; $$", "\u0000", ":x", "${x}", "%s", "😀", strings.Repeat("x", 1<<20)} {
		r, err := k.attempt(t.Context(), t, "db_fetch_small", with(memory, object{"sql": "SELECT length(:x) AS n, :x AS x, ':x' AS t, /* :y */ 1 -- :z", "params": object{"x": hostile}}))
		if len(hostile) >= 1<<20 {
			if executors.KindOf(err) != db.KindLarge {
				t.Errorf("got %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(hostile, "\x00", "\uFFFD")
		if row := r["rows"].([]any)[0].([]any); row[1] != want || row[2] != ":x" {
			t.Errorf("%q: got %v", hostile, row)
		}
	}
	name := `we"ird; DROP TABLE "t" -- :x`
	path := filepath.Join(k.dir, "names.db")
	lite, err := stdsql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer lite.Close()
	quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	executeStd(t, lite, "CREATE TABLE "+quoted+" (a, "+quoted+")", "INSERT INTO "+quoted+" VALUES (1, 2)")
	got := k.file(t, object{"driver": "sqlite3", "path": "names.db", "sql": "SELECT * FROM " + quoted, "format": "jsonl"})
	if got != `{"a":1,"we\"ird; DROP TABLE \"t\" -- :x":2}`+"\n" {
		t.Errorf("got %s", got)
	}
}
