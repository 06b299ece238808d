package sql_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/sql"
)

// TestAnAttemptThatReadsAsksOnce counts what comes from the executor: the attempt's requests, and those that make the session as new.
func TestAnAttemptThatReadsAsksOnce(t *testing.T) {
	t.Parallel()
	db, _ := database(t)
	at, asked := counted(t, db["url"].(string))
	e := newExecutor(t, sql.Config{}) // ends first
	in := object{"url": at, "tls": "disable", "query": "SELECT n FROM generate_series(1, 3) n WHERE n > $1", "params": []any{1}}
	wantRows(t, e, in, `[{"n":2},{"n":3}]`)
	const attempts = 20
	before := asked.Load()
	for range attempts {
		wantRows(t, e, in, `[{"n":2},{"n":3}]`)
	}
	if n := asked.Load() - before; n > 2*attempts+1 { // one may be of the first attempt
		t.Errorf("%d attempts asked the server %d times, want two for each", attempts, n)
	}
}

// counted is the URL of a server that passes everything on to another, and counts what it gets from clients: never more than they have sent.
func counted(t *testing.T, server string) (string, *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { l.Close() })
	to := u.Host
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(client, backend); client.Close() })
			all.Go(func() { _, _ = io.Copy(counter{backend, &asked}, onlyReader{client}); backend.Close() })
		}
	})
	u.Host = l.Addr().String()
	return u.String(), &asked
}

type counter struct {
	to    io.Writer
	count *atomic.Int64
}

func (c counter) Write(p []byte) (int, error) {
	c.count.Add(1)
	return c.to.Write(p)
}

type onlyReader struct{ io.Reader }

func TestASessionThatTheServerEndedIsReplaced(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{MaxSessions: 1})
	db, conn := database(t)
	pid := with(db, object{"query": "SELECT pg_backend_pid() AS pid", "rows": "arrays"})
	for range 5 {
		first := rows(t, run(t, e, pid))
		gone := "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE pid = " + strings.Trim(first, "[]")
		if n := scalar[int](t, conn, gone); n != 1 {
			t.Fatalf("%d sessions ended", n)
		}
		if second := rows(t, run(t, e, pid)); second == first {
			t.Errorf("session %s is there again", first)
		}
	}
}

// TestAStatementThatEndsItsSessionIsNotRepeated: what fails with its session does so once for each attempt, however old the session is.
func TestAStatementThatEndsItsSessionIsNotRepeated(t *testing.T) {
	t.Parallel()
	db, conn := database(t)
	execute(t, conn, `CREATE FUNCTION die() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN 1; END $$`)
	at, asked := counted(t, db["url"].(string))
	e := newExecutor(t, sql.Config{})
	in := object{"url": at, "tls": "disable"}
	run(t, e, with(in, object{"query": "SELECT 1"})) // so that a session is kept
	before := asked.Load()
	wantError(t, e, with(in, object{"query": "SELECT die()"}), false, "57P01")
	if n := asked.Load() - before; n > 3 { // a new session would log in first
		t.Errorf("the server was asked %d times", n)
	}
}

// frozen is the context of a worker that does not notice that the time is up.
type frozen struct {
	context.Context
	end time.Time
}

func (f frozen) Deadline() (time.Time, bool) { return f.end, true }

func TestTheServerEndsWhatAFrozenWorkerLeft(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	db, _ := database(t)
	for _, readOnly := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		in := with(db, object{"query": "SELECT pg_sleep(60)", "read_only": readOnly})
		_, err := attempt(frozen{ctx, time.Now().Add(300 * time.Millisecond)}, t, e, 1, in)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "statement timeout (SQLSTATE 57014)") {
			t.Errorf("read_only %v: got %v, want the server's time limit", readOnly, err)
		}
	}
}

// TestCancelledReadersLeaveNothing: at any moment, and the sessions that stay are as new.
func TestCancelledReadersLeaveNothing(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{MaxSessions: 4})
	db, conn := database(t)
	in := with(db, object{"query": "SELECT pg_sleep(:seconds::float8), pg_try_advisory_lock(7)", "params": object{"seconds": "0.01"}})
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer time.AfterFunc(time.Duration(i)*time.Millisecond, func() { cancel(executors.ErrCancelled) }).Stop()
			if _, err := attempt(ctx, t, e, 1, in); err != nil && !errors.Is(err, executors.ErrCancelled) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	for range 8 {
		wantRows(t, e, with(db, object{"query": "SELECT 1 AS one"}), `[{"one":1}]`)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	left := "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'taskgrove' AND pid <> pg_backend_pid()"
	for deadline := time.Now().Add(time.Minute); scalar[int](t, conn, left) != 0; {
		if time.Now().After(deadline) {
			t.Fatal("sessions are left at the server")
		}
	}
}
