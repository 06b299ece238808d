package pg

import (
	"bytes"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// openStore opens an empty store, until the end of the test.
func openStore(t *testing.T) (s *Store, url string) {
	t.Helper()
	url = pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{URL: url, MaxConns: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, url
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
