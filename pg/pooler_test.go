package pg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// ignored is what a PgBouncer of people who tried without our help ignores.
const ignored = "ignore_startup_parameters = enable_hashjoin, enable_mergejoin, enable_seqscan, enable_bitmapscan, jit, plan_cache_mode," +
	" idle_in_transaction_session_timeout, statement_timeout, default_transaction_isolation"

// TestPoolersAreFound: a real PgBouncer is found at the start, whatever its mode, and modes that can't work are refused.
func TestPoolersAreFound(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	if s := openStoreAt(t, dsn); s.pool.settings != "" {
		t.Errorf("a pooler was found where there is none: %s", s.pool.settings)
	}
	for fact, tt := range map[string]struct {
		opts    pgtest.BouncerOptions
		url     string // more of it
		pooler  Pooler
		refusal string // of Open; empty: it works
	}{
		"transaction mode":                  {},
		"session mode":                      {opts: pgtest.BouncerOptions{Mode: "session"}},
		"one that ignores our settings":     {opts: pgtest.BouncerOptions{Extra: []string{ignored}}},
		"one that is told of":               {pooler: PoolerBetween},
		"settings of the URL":               {url: "&search_path=public&lock_timeout=7777"},
		"settings that a pooler refuses":    {url: "&options=-csearch_path%3Dpublic", refusal: "unsupported startup parameter: options: write each setting"},
		"statement mode":                    {opts: pgtest.BouncerOptions{Mode: "statement"}, refusal: "set pool_mode = transaction"},
		"one that is there against the set": {pooler: PoolerNone, refusal: "a pooler stands before Postgres"},
	} {
		t.Run(fact, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Bouncer(t, dsn, tt.opts) + tt.url
			s, err := Open(t.Context(), Config{URL: url, MaxConns: 6, Pooler: tt.pooler})
			if err == nil {
				sealIfAsked(t, s)
			}
			if tt.refusal != "" {
				if _, ok := errors.AsType[*PoolerError](err); !ok || !strings.Contains(err.Error(), tt.refusal) || Unreachable(err) {
					t.Fatalf("got %v, want a refusal with %q", err, tt.refusal)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			checkSettings(t, s, url)
		})
	}
}

// checkSettings checks that our settings hold for what we run, and for nothing else that the pooler runs.
func checkSettings(t *testing.T, s *Store, url string) {
	t.Helper()
	const show = `select current_setting('enable_seqscan') || ' ' || current_setting('statement_timeout') || ' ' || current_setting('lock_timeout')`
	want := "off 30s 0"
	if strings.Contains(url, "lock_timeout") {
		want = "off 30s 7777ms"
	}
	for range 8 {
		var got string
		if err := s.pool.QueryRow(t.Context(), show).Scan(&got); err != nil || got != want {
			t.Errorf("our statements have %s (%v), want %s", got, err, want)
		}
	}
	base, _, _ := strings.Cut(url, "&")
	cfg, err := pgx.ParseConfig(base)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	other, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	var got string
	var prepared int
	if err := other.QueryRow(t.Context(), show).Scan(&got); err != nil || got != "on 0 0" {
		t.Errorf("another client has %s (%v), want what it set", got, err)
	}
	if err := other.QueryRow(t.Context(), "select count(*) from pg_prepared_statements").Scan(&prepared); err != nil || prepared != 0 {
		t.Errorf("another client finds %d statements prepared (%v)", prepared, err)
	}
}

// TestTreesRunThroughAPooler: two processes share a few connections of a PgBouncer, and what they store is as it is without.
func TestTreesRunThroughAPooler(t *testing.T) {
	t.Parallel()
	for name, reruns := range map[string]int{"run again": 60, "run once": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whatIsResidentIsWhatPostgresHas(t, pgtest.Bouncer(t, pgtest.Database(t), pgtest.BouncerOptions{Size: 3}), reruns)
		})
	}
}

// TestMigrationsFromSeveralProcesses: those that start at once all get a migrated database, also through a pooler, where a lock
// of a session protects nothing.
func TestMigrationsFromSeveralProcesses(t *testing.T) {
	t.Parallel()
	for name, through := range map[string]func(string) string{
		"directly":         func(url string) string { return url },
		"through a pooler": func(url string) string { return pgtest.Bouncer(t, url, pgtest.BouncerOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			url := through(pgtest.Database(t))
			var processes sync.WaitGroup
			for range 8 {
				processes.Go(func() {
					if err := Migrate(t.Context(), url); err != nil {
						t.Error(err)
					}
				})
			}
			processes.Wait()
			files, err := migrations.ReadDir("migrations")
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), Config{URL: url})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var n int
			if err := s.pool.QueryRow(t.Context(), "select count(*) from migration").Scan(&n); err != nil || n != len(files) {
				t.Errorf("%d migrations are on record (%v), want %d", n, err, len(files))
			}
		})
	}
}

// TestAFailureThroughAPoolerLeavesNothingOpen: a connection whose statement failed serves the next.
func TestAFailureThroughAPoolerLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	s := openStoreAt(t, pgtest.Bouncer(t, pgtest.Database(t), pgtest.BouncerOptions{Size: 1}))
	for i := range 20 {
		if _, err := s.pool.Exec(t.Context(), "select 1/$1::int", 0); err == nil {
			t.Fatal("no error")
		}
		var n int
		if err := s.pool.QueryRow(t.Context(), "select 1/$1::int", 0).Scan(&n); err == nil {
			t.Fatal("no error")
		}
		rows, err := s.pool.Query(t.Context(), "select generate_series(1, 10)")
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		rows.Close()
		b := &pgx.Batch{}
		b.Queue("insert into pool (name) values ($1)", fmt.Sprint("p", i))
		b.Queue("select 1/$1::int", 0)
		if err := s.pool.Send(t.Context(), b); err == nil {
			t.Fatal("no error")
		}
		if err := s.pool.QueryRow(t.Context(), "select count(*) from pool where name like 'p_%'").Scan(&n); err != nil || n != 0 {
			t.Fatalf("%d rows of failed transactions (%v)", n, err)
		}
	}
	if all := s.pool.pool.Stat().NewConnsCount(); all > 2 {
		t.Errorf("%d connections were made, want one that is used again", all)
	}
}

// TestTransactionsBeginInOnePlace: one that begins by itself would lack its settings and isolation.
func TestTransactionsBeginInOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	begins := regexp.MustCompile(`Queue\("begin|Exec\(ctx, "begin|BeginTx\(|\.Begin\(|BeginFunc\(|BeginTxFunc\(`)
	for _, file := range files {
		if file == "connections.go" || file == "migrate.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range begins.FindAllString(string(text), -1) {
			t.Errorf("%s has %s: call begin", file, found)
		}
	}
}
