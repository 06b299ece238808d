package db_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/sql/sqltest"
)

func TestTypesOfPostgres(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	in, conn := postgres(t)
	execute(t, conn, "SET TIME ZONE 'UTC'", `CREATE TYPE mood AS ENUM ('so-so')`, `CREATE TABLE v (b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, n0 numeric(40,0), d date, t time, ts timestamp, tz timestamptz,
		j json, jb jsonb, by bytea, a int[], ta text[], u uuid, m mood, iv interval, x text)`,
		`INSERT INTO v VALUES (true, -1, 9223372036854775807, 0.5, 1e300, 19.90, 123456789012345678901234567890, '2026-01-02', '03:04:05.5', '2026-01-02 03:04:05.123456', '2026-01-02 03:04:05+02',
			E'{"a":\n [1.50]}', '{"b": null}', '\x00ff', '{1,NULL}', '{"x,\"y"}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'so-so', '1 day 02:00', E'é,"\t\r\n😀'),
		(NULL, NULL, NULL, 'NaN', '-Infinity', 'NaN', NULL, 'infinity', NULL, '-infinity', 'infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '')`)
	in["sql"] = "SELECT * FROM v ORDER BY b"
	in["format"] = "csv"
	want := "b,i2,i8,f4,f8,n,n0,d,t,ts,tz,j,jb,by,a,ta,u,m,iv,x\n" +
		`true,-1,9223372036854775807,0.5,1e+300,19.90,123456789012345678901234567890,2026-01-02,03:04:05.5,2026-01-02T03:04:05.123456,2026-01-02T01:04:05Z,"{""a"":` + "\n" + ` [1.50]}","{""b"": null}",AP8=,"[1,null]",` +
		`"[""x,\""y""]",a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,so-so,P1DT2H,"é,""` + "\t\r\n" + `😀"` + "\n" +
		",,,NaN,-Infinity,NaN,,infinity,,-infinity,infinity,,,,,,,,,\n"
	in["sql"] = "SELECT set_config.* FROM v AS set_config ORDER BY b" // a name of a function is only one where it is called
	if got := k.file(t, in); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	in["format"] = "jsonl"
	want = `{"b":true,"i2":-1,"i8":9223372036854775807,"f4":0.5,"f8":1e+300,"n":19.90,"n0":"123456789012345678901234567890","d":"2026-01-02","t":"03:04:05.5","ts":"2026-01-02T03:04:05.123456","tz":"2026-01-02T01:04:05Z",` +
		`"j":{"a":[1.50]},"jb":{"b": null},"by":"AP8=","a":[1,null],"ta":["x,\"y"],"u":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","m":"so-so","iv":"P1DT2H","x":"é,\"\t\r\n😀"}` + "\n" +
		`{"b":null,"i2":null,"i8":null,"f4":"NaN","f8":"-Infinity","n":"NaN","n0":null,"d":"infinity","t":null,"ts":"-infinity","tz":"infinity","j":null,"jb":null,"by":null,"a":null,"ta":null,"u":null,"m":null,"iv":null,"x":""}` + "\n"
	if got := k.file(t, in); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r := k.run(t, "db_fetch_small", in)
	if got := r["dtypes_json"]; got != `{"a":"string","b":"bool","by":"string","d":"date","f4":"float","f8":"float","i2":"int","i8":"int","iv":"string","j":"string","jb":"string","m":"string",`+
		`"n":"float","n0":"float","t":"string","ta":"string","ts":"datetime","tz":"datetime","u":"string","x":"string"}` {
		t.Errorf("got %s", got)
	}
	params := object{"sql": "SELECT :t::text AS t, :n::int + 1 AS n, :l::int[] AS l, :o::jsonb AS o, ':no' AS no, $$:no$$ AS dollar, (ARRAY[1,2,3])[1:2] AS slice, :b::bool AS b, :z::text AS z -- :no\n",
		"params": object{"t": "x'; --", "n": 1, "l": []any{1, 2}, "o": object{"a": 1}, "b": true, "z": nil}, "format": nil}
	if got := shown(k.run(t, "db_fetch_small", with(in, params))["rows"]); got != `[["x'; --",2,[1,2],{"a":1},":no",":no",[1,2],true,null]]` {
		t.Errorf("got %s", got)
	}
	k.wantError(t, "db_fetch_small", with(in, object{"sql": "SELECT pg_terminate_backend(1)"}), "sql names pg_terminate_backend, which acts outside of the read-only transaction; sql_executor writes, with read_only: false")
	k.wantError(t, "db_fetch_small", with(in, object{"sql": "WITH d AS (DELETE FROM v RETURNING 1) SELECT * FROM d"}), "read-only transaction")
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	s := sqltest.StartMariaDB(t)
	k := newKit(t)
	in, conn := s.Database(t)
	executeStd(t, conn, "SET time_zone = '+00:00'", `CREATE TABLE v (i int zerofill, u bigint unsigned, f double, n decimal(40,10), d date, t time, dt datetime(3), ts timestamp, j json, b blob, bi bit(9), e enum('x'), y year, x text) CHARACTER SET utf8mb4`,
		`INSERT INTO v VALUES (42, 18446744073709551615, 1.5, 123456789012345678901234567890.5, '2026-01-02', '03:04:05', '2026-01-02 03:04:05.125', '2026-01-02 03:04:05', '{"a": 1}', x'00ff', b'100000001', 'x', 2026, 'é,"
😀')`, "INSERT INTO v (d) VALUES (NULL)")
	in["sql"] = "SELECT * FROM v WHERE :a = 'a' ORDER BY i DESC" // with a value, and so by the binary protocol
	in["params"] = object{"a": "a"}
	in["format"] = "csv"
	rows := func(more object) string {
		return strings.ReplaceAll(k.file(t, with(in, more)), "2026-01-02T03:04:05Z", "TS")
	}
	want := "i,u,f,n,d,t,dt,ts,j,b,bi,e,y,x\n" + `42,18446744073709551615,1.5,123456789012345678901234567890.5000000000,2026-01-02,03:04:05,2026-01-02T03:04:05.125,TS,"{""a"": 1}",AP8=,257,x,2026,"é,""` + "\n" + `😀"` + "\n"
	if got := rows(object{}); !strings.HasPrefix(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := rows(object{"sql": "SELECT * FROM v ORDER BY i DESC", "params": nil}); !strings.HasPrefix(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := k.run(t, "db_fetch_small", in)["rows_json"].(string); !strings.HasPrefix(got, `[[42,18446744073709551615,1.5,"123456789012345678901234567890.5000000000","2026-01-02","03:04:05","2026-01-02T03:04:05.125","2026-01-02T03:04:05Z",`) {
		t.Errorf("got %s", got)
	}
	k.wantError(t, "db_fetch_small", with(in, object{"sql": "SELECT 1 INTO OUTFILE '/tmp/x'", "params": nil}), "sql has INTO, which writes files and variables; sql_executor writes")
	// What is cancelled ends at the server.
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := k.attempt(ctx, t, "db_extract_stream", with(in, object{"sql": "SELECT sleep(600) AS canary", "params": nil, "output": filepath.Join(k.dir, "never")}))
		done <- err
	}()
	running := func() (n int) {
		if err := conn.QueryRowContext(t.Context(), "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%canary%' AND info NOT LIKE '%processlist%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	wait(t, func() bool { return running() == 1 })
	cancel(executors.ErrCancelled)
	if err := <-done; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	wait(t, func() bool { return running() == 0 })
}

// wait waits until something is so.
func wait(t testing.TB, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

// A cancelled attempt ends its statement at the server, and one whose file is refused does so too; neither leaves a file.
func TestStatementsEndAtPostgres(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	in, conn := postgres(t)
	running := func() (n int) {
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%canary%' AND state = 'active' AND pid <> pg_backend_pid() AND datname = current_database()").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const endless = "SELECT generate_series(1, 1000000000000) AS canary"
	in["output"] = filepath.Join(k.dir, "out", "x.csv")
	for name, end := range map[string]error{"cancelled": executors.ErrCancelled, "draining": executors.ErrDraining, "timeout": executors.ErrTimeout, "lease": executors.ErrLeaseLost} {
		ctx, cancel := context.WithCancelCause(t.Context())
		c := call(t, with(in, object{"sql": endless, "fetch_size": 1000}))
		c.Reporter = hooked{c.Reporter, func() { cancel(end) }}
		if _, err := k.outcome(ctx, t, "db_extract_stream", c); !errors.Is(err, end) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	k.wantError(t, "db_extract_stream", with(in, object{"sql": "SELECT CASE WHEN i = 20000 THEN 'é' ELSE 'canary' END AS x FROM (SELECT generate_series(1, 1000000000000) AS i) AS s", "encoding": "ascii"}), "row 20000")
	_, err := k.attempt(t.Context(), t, "db_extract_stream", with(in, object{"sql": "SELECT pg_sleep(600) AS canary", "timeout": 0.3}))
	if executors.KindOf(err) != executors.KindTimeout {
		t.Errorf("got %v", err)
	}
	wait(t, func() bool { return running() == 0 })
	if left := files(t, k.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// The next attempt has the same sessions, and each is as new.
	if got := k.file(t, with(in, object{"sql": "SELECT 1 AS a"})); got != "a\n1\n" {
		t.Errorf("got %q", got)
	}
}

// A worker that loses its connection fails the attempt, which may be retried; nothing half-written is left.
func TestALostConnectionLeavesNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	in, conn := postgres(t)
	c := call(t, with(in, object{"sql": "SELECT generate_series(1, 1000000000000) AS canary", "fetch_size": 1000, "output": filepath.Join(k.dir, "x.csv")}))
	killed := false
	c.Reporter = hooked{c.Reporter, func() {
		if !killed {
			killed = true
			execute(t, conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%canary%' AND pid <> pg_backend_pid() AND datname = current_database()")
		}
	}}
	_, err := k.outcome(t.Context(), t, "db_extract_stream", c)
	if err == nil || executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if left := files(t, k.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Memory does not grow with the number of rows.
func TestRowsAreStreamed(t *testing.T) {
	k := newKit(t)
	in, _ := postgres(t)
	rows := 200_000
	if os.Getenv("TASKGROVE_FULL") != "" {
		rows = 1_000_000
	}
	var most uint64
	for _, format := range []string{"csv", "jsonl"} {
		at := filepath.Join(k.dir, "many."+format)
		c := call(t, with(in, object{"sql": "SELECT i AS id, repeat('x', 100) || i AS text, i * 1.5::numeric AS amount, now() AS at FROM (SELECT generate_series(1, :n::int) AS i) AS s", "params": object{"n": rows}, "output": at, "format": format}))
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		c.Reporter = hooked{c.Reporter, func() {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse-min(now.HeapInuse, before.HeapInuse))
		}}
		began := time.Now()
		r, err := k.outcome(t.Context(), t, "db_extract_stream", c)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		peak := peakMiB()
		file, err := os.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		size, err := io.Copy(sum, file)
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		if shown(r["row_count"]) != fmt.Sprint(rows) || r["sha256"] != hex.EncodeToString(sum.Sum(nil)) {
			t.Errorf("%s: got %v rows, %v", format, r["row_count"], r["sha256"])
		}
		t.Logf("%s: %d rows, %d MiB in %v, at most %d MiB of heap more than before; peak of the process: %d MiB", format, rows, size>>20, took.Round(time.Millisecond), most>>20, peak)
	}
	if most > 48<<20 {
		t.Errorf("%d MB of heap were in use", most>>20)
	}
}

// peakMiB is how much memory this process has had at most; 0: nobody says.
func peakMiB() (n int) {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		fmt.Sscan(peak, &n)
	}
	return n >> 10
}

func TestExamplesRun(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	in, conn := postgres(t)
	execute(t, conn, "CREATE TABLE orders (id int PRIMARY KEY, total numeric, placed_at timestamptz, paid bool)", "INSERT INTO orders VALUES (42, 19.90, '2026-01-02 00:00+00', false)")
	for id, e := range k.byID {
		for _, example := range e.Describe().Examples {
			var inputs object
			if err := json.Unmarshal(example.Inputs, &inputs); err != nil {
				t.Fatal(err)
			}
			delete(inputs, "connection")
			if _, err := k.attempt(t.Context(), t, id, with(inputs, in)); err != nil {
				t.Errorf("%s: %s: %v", id, example.Title, err)
			}
		}
	}
}
