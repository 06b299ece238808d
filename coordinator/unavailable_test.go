package coordinator_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// sick is a cluster whose Postgres gets into trouble and out of it.
type sick struct {
	*cluster.Cluster
	admin *pgx.Conn
}

func (s sick) exec(statements ...string) {
	s.T.Helper()
	for _, statement := range statements {
		if _, err := s.admin.Exec(s.T.Context(), statement); err != nil {
			s.T.Fatalf("%s: %v", statement, err)
		}
	}
}

func (s sick) submit(id string) error {
	big := fmt.Sprintf(`{"text":%q}`, strings.Repeat(id, 200_000)) // needs new space
	task := noop(id, "")
	task.Params = []byte(big)
	_, err := s.Service().Submit(s.T.Context(), coordinator.SubmitOptions{Hold: true}, cluster.Seq([]*dag.Task{task}))
	return err
}

// falls checks that a submission is refused and readiness ends, both with the reason.
func (s sick) falls(reason string) {
	s.T.Helper()
	s.Eventually("submissions are refused", func() error {
		err := s.submit("during")
		if err != nil && !errors.Is(err, coordinator.ErrUnavailable) {
			s.T.Fatalf("got %v, want unavailable: %s", err, reason)
		}
		if err == nil || !strings.Contains(err.Error(), reason) {
			return fmt.Errorf("got %v, want %s", err, reason)
		}
		return nil
	})
	s.Eventually("it is not ready", func() error {
		if err := s.Coordinators[0].P.Ready(s.T.Context()); err == nil || !strings.Contains(err.Error(), reason) {
			return fmt.Errorf("got %v, want %s", err, reason)
		}
		return nil
	})
}

// recovers checks that both come back.
func (s sick) recovers() {
	s.T.Helper()
	s.Eventually("it is ready again", func() error { return s.Coordinators[0].P.Ready(s.T.Context()) })
	if err := s.submit("after"); err != nil {
		s.T.Error(err)
	}
}

// TestADatabaseThatTakesNoWritesIsUnavailable: it is read-only by default, as during maintenance or after a failover.
func TestADatabaseThatTakesNoWritesIsUnavailable(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	admin, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	s := sick{c, admin}
	const others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
	s.recovers()
	s.exec("do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$", others)
	s.falls("Postgres takes no writes: it is read-only")
	s.exec("set default_transaction_read_only = off",
		"do $$ begin execute format('alter database %I reset default_transaction_read_only', current_database()); end $$", others)
	s.recovers()
}

// TestAFullDiskIsUnavailable: the tables are on a small disk of their own, which is filled and emptied.
func TestAFullDiskIsUnavailable(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t) // before the server, which stops first
	server := pgtest.Own(t)
	admin, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	var data string
	if err := admin.QueryRow(t.Context(), "show data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(disk, "space")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "--reference", data, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, statement := range []string{"create tablespace small location '" + dir + "'", "create database small tablespace small"} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/small"
	c := cluster.Start(t, cluster.Options{Coordinator: func(cfg *config.Coordinator) { cfg.PostgresURL.Secret = config.Secret(u.String()) }})
	s := sick{c, admin}
	s.recovers()
	filler := filepath.Join(dir, "filler")
	if err := exec.Command("dd", "if=/dev/zero", "of="+filler, "bs=64k").Run(); err == nil {
		t.Fatal("the disk has no end")
	}
	s.falls("Postgres has no disk space left")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.recovers()
}

// smallDisk mounts a disk in memory.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small disk")
	}
	top, err := os.MkdirTemp("", "taskgrove-disk-*") // t.TempDir is closed to Postgres's user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=48m,mode=0777", "taskgrove", top).CombinedOutput(); err != nil {
		t.Skipf("no mounts to be had: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", top).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return top
}

// TestReadinessWritesLittle: however many ask, a write is tried once in a while, and a bad answer does not last.
func TestReadinessWritesLittle(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Workers: 1})
	admin, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	pages := func() (n int) {
		if err := admin.QueryRow(t.Context(), "select pg_relation_size('write_check') / 8192").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	begin, before := time.Now(), pages()
	var probes sync.WaitGroup
	for range 20 {
		probes.Go(func() {
			for range 100 {
				if err := c.Coordinators[0].P.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	probes.Wait()
	if wrote, most := pages()-before, 1+int(time.Since(begin)/(5*time.Second)); wrote > most {
		t.Errorf("2000 probes wrote %d pages, want %d at most", wrote, most)
	}
	var rows int
	if err := admin.QueryRow(t.Context(), "select count(*) from write_check").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows are left (%v)", rows, err)
	}
}
