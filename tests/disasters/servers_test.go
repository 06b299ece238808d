package disasters

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgserver"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/tests/faults"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a test waits for what takes a second; nothing takes that long unless it is stuck.
const patience = 2 * time.Minute

// settings of the servers: nothing waits for the disk, as no test cuts the power.
func settings(more ...string) map[string]string {
	out := map[string]string{"fsync": "off", "shared_buffers": "64MB", "max_connections": "100", "wal_keep_size": "256MB", "wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": "200ms"}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// serverAt is a server in a directory of the test's, which stops with it.
func serverAt(t *testing.T, dir string, more ...string) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), pgserver.Config{DataDir: dir, BinDir: os.Getenv("PGTEST_BIN_DIR"), Settings: settings(more...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// pair is a primary and a replica that follows it, over a connection that can be held.
type pair struct {
	t                *testing.T
	primary, replica *pgserver.Server
	stream           *faults.Proxy // from the replica to the primary
}

// newPair starts both. If synchronous, a commit waits for the replica.
func newPair(t *testing.T, synchronous bool) *pair {
	t.Helper()
	p := &pair{t: t, primary: serverAt(t, filepath.Join(t.TempDir(), "primary"))}
	var err error
	if p.stream, err = faults.NewProxy(hostOf(p.primary.URL()), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stream.Close)
	dir := filepath.Join(t.TempDir(), "replica")
	if err := p.primary.CopyTo(t.Context(), pgserver.Config{DataDir: dir}, "replica", p.stream.Addr()); err != nil {
		t.Fatal(err)
	}
	p.replica = serverAt(t, dir)
	eventually(t, "the replica follows", func() error {
		return expect(t, p.primary.URL(), "select count(*) from pg_stat_replication where state = 'streaming'", "1")
	})
	if synchronous {
		execute(t, p.primary.URL(), "alter system set synchronous_standby_names = 'replica'", "select pg_reload_conf()")
		eventually(t, "the replica is synchronous", func() error {
			return expect(t, p.primary.URL(), "select count(*) from pg_stat_replication where sync_state = 'sync'", "1")
		})
	}
	return p
}

// promote makes the replica the primary.
func (p *pair) promote() {
	p.t.Helper()
	if err := expect(p.t, p.replica.URL(), "select pg_promote(true, 60)::text", "true"); err != nil {
		p.t.Fatal(err)
	}
}

// both is a URL as users write it who have several servers: all of them, whoever is the primary.
func (p *pair) both() string {
	u, _ := url.Parse(p.primary.URL())
	u.Host += "," + hostOf(p.replica.URL())
	u.RawQuery += "&target_session_attrs=read-write"
	return u.String()
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// execute runs statements, each in a transaction of its own.
func execute(t *testing.T, at string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// ask gives the one value of a query, as text.
func ask(t *testing.T, at, query string) (value string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var got *string
	if err := conn.QueryRow(ctx, "select v::text from ("+query+") q(v)").Scan(&got); err != nil {
		return "", fmt.Errorf("%s: %w", query, err)
	}
	return *cmp.Or(got, new(string)), nil
}

// expect compares the one value of a query.
func expect(t *testing.T, at, query, want string) error {
	t.Helper()
	got, err := ask(t, at, query)
	if err == nil && got != want {
		err = fmt.Errorf("%s: got %s, want %s", query, got, want)
	}
	return err
}

// eventually waits until f is nil.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("not within %s: %s: %v", patience, what, err)
}
