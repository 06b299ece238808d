// Package pgtest gives tests real Postgres databases: one server per test process, started on first use, and a fresh database
// for each test.
//
// It owns the server, its temporary directory and the databases' names. It must not know any schema: tests that want tables
// migrate themselves.
//
// The servers run with fsync off: tests kill processes, not machines, and the kernel keeps what a killed process has written.
// Commits stay synchronous, so a killed server loses none. To test another version, set PGTEST_BIN_DIR to the directory of
// its binaries; otherwise they are found as [pgserver.Start] describes.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgserver"
)

// opTimeout bounds what is done to a server: a start, a database made or dropped.
const opTimeout = 2 * time.Minute

// settings are those of every server here. The connections are for many tests at once, each with pools of its own.
var settings = map[string]string{"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB", "max_connections": "1000"}

// shared is the server of this test process.
var shared struct {
	once   sync.Once
	server *pgserver.Server
	home   *home
	err    error
}

// databases counts those that were made, for their names.
var databases atomic.Int64

// prepared is the database that those of [Prepared] are copies of.
var prepared struct {
	once sync.Once
	err  error
}

// Database returns the URL of an empty database, its superuser's, which is dropped when the test ends, whoever is still
// connected. It may be called from parallel tests. The test fails at once if there is no Postgres to be had.
func Database(t testing.TB) string {
	t.Helper()
	return database(t, "template1")
}

// Prepared is a [Database] as prepare leaves it. It prepares one in each test process, and the others are copies of that: all calls of a process
// say the same. For a schema that takes longer to make than to copy.
func Prepared(t testing.TB, prepare func(ctx context.Context, url string) error) string {
	t.Helper()
	const name = "prepared"
	prepared.once.Do(func() {
		shared.once.Do(start)
		if prepared.err = shared.err; prepared.err != nil {
			return
		}
		if prepared.err = run("create database " + name); prepared.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
		defer cancel()
		var url string
		if url, prepared.err = urlOf(name); prepared.err == nil {
			prepared.err = prepare(ctx, url)
		}
	})
	if prepared.err != nil {
		t.Fatal(prepared.err)
	}
	return database(t, name)
}

// database makes one for a test, as a copy of another that nobody is connected to.
func database(t testing.TB, template string) string {
	t.Helper()
	shared.once.Do(start)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	name := fmt.Sprintf("t%d", databases.Add(1))
	if err := run("create database " + name + " template " + template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run("drop database if exists " + name + " with (force)"); err != nil {
			t.Error(err)
		}
	})
	out, err := urlOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// urlOf is the URL of a database of the shared server.
func urlOf(name string) (string, error) {
	u, err := url.Parse(shared.server.URL())
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// Own returns a server of the test's own, to be stopped, killed and started again; its data is fresh, its URL stays the
// same. It is stopped, and its data removed, when the test ends. It costs two seconds where [Database] costs a tenth.
func Own(t testing.TB) *pgserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	s, err := pgserver.Start(ctx, config(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Main is for a package's TestMain: it runs the tests, stops the server and removes its directory. Without it the kernel
// stops the server with the process (Linux), and the directory stays until the next test process finds it.
func Main(m *testing.M) {
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func config(dir string) pgserver.Config {
	return pgserver.Config{DataDir: filepath.Join(dir, "postgres"), BinDir: os.Getenv("PGTEST_BIN_DIR"), Settings: settings}
}

func start() {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	if shared.home, shared.err = newHome(); shared.err != nil {
		return
	}
	shared.server, shared.err = pgserver.Start(ctx, config(shared.home.dir))
}

func stop() error {
	if shared.home == nil {
		return nil
	}
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			return err
		}
	}
	return shared.home.remove()
}

// run runs one statement that wants no transaction.
func run(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, shared.server.URL())
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
