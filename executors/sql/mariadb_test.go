package sql_test

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/executors/sql/sqltest"
)

// mariaServer is a MariaDB of its own.
type mariaServer struct{ *sqltest.MariaDB }

// database is a fresh one, as inputs and as a connection of the test's own.
func (s *mariaServer) database(t testing.TB) (object, *stdsql.DB) {
	t.Helper()
	in, db := s.Database(t)
	return in, db
}

// TestMariaDB starts a server and runs the tests that need one. Without a server on this machine they are skipped, in CI they fail.
func TestMariaDB(t *testing.T) {
	t.Parallel()
	s := &mariaServer{sqltest.StartMariaDB(t)}
	for name, test := range map[string]func(*testing.T, *mariaServer){
		"types become JSON without loss": mariaTypes, "writes and counts": mariaWrites, "cancel ends the statement": mariaCancel,
		"fence and once": mariaFence, "read only": mariaReadOnly, "the server's certificate is checked": mariaTLS, "errors say what helps": mariaErrors,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func executeMaria(t testing.TB, db *stdsql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func scalarMaria[T any](t testing.TB, db *stdsql.DB, query string) T {
	t.Helper()
	var v T
	if err := db.QueryRowContext(t.Context(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func mariaTypes(t *testing.T, s *mariaServer) {
	e := newExecutor(t, sql.Config{})
	in, db := s.database(t)
	executeMaria(t, db, `CREATE TABLE v (i bigint unsigned, s bigint, d decimal(40,20), f double, b blob, j json, dt datetime(3), ts timestamp(3) NULL, da date, ti time, bi bit(8), t text, y year, z int zerofill)`,
		`INSERT INTO v VALUES (18446744073709551615, -9223372036854775808, 12345678901234567890.12345678901234567890, 0.1, x'00ff', '{"a": 1.50}', '2026-01-02 03:04:05.123', NULL, '2026-01-02', '03:04:05', b'101', 'é"', 2026, 7)`)
	want := `[{"b":"AP8=","bi":5,"d":"12345678901234567890.12345678901234567890","da":"2026-01-02","dt":"2026-01-02T03:04:05.123","f":0.1,"i":18446744073709551615,"j":"{\"a\": 1.50}","s":-9223372036854775808,"t":"é\"","ti":"03:04:05","ts":null,"y":2026,"z":7}]`
	wantRows(t, e, with(in, object{"query": "SELECT * FROM v"}), want)
	wantRows(t, e, with(in, object{"query": "SELECT * FROM v WHERE s < ?", "params": []any{0}}), want) // the binary protocol
	wantRows(t, e, with(in, object{"query": "SELECT CAST('2026-01-02 03:04:05' AS datetime) AS a, from_unixtime(0) AS b"}), `[{"a":"2026-01-02T03:04:05","b":"1970-01-01T00:00:00"}]`)
	executeMaria(t, db, "UPDATE v SET ts = from_unixtime(1.5)")
	wantRows(t, e, with(in, object{"query": "SELECT ts FROM v"}), `[{"ts":"1970-01-01T00:00:01.500Z"}]`)
	wantRows(t, e, with(in, object{"query": "SELECT i FROM v WHERE i = :i AND t = :t AND ':x' = ':x' # :y", "params": object{"i": 18446744073709551615.0, "t": `é"`}}), `[]`)
}

func mariaWrites(t *testing.T, s *mariaServer) {
	e := newExecutor(t, sql.Config{})
	in, db := s.database(t)
	executeMaria(t, db, "CREATE TABLE w (id int AUTO_INCREMENT PRIMARY KEY, n int) ENGINE=InnoDB")
	got := run(t, e, with(in, object{"read_only": false, "query": []any{
		object{"query": "INSERT INTO w (n) VALUES (?), (?)", "params": []any{1, 2}}, "UPDATE w SET n = n + 1", "SELECT sum(n) AS n FROM w",
	}}))
	if fmt.Sprint(got["rows_affected"]) != "4" || !strings.Contains(fmt.Sprint(got["results"]), "last_insert_id:1") {
		t.Errorf("got %v", got)
	}
	wantError(t, e, with(in, object{"read_only": false, "query": []any{"INSERT INTO w (n) VALUES (9)", "INSERT INTO w (id) VALUES (1)"}}), true, "statement 2 of 2", "1062")
	if n := scalarMaria[int](t, db, "SELECT count(*) FROM w"); n != 2 {
		t.Errorf("%d rows are there, want 2: the transaction is not whole", n)
	}
	if got := run(t, e, with(in, object{"max_rows": 5, "query": "SELECT a.seq FROM seq_1_to_100000 a, seq_1_to_100000 b"})); got["truncated"] != true || fmt.Sprint(got["row_count"]) != "5" {
		t.Errorf("got %v", got)
	}
}

func mariaCancel(t *testing.T, s *mariaServer) {
	e := newExecutor(t, sql.Config{})
	in, db := s.database(t)
	executeMaria(t, db, "CREATE TABLE c (id int) ENGINE=InnoDB")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := attempt(ctx, t, e, 1, with(in, object{"read_only": false, "timeout": 600, "query": []any{"INSERT INTO c VALUES (1)", "SELECT SLEEP(500)"}}))
		failed <- err
	}()
	running := "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
	for scalarMaria[int](t, db, running+" AND info = 'SELECT SLEEP(500)'") == 0 {
	}
	began := time.Now()
	cancel(executors.ErrCancelled)
	if err := <-failed; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v, want %v", err, executors.ErrCancelled)
	}
	t.Logf("cancel took %v", time.Since(began))
	for scalarMaria[int](t, db, running) != 0 {
		if time.Since(began) > time.Minute {
			t.Fatal("the connection is still there at the server")
		}
	}
	if n := scalarMaria[int](t, db, "SELECT count(*) FROM c"); n != 0 {
		t.Errorf("%d rows of the cancelled transaction are there", n)
	}
}

func mariaFence(t *testing.T, s *mariaServer) {
	e := newExecutor(t, sql.Config{})
	in, db := s.database(t)
	executeMaria(t, db, "CREATE TABLE w (n int) ENGINE=InnoDB")
	write := with(in, object{"read_only": false, "once": true, "query": "INSERT INTO w VALUES (:taskgrove_attempt)"})
	wantError(t, e, write, true, "outcome longtext")
	executeMaria(t, db, "CREATE TABLE taskgrove_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome longtext)")
	for _, n := range []int{2, 3} {
		if got, err := attempt(t.Context(), t, e, n, write); err != nil || (got["repeated"] == true) != (n == 3) {
			t.Errorf("attempt %d: %v, %v", n, got, err)
		}
	}
	if _, err := attempt(t.Context(), t, e, 1, write); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "attempt 1 has come after attempt 3") {
		t.Errorf("got %v, want a permanent refusal", err)
	}
	if n := scalarMaria[int](t, db, "SELECT count(*) FROM w"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	wantError(t, e, with(write, object{"query": "CREATE TABLE x (i int)"}), true, "may commit the transaction that holds the fence")
}

func mariaErrors(t *testing.T, s *mariaServer) {
	e := newExecutor(t, sql.Config{})
	in, db := s.database(t)
	executeMaria(t, db, "CREATE TABLE u (email varchar(100) PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO u VALUES ('ann@example.com')")
	insert := with(in, object{"read_only": false, "query": "INSERT INTO u VALUES (?)", "params": []any{"ann@example.com"}})
	wantError(t, e, insert, true, "1062", "'***'")
	wantError(t, e, with(in, object{"query": "SELECT nope"}), true, "1054")
	wantError(t, e, with(in, object{"query": "SELECT SLEEP(100)", "timeout": 0.4}), false)
	wantError(t, e, with(in, object{"query": "SELECT 1", "password": "wrong"}), true, "1045")
	wantError(t, e, with(in, object{"query": "SELECT 1", "port": 1}), false, "connect to mysql at 127.0.0.1:1")
}
