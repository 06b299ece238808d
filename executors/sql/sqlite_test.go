package sql_test

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/sql"
)

// file is a fresh SQLite file below a root, as inputs and as a connection of the test's own.
func file(t testing.TB) (*sql.Executor, object, *stdsql.DB) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := stdsql.Open("sqlite", filepath.Join(root, "sub", "test.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return newExecutor(t, sql.Config{Place: func(string) (string, bool) { return root, false }}), object{"driver": "sqlite", "database": "sub/test.db"}, db
}

func TestSQLiteFiles(t *testing.T) {
	t.Parallel()
	e, in, _ := file(t)
	run(t, e, with(in, object{"read_only": false, "query": []any{
		"CREATE TABLE v (i integer, f real, t text, b blob, d date, n numeric)",
		object{"query": "INSERT INTO v VALUES (?, ?, ?, unhex('00ff'), ?, ?)", "params": []any{int64(9007199254740993), 0.1, `é"`, "2026-01-02", 1.5}},
		"CREATE TRIGGER tr AFTER INSERT ON v BEGIN SELECT 1; SELECT 2; END;",
	}}))
	wantRows(t, e, with(in, object{"query": "SELECT *, NULL AS z, 1e999 AS inf FROM v WHERE t = :t;", "params": object{"t": `é"`}}),
		`[{"b":"AP8=","d":"2026-01-02","f":0.1,"i":9007199254740993,"inf":"Infinity","n":1.5,"t":"é\"","z":null}]`)
	got := run(t, e, with(in, object{"read_only": false, "query": "INSERT INTO v (i) VALUES (1), (2)"}))
	if fmt.Sprint(got["rows_affected"], " ", got["last_insert_id"]) != "2 3" {
		t.Errorf("got %v", got)
	}
	wantRows(t, e, object{"url": "sqlite:sub/test.db", "query": "SELECT count(*) AS n FROM v"}, `[{"n":3}]`)
	wantError(t, e, with(in, object{"query": "SELECT 1", "database": "none.db"}), true, "database \"none.db\" does not exist")
}

func TestSQLiteFilesAreBelowTheRoot(t *testing.T) {
	t.Parallel()
	e, in, db := file(t)
	executeMaria(t, db, "CREATE TABLE v (i int)")
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret.db")
	other, err := stdsql.Open("sqlite", secret)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	executeMaria(t, other, "CREATE TABLE s (i int)")
	var root string
	if err := db.QueryRow("SELECT file FROM pragma_database_list").Scan(&root); err != nil {
		t.Fatal(err)
	}
	root = filepath.Dir(filepath.Dir(root))
	for link, to := range map[string]string{"link.db": secret, "dir": outside, "rel.db": "sub/../../" + filepath.Base(outside) + "/secret.db", "self.db": "sub/test.db"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"../x.db", secret, "sub/../../x.db", "link.db", "dir/secret.db", "rel.db", "self.db", "sub", ".", "", "file:" + secret, "sub/test.db\x00", "nowhere/x.db"} {
		for _, readOnly := range []bool{true, false} {
			wantError(t, e, with(in, object{"database": path, "read_only": readOnly, "query": "SELECT 1"}), true, "database")
		}
	}
	wantRows(t, e, with(in, object{"database": "sub/test.db?mode=memory", "read_only": false, "query": "SELECT file LIKE '%memory' AS plain FROM pragma_database_list"}), `[{"plain":1}]`)
	wantError(t, newExecutor(t, sql.Config{}), with(in, object{"query": "SELECT 1"}), true, "TASKGROVE_FILE_ROOT is not set")
}

func TestCancelEndsTheStatementInSQLite(t *testing.T) {
	t.Parallel()
	e, in, db := file(t)
	executeMaria(t, db, "CREATE TABLE c (i int)")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := attempt(ctx, t, e, 1, with(in, object{"read_only": false, "timeout": 600, "query": []any{"INSERT INTO c VALUES (1)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"}}))
		failed <- err
	}()
	for locked := false; !locked; { // the transaction has begun
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.ExecContext(t.Context(), "PRAGMA busy_timeout = 0")
		if _, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
			locked = true
		} else if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	began := time.Now()
	cancel(executors.ErrCancelled)
	if err := <-failed; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v, want %v", err, executors.ErrCancelled)
	}
	t.Logf("cancel took %v", time.Since(began))
	executeMaria(t, db, "BEGIN IMMEDIATE", "ROLLBACK") // nothing holds its lock
	if n := scalarMaria[int](t, db, "SELECT count(*) FROM c"); n != 0 {
		t.Errorf("%d rows of the cancelled transaction are there", n)
	}
}

func TestSQLiteFence(t *testing.T) {
	t.Parallel()
	e, in, db := file(t)
	write := with(in, object{"read_only": false, "once": true, "fence": object{"table": "my_fence", "key": "k"}, "query": "INSERT INTO w VALUES (:taskgrove_attempt) RETURNING n"})
	executeMaria(t, db, "CREATE TABLE w (n int)")
	wantError(t, e, write, true, "CREATE TABLE my_fence (")
	executeMaria(t, db, "CREATE TABLE my_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome text)")
	for _, n := range []int{2, 3} {
		if got, err := attempt(t.Context(), t, e, n, write); err != nil || (got["repeated"] == true) != (n == 3) || rows(t, got) != `[{"n":2}]` {
			t.Errorf("attempt %d: %v, %v", n, got, err)
		}
	}
	if _, err := attempt(t.Context(), t, e, 1, write); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "attempt 1 has come after attempt 3") {
		t.Errorf("got %v, want a permanent refusal", err)
	}
}

// TestAFenceOfALock lets through whoever has the greatest token of all tasks that took the lock, whichever attempts they are.
func TestAFenceOfALock(t *testing.T) {
	t.Parallel()
	e, in, db := file(t)
	executeMaria(t, db, "CREATE TABLE w (n int)", "CREATE TABLE taskgrove_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome text)")
	write := func(key string, token int64, more object) (map[string]any, error) {
		inputs := object{"read_only": false, "fence": true, "query": "INSERT INTO w VALUES (:taskgrove_lock_token) RETURNING n"}
		for name, value := range more {
			inputs[name] = value
		}
		call, _ := conformance.Call(t, with(in, inputs))
		call.IdempotencyKey = key
		if token > 0 {
			call.Lock = &executors.Lock{Key: "ledger", Token: token}
		}
		return outcome(t.Context(), t, e, call)
	}
	for _, token := range []int64{40, 41, 41} {
		if got, err := write(fmt.Sprint("task ", token), token, nil); err != nil || rows(t, got) != fmt.Sprintf(`[{"n":%d}]`, token) {
			t.Errorf("token %d: %v, %v", token, got, err)
		}
	}
	if _, err := write("another task", 40, nil); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "token 40 has come after token 41") {
		t.Errorf("got %v, want a permanent refusal", err)
	}
	if got, err := write("once", 40, object{"once": true}); err != nil || got["repeated"] == true { // of one task, by its attempts
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := write("no lock", 0, nil); err != nil || rows(t, got) != `[{"n":null}]` {
		t.Errorf("without a lock: %v, %v", got, err)
	}
}

// TestLogSaysWhatEachStatementDid: those that give rows show how many, and all others how many rows they changed.
func TestLogSaysWhatEachStatementDid(t *testing.T) {
	t.Parallel()
	e, in, _ := file(t)
	call, said := conformance.Call(t, with(in, object{"read_only": false, "query": []any{
		"CREATE TABLE v (i integer)", "INSERT INTO v VALUES (1), (2)", "SELECT i FROM v",
	}}))
	if _, err := e.Run(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	lines := said.Lines()
	for i, want := range []string{"", "statement 2 of 3: 2 affected, ", "statement 3 of 3: 2 rows, "} {
		if got := fmt.Sprint(lines[i]); !strings.Contains(got, want) {
			t.Errorf("line %d: got %q, want %q", i+1, got, want)
		}
	}
}
