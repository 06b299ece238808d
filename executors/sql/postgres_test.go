package sql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// database is a fresh one, as inputs and as a connection of the test's own.
func database(t testing.TB) (object, *pgx.Conn) {
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

// scalar is the one value of a query.
func scalar[T any](t testing.TB, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func TestPostgresTypesBecomeJSONWithoutLoss(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, _ := database(t)
	for _, row := range []struct{ query, want string }{
		{"SELECT true AS v", "true"},
		{"SELECT 9223372036854775807::int8 AS v", "9223372036854775807"},
		{"SELECT 12345678901234567890.123456789012345678901234567890 AS v", `"12345678901234567890.123456789012345678901234567890"`},
		{"SELECT 'NaN'::numeric AS v", `"NaN"`},
		{"SELECT 0.1::float8 AS v", "0.1"},
		{"SELECT 1e300::float8 AS v", "1e+300"},
		{"SELECT 'NaN'::float8 AS v", `"NaN"`},
		{"SELECT '-Infinity'::float8 AS v", `"-Infinity"`},
		{"SELECT NULL::int AS v", "null"},
		{"SELECT '2026-01-02 03:04:05.123456+00'::timestamptz AT TIME ZONE 'UTC' AS v", `"2026-01-02T03:04:05.123456"`},
		{"SELECT 'infinity'::timestamptz AS v", `"infinity"`},
		{"SELECT '2026-01-02'::date AS v", `"2026-01-02"`},
		{"SELECT '03:04:05'::time AS v", `"03:04:05"`},
		{"SELECT '1 year 2 days 03:04:05'::interval AS v", `"P1Y2DT3H4M5S"`},
		{`SELECT '\x00ff'::bytea AS v`, `"AP8="`},
		{`SELECT '{"a": [1.50, null, "é"]}'::json AS v`, `{"a":[1.50,null,"é"]}`},
		{`SELECT '{"a":"\u0000\\u0000"}'::json AS v`, `{"a":"` + "\uFFFD" + `\\u0000"}`},
		{"SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS v", `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`},
		{`SELECT ARRAY['a', NULL, 'NULL', 'x,"y\z', ''] AS v`, `["a",null,"NULL","x,\"y\\z",""]`},
		{"SELECT ARRAY[[1,2],[3,4]] AS v", "[[1,2],[3,4]]"},
		{"SELECT ARRAY[]::int[] AS v", "[]"},
		{"SELECT '[2:3]={1,2}'::int[] AS v", `"[2:3]={1,2}"`},
		{"SELECT ARRAY['2026-01-02 03:04:05+00'::timestamptz AT TIME ZONE 'UTC'] AS v", `["2026-01-02T03:04:05"]`},
		{"SELECT 'text with \t \"quotes\" and <html>' AS v", `"text with \t \"quotes\" and <html>"`},
		{"SELECT '10.0.0.0/8'::inet AS v", `"10.0.0.0/8"`},
		{"SELECT int4range(1,3) AS v", `"[1,3)"`},
	} {
		got := rows(t, run(t, e, with(db, object{"query": row.query})))
		got = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got)
		if want := `[{"v":` + row.want + `}]`; got != want {
			t.Errorf("%s\n got %s\nwant %s", row.query, got, want)
		}
	}
	got := rows(t, run(t, e, with(db, object{"query": "SELECT '2026-01-02 03:04:05.5+00'::timestamptz AS v"})))
	var at []struct{ V time.Time }
	decode(t, got, &at)
	if want := time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC); len(at) != 1 || !at[0].V.Equal(want) {
		t.Errorf("timestamptz: %s is not %v in RFC 3339", got, want)
	}
}

func TestPostgresParameters(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, conn := database(t)
	execute(t, conn, "CREATE TABLE p (id int8, price numeric, tags text[], doc jsonb, at timestamptz)")
	run(t, e, with(db, object{"read_only": false, "query": "INSERT INTO p VALUES (:id, :price, :tags, :doc, :at)",
		"params": object{"id": 7, "price": "19.90", "tags": []any{"a", nil, `b"\`}, "doc": object{"x": []any{1}}, "at": "2026-01-02T00:00:00Z"}}))
	wantRows(t, e, with(db, object{"query": "SELECT id, price, tags, doc FROM p WHERE id = $1 AND at < now()", "params": []any{7}}),
		`[{"doc":{"x":[1]},"id":7,"price":"19.90","tags":["a",null,"b\"\\"]}]`)
	wantRows(t, e, with(db, object{"query": "SELECT id FROM p WHERE id = ANY($1)", "params": []any{[]any{1, 7}}}), `[{"id":7}]`)
	wantRows(t, e, with(db, object{"query": "SELECT ':id'::text AS a, :id::int AS b, $$:id$$ AS c, (ARRAY[1,2])[1:2] AS d -- :none\n", "params": object{"id": 3}}),
		`[{"a":":id","b":3,"c":":id","d":[1,2]}]`)
	wantRows(t, e, with(db, object{"query": "SELECT :taskgrove_key::text AS k, :taskgrove_attempt::int AS n, current_setting('taskgrove.attempt') AS s"}),
		`[{"k":"key-1","n":1,"s":"1"}]`)
	wantError(t, e, with(db, object{"query": "SELECT '$1', $$ $2 $$, $3::int", "params": object{"id": 1}}), true,
		"[sql_executor] query: $3 has no value: params must be a list for $1, $2, …; an object is for :name")
	wantError(t, e, with(db, object{"query": "SELECT :nobody"}), true, "[sql_executor] query: params has no value for :nobody")
	wantError(t, e, with(db, object{"query": "SELECT $1::int, $2::int", "params": []any{1}}), true, "08P01")
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{MaxBytes: 10_000})
	db, _ := database(t)
	for _, row := range []struct {
		more object
		rows int
	}{
		{object{"max_rows": 3}, 3},
		{object{"max_rows": 0}, 0},
		{object{}, 10_000 / len(`{"n":100}`)},
		{object{"max_bytes": 100}, 11},
	} {
		row.more["query"] = "SELECT a.n FROM generate_series(1, 30000) a(n), generate_series(1, 100000) b(n)"
		got := run(t, e, with(db, row.more))
		if n := len(got["rows"].([]any)); got["truncated"] != true || n < row.rows*8/10 || n > row.rows+1 {
			t.Errorf("%v: %d rows, truncated %v, want %d", row.more, n, got["truncated"], row.rows)
		}
		if asked := len(row.more) > 1; (got["truncated_fields"] == nil) != asked {
			t.Errorf("%v: truncated_fields is %v", row.more, got["truncated_fields"])
		}
	}
	wantError(t, e, with(db, object{"query": "SELECT 1", "max_bytes": 10_001}), true, "max_bytes must be from 0 to 10000")
	if got := run(t, e, with(db, object{"query": "SELECT repeat('x', 20000)"})); got["truncated"] != true || got["row_count"].(interface{ String() string }).String() != "0" {
		t.Errorf("a row over the bound: %v", got)
	}
	wantRows(t, e, with(db, object{"query": "SELECT 1 AS id, 2 AS id, 3 AS id_2, 4 AS id"}), `[{"id":1,"id_2":3,"id_3":2,"id_4":4}]`)
	wantRows(t, e, with(db, object{"rows": "arrays", "query": "SELECT 1 AS id, 2 AS id"}), `[[1,2]]`)
}

// TestNothingOfASessionGetsToTheNextAttempt uses one connection again and again: pg_backend_pid shows it.
func TestNothingOfASessionGetsToTheNextAttempt(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{MaxSessions: 1})
	db, _ := database(t)
	pid := rows(t, run(t, e, with(db, object{"query": "SELECT pg_backend_pid() AS pid"})))
	for _, leave := range []string{
		"CREATE TEMP TABLE left_over (id int)", "SET search_path = nowhere", "SET ROLE pg_monitor", "SELECT pg_advisory_lock(42)", "LISTEN left_over",
		"PREPARE left_over AS SELECT 1", "SELECT set_config('my.secret', 'x', false)", "DECLARE left_over CURSOR WITH HOLD FOR SELECT 1",
	} {
		run(t, e, with(db, object{"query": leave, "read_only": false}))
	}
	left := `SELECT to_regclass('left_over') IS NULL AND current_setting('search_path') LIKE '%public%' AND current_user = session_user
		AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
		AND NOT EXISTS (SELECT FROM pg_listening_channels()) AND NOT EXISTS (SELECT FROM pg_prepared_statements)
		AND coalesce(current_setting('my.secret', true), '') = '' AND NOT EXISTS (SELECT FROM pg_cursors WHERE name = 'left_over') AS clean`
	wantRows(t, e, with(db, object{"query": left}), `[{"clean":true}]`)
	if again := rows(t, run(t, e, with(db, object{"query": "SELECT pg_backend_pid() AS pid"}))); again != pid {
		t.Errorf("the connection was not used again: %s, then %s", pid, again)
	}
}

func TestCancelEndsTheStatementAtPostgres(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, conn := database(t)
	execute(t, conn, "CREATE TABLE c (id int)")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := attempt(ctx, t, e, 1, with(db, object{"read_only": false, "timeout": 600, "query": []any{"INSERT INTO c VALUES (1)", "SELECT pg_sleep(500)"}}))
		failed <- err
	}()
	running := "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(500)%' AND pid <> pg_backend_pid() AND datname = current_database() AND state <> 'idle'"
	for scalar[int](t, conn, running) == 0 {
	}
	began := time.Now()
	cancel(executors.ErrCancelled)
	if err := <-failed; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v, want %v", err, executors.ErrCancelled)
	}
	t.Logf("cancel took %v", time.Since(began))
	for scalar[int](t, conn, running) != 0 { // the server takes a moment to see that the connection is closed
		if time.Since(began) > time.Minute {
			t.Fatal("the statement still runs at the server")
		}
	}
	if n := scalar[int](t, conn, "SELECT count(*) FROM c"); n != 0 {
		t.Errorf("%d rows of the cancelled transaction are there", n)
	}
}

func TestTimeLimitIsKeptByThisSideAndTheServer(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, _ := database(t)
	wantError(t, e, with(db, object{"query": "SELECT pg_sleep(100)", "timeout": 0.3}), false)
	wantRows(t, e, with(db, object{"query": "SELECT setting::int BETWEEN 7001 AND 8000 AS limited FROM pg_settings WHERE name = 'statement_timeout'", "timeout": 7}), `[{"limited":true}]`)
}

func TestPostgresErrorsSayWhatHelps(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, conn := database(t)
	execute(t, conn, "CREATE TABLE u (email text PRIMARY KEY, n int CHECK (n > 0))", "INSERT INTO u VALUES ('ann@example.com', 1)")
	for _, row := range []struct {
		in        object
		permanent bool
		parts     []string
	}{
		{object{"query": "SELEC 1"}, true, []string{"begins with SELEC"}},
		{object{"query": "SELECT nope FROM u"}, true, []string{"42703", "at character 8"}},
		{object{"query": "SELECT :a::text || nope FROM u", "params": object{"a": "x"}}, true, []string{"at character 20"}},
		{object{"query": "INSERT INTO u VALUES ($1, 2)", "params": []any{"ann@example.com"}, "read_only": false}, true, []string{"23505", "Key (email)=(***)"}},
		{object{"query": "SELECT $1::int", "params": []any{"hunter2-secret"}}, true, []string{"22P02"}},
		{object{"query": []any{"SELECT 1", "SELECT 1/0"}}, true, []string{"statement 2 of 2", "22012"}},
		{object{"query": "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", "read_only": false}, false, []string{"40001"}},
		{object{"query": "DO $$ BEGIN RAISE SQLSTATE '53300'; END $$", "read_only": false}, false, []string{"53300"}},
		{object{"query": "DO $$ BEGIN RAISE 'no'; END $$", "read_only": false}, true, []string{"P0001"}},
	} {
		wantError(t, e, with(db, row.in), row.permanent, row.parts...)
		if _, err := attempt(t.Context(), t, e, 1, with(db, row.in)); err != nil && (strings.Contains(err.Error(), "ann@") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("the error shows a parameter: %v", err)
		}
	}
	wantError(t, e, with(db, object{"query": "SELECT 1", "password": "wrong-one", "username": "nobody"}), true, "28")
	wantError(t, e, object{"query": "SELECT 1", "driver": "postgres", "host": "127.0.0.1", "port": 1}, false, "connect to postgres at 127.0.0.1:1")
	wantError(t, e, with(db, object{"query": "SELECT 1", "tls": "verify-full"}), true, "TLS")
}

func TestAStaleAttemptCanNotPassTheFence(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, conn := database(t)
	write := with(db, object{"read_only": false, "fence": true, "query": "INSERT INTO w VALUES (:taskgrove_attempt)"})
	execute(t, conn, "CREATE TABLE w (attempt int)")
	wantError(t, e, write, true, "CREATE TABLE taskgrove_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome text)")
	execute(t, conn, "CREATE TABLE taskgrove_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome text)")
	for _, n := range []int{1, 3} {
		if _, err := attempt(t.Context(), t, e, n, write); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := attempt(t.Context(), t, e, 2, write); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "attempt 2 has come after attempt 3") {
		t.Errorf("got %v, want a permanent refusal", err)
	}
	if got := scalar[string](t, conn, "SELECT string_agg(attempt::text, ',' ORDER BY attempt) FROM w"); got != "1,3" {
		t.Errorf("attempts %s have written, want 1,3", got)
	}
}

// Attempt 1 has gone through the fence and stays in its transaction, as that of a worker that is stopped would.
func TestAFrozenAttemptHoldsTheNewerOneUntilItsTimeIsUp(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, conn := database(t)
	execute(t, conn, "CREATE TABLE w (attempt int)", "CREATE TABLE taskgrove_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome text)")
	write := with(db, object{"read_only": false, "fence": true, "timeout": 30, "query": "INSERT INTO w VALUES (:taskgrove_attempt)"})
	frozen := with(db, object{"read_only": false, "fence": true, "timeout": 5, "query": []any{"INSERT INTO w VALUES (:taskgrove_attempt)", "SELECT pg_sleep(20)"}})
	failed := make(chan error, 1)
	go func() {
		_, err := attempt(context.WithoutCancel(t.Context()), t, e, 1, frozen)
		failed <- err
	}()
	for scalar[int](t, conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(20)%' AND pid <> pg_backend_pid()") == 0 {
		if len(failed) > 0 {
			t.Fatalf("the frozen attempt has ended: %v", <-failed)
		}
	}
	if _, err := attempt(t.Context(), t, e, 2, write); err != nil {
		t.Errorf("attempt 2: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the frozen attempt has succeeded")
	}
	if got := scalar[string](t, conn, "SELECT string_agg(attempt::text, ',') FROM w"); got != "2" {
		t.Errorf("attempts %s have written, want 2", got)
	}
}

func TestOnceReturnsTheEarlierOutcome(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, conn := database(t)
	execute(t, conn, "CREATE TABLE w (id serial)", "CREATE TABLE taskgrove_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome text)")
	write := with(db, object{"read_only": false, "once": true, "query": "INSERT INTO w DEFAULT VALUES RETURNING id"})
	first, err := attempt(t.Context(), t, e, 1, write)
	if err != nil {
		t.Fatal(err)
	}
	second, err := attempt(t.Context(), t, e, 2, write)
	if err != nil {
		t.Fatal(err)
	}
	if first["repeated"] != nil || second["repeated"] != true || rows(t, first) != rows(t, second) || scalar[int](t, conn, "SELECT count(*) FROM w") != 1 {
		t.Errorf("got %v, then %v", first, second)
	}
	if _, err := attempt(t.Context(), t, e, 1, write); err == nil {
		t.Error("an older attempt has passed")
	}
}

func TestTransactionsAreWholeOrNot(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, conn := database(t)
	execute(t, conn, "CREATE TABLE a (id int)")
	wantError(t, e, with(db, object{"read_only": false, "query": []any{"INSERT INTO a VALUES (1)", "INSERT INTO nope VALUES (1)"}}), true, "statement 2 of 2")
	if n := scalar[int](t, conn, "SELECT count(*) FROM a"); n != 0 {
		t.Errorf("%d rows are left of a transaction that failed", n)
	}
	got := run(t, e, with(db, object{"read_only": false, "isolation": "serializable", "query": []any{"INSERT INTO a VALUES (1), (2)", "SELECT current_setting('transaction_isolation') AS level"}}))
	if len(got["results"].([]any)) != 2 || !strings.Contains(rows(t, got["results"].([]any)[1].(map[string]any)), "serializable") {
		t.Errorf("got %v", got)
	}
	run(t, e, with(db, object{"read_only": false, "transaction": false, "query": "VACUUM a"}))
	wantError(t, e, with(db, object{"transaction": false, "query": "SELECT 1"}), true, "transaction false needs read_only false")
}
