package pgserver_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgserver"
)

// started starts a server that the test's end stops.
func started(t *testing.T, cfg pgserver.Config) *pgserver.Server {
	t.Helper()
	cfg.BinDir = os.Getenv("PGTEST_BIN_DIR")
	s, err := pgserver.Start(t.Context(), cfg)
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

func connect(t *testing.T, s *pgserver.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func ask(t *testing.T, s *pgserver.Server, query string) (answer string) {
	t.Helper()
	if err := connect(t, s).QueryRow(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func TestSettings(t *testing.T) {
	s := started(t, pgserver.Config{DataDir: filepath.Join(t.TempDir(), "made", "here"),
		Settings: map[string]string{"max_wal_size": "1GB", "cluster_name": "two words"}})
	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "shared_buffers": "256MB", // defaults
		"max_wal_size": "1GB", "cluster_name": "two words", // ours
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "server_encoding": "UTF8",
		"password_encryption": "scram-sha-256",
	} {
		query := "select current_setting('" + name + "')"
		if got := ask(t, s, query); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestReservedSettingIsRefused(t *testing.T) {
	_, err := pgserver.Start(t.Context(), pgserver.Config{DataDir: t.TempDir(), Settings: map[string]string{"port": "1"}})
	if err == nil || !strings.Contains(err.Error(), "setting port") {
		t.Errorf("Start = %v, want an error about the setting port", err)
	}
}

func TestWrongSettingQuotesTheServer(t *testing.T) {
	_, err := pgserver.Start(t.Context(), pgserver.Config{DataDir: t.TempDir(), BinDir: os.Getenv("PGTEST_BIN_DIR"),
		Settings: map[string]string{"fsync": "off", "shared_buffers": "many"}})
	if err == nil || !strings.Contains(err.Error(), "shared_buffers") {
		t.Errorf("Start = %v, want the server's words about shared_buffers", err)
	}
}

func TestPasswordIsNeededAndPrivate(t *testing.T) {
	dir := t.TempDir()
	s := started(t, pgserver.Config{DataDir: dir, Settings: map[string]string{"fsync": "off"}})
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("postgres", "guess")
	if conn, err := pgx.Connect(t.Context(), u.String()); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a wrong password was accepted")
	}
	for _, name := range []string{"password", "log"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("mode of %s = %o, want 600", name, got)
		}
	}
}

func TestDataSurvives(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *pgserver.Server){
		"a stop": func(t *testing.T, s *pgserver.Server) {
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
		},
		"a stop while a session is open": func(t *testing.T, s *pgserver.Server) {
			connect(t, s)
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
		},
		"a kill while a session is open": func(t *testing.T, s *pgserver.Server) {
			connect(t, s)
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
		},
		"a kill by somebody else": func(t *testing.T, s *pgserver.Server) {
			pid, err := strconv.Atoi(ask(t, s, "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-s.Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := pgserver.Config{DataDir: t.TempDir(), Settings: map[string]string{"fsync": "off", "shared_buffers": "16MB"}}
			s := started(t, cfg)
			ask(t, s, "with made as (select lo_from_bytea(4711, 'kept')) select 'committed' from made")
			end(t, s)
			if _, err := pgx.Connect(t.Context(), s.URL()); err == nil {
				t.Error("the server still answers")
			}
			url := s.URL()
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.URL(); got != url {
				t.Errorf("the same server's URL = %s, want %s", got, url)
			}
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			again := started(t, cfg)
			if got := ask(t, again, "select convert_from(lo_get(4711), 'UTF8')"); got != "kept" {
				t.Errorf("what was stored = %q, want %q", got, "kept")
			}
		})
	}
}

// A stale postmaster.pid may name a process that lives, but is another one: numbers are used again.
func TestStaleProcessNumberIsNoHindrance(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("left to Postgres where there is no /proc")
	}
	dir := t.TempDir()
	cfg := pgserver.Config{DataDir: dir, Settings: map[string]string{"fsync": "off", "shared_buffers": "16MB"}}
	s := started(t, cfg)
	other := started(t, pgserver.Config{DataDir: t.TempDir(), Settings: cfg.Settings})
	pid := ask(t, other, "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "pgdata", "postmaster.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(path, []byte(pid+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Error(err)
	}
}

// A start waits for a line of the server's log, which settings may keep out of it.
func TestServerThatKeepsQuietStarts(t *testing.T) {
	s := started(t, pgserver.Config{DataDir: t.TempDir(), Settings: map[string]string{"fsync": "off", "log_min_messages": "panic"}})
	if got := ask(t, s, "show log_min_messages"); got != "panic" {
		t.Errorf("log_min_messages = %s", got)
	}
}

func TestDirectoryInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	started(t, pgserver.Config{DataDir: dir, Settings: map[string]string{"fsync": "off"}})
	_, err := pgserver.Start(t.Context(), pgserver.Config{DataDir: dir, BinDir: os.Getenv("PGTEST_BIN_DIR")})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second Start = %v, want an error saying that the directory is in use", err)
	}
}

func TestTakenPortIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = pgserver.Start(t.Context(), pgserver.Config{DataDir: t.TempDir(), BinDir: os.Getenv("PGTEST_BIN_DIR"),
		Port: l.Addr().(*net.TCPAddr).Port, Settings: map[string]string{"fsync": "off"}})
	if err == nil || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("Start = %v, want an error saying that the address is in use", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // initdb alone takes longer
	defer cancel()
	if s, err := pgserver.Start(ctx, pgserver.Config{DataDir: t.TempDir(), BinDir: os.Getenv("PGTEST_BIN_DIR")}); err == nil {
		t.Error("Start returned no error")
		_ = s.Stop()
	}
}

func TestStoppedServerMayBeStoppedAgain(t *testing.T) {
	s := started(t, pgserver.Config{DataDir: t.TempDir(), Settings: map[string]string{"fsync": "off"}})
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
	<-s.Done()
}
