package pg

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// openStore opens an empty store at the level of this version, until the end of the test.
func openStore(t testing.TB) (s *Store, url string) {
	t.Helper()
	url = pgtest.Prepared(t, Migrate)
	return openStoreAt(t, url), url
}

// openStoreAt opens the store at url, which is migrated first.
func openStoreAt(t testing.TB, url string) *Store {
	t.Helper()
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{URL: url, MaxConns: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	sealIfAsked(t, s)
	if err := s.adoptLevel(t.Context(), dag.AllLevels.Adopted(), "test"); err != nil { // as the first coordinator does
		t.Fatal(err)
	}
	return s
}

// TestMaxConns: a store that uses all that it may has as many connections as it tells.
func TestMaxConns(t *testing.T) {
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var one *pgxpool.Conn
	for range 2 {
		if one, err = s.pool.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer one.Release()
	}
	keys, err := s.keyConns.database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.pool.Exec(t.Context(), "select 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // those that migrated may just be ending
		if err := one.QueryRow(t.Context(), "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == s.MaxConns() {
			return
		}
	}
	t.Errorf("there are %d connections, and it tells of %d", n, s.MaxConns())
}

// TestExecModes: connections answer in the binary format, or are refused.
func TestExecModes(t *testing.T) {
	_, url := openStore(t)
	for mode, works := range map[string]bool{"cache_statement": true, "cache_describe": true, "describe_exec": false, "exec": false, "simple_protocol": false} {
		s, err := Open(t.Context(), Config{URL: url + "&default_query_exec_mode=" + mode})
		if !works {
			if err == nil || !strings.Contains(err.Error(), "default_query_exec_mode") {
				t.Errorf("%s: opened with %v, want a refusal", mode, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		rows, err := s.pool.Query(t.Context(), "select unnest($1::bigint[])", []int64{5})
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		var got int64
		if err := eachRow(rows, func(v *values) { got = v.bigint() }); err != nil || got != 5 {
			t.Errorf("%s: %d, %v, want 5", mode, got, err)
		}
		s.Close()
	}
}

// TestProcessesThatStartAtOnceShareASecret: the first ones of a new cluster all ask for its secret, and agree.
func TestProcessesThatStartAtOnceShareASecret(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	stores := make([]*Store, 6)
	for i := range stores {
		var err error
		if stores[i], err = Open(t.Context(), Config{URL: url, MaxConns: 1}); err != nil {
			t.Fatal(err)
		}
		defer stores[i].Close()
	}
	for range 100 {
		if _, err := stores[0].pool.Exec(t.Context(), "delete from cluster"); err != nil { // as new
			t.Fatal(err)
		}
		secrets := make([][]byte, len(stores))
		var asking sync.WaitGroup
		for i, s := range stores {
			asking.Go(func() {
				if err := s.pool.QueryRow(t.Context(), sql("ClusterSecret"), randomSecret()).Scan(&secrets[i]); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		for _, s := range secrets {
			if !bytes.Equal(s, secrets[0]) {
				t.Error("two processes have different secrets")
			}
		}
		if t.Failed() {
			return
		}
	}
}
