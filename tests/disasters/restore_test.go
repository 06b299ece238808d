package disasters

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg/pgserver"
	"github.com/taskgrove/taskgrove/tests/cluster"
	"github.com/taskgrove/taskgrove/tests/faults"
)

// slept submits a tree of tasks that sleep, and waits until all run.
func slept(t *testing.T, c *cluster.Cluster, id string, n int, seconds float64) {
	t.Helper()
	inputs, _ := json.Marshal(map[string]any{"seconds": seconds})
	tree := []*dag.Task{{ID: id, Name: id, Executor: "noop_executor"}}
	for i := range n {
		part := fmt.Sprintf("%s-%d", id, i)
		tree = append(tree, &dag.Task{ID: part, Name: part, ParentRef: id, Executor: "sleep_executor", Inputs: inputs})
		tree[0].Dependencies = append(tree[0].Dependencies, dag.Dependency{Ref: part})
	}
	c.Submit(coordinator.SubmitOptions{}, tree...)
	eventually(t, id+" runs", func() error {
		st, err := c.Service().Tree(t.Context(), id)
		if err == nil && st.Running < n {
			err = fmt.Errorf("%+v", *st)
		}
		return err
	})
}

// restored is a cluster at an address that is led to another server.
func restored(t *testing.T, primary *pgserver.Server) (*cluster.Cluster, *faults.Proxy) {
	t.Helper()
	address, err := faults.NewProxy(hostOf(primary.URL()), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(address.Close)
	c := cluster.Start(t, cluster.Options{Postgres: address.URL(primary.URL()), Coordinators: 2, Workers: 2, Concurrency: 8, Pools: []string{"noop_executor", "sleep_executor"},
		Coordinator: func(s *config.Coordinator) { s.Lease, s.Republish = 6*time.Second, 2*time.Second }, Worker: func(s *config.Worker) { s.Beat = time.Second }})
	return c, address
}

// TestRestoreToAnEarlierMoment: the primary is lost, and its backup is recovered to a moment before the last commits. Coordinators, workers and NATS never
// stopped, and know of attempts that the database does not. They are told to stop those; what the database has ends once.
func TestRestoreToAnEarlierMoment(t *testing.T) {
	if !full() {
		t.Skip("make disasters")
	}
	dir := filepath.Join(t.TempDir(), "primary")
	archive := filepath.Join(dir, "archive")
	primary := serverAt(t, dir, "archive_mode", "on", "archive_command", "mkdir -p "+archive+" && cp %p "+archive+"/%f")
	c, address := restored(t, primary)
	l := startLoad(t, c, 2)
	l.after(time.Now(), 20)
	cfg := pgserver.Config{DataDir: filepath.Join(t.TempDir(), "restored")}
	if err := primary.CopyTo(t.Context(), cfg, "", ""); err != nil { // the backup
		t.Fatal(err)
	}
	l.after(time.Now(), 20)
	slept(t, c, "kept", 3, 5)
	l.end()
	moment, err := ask(t, primary.URL(), "select clock_timestamp()")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	kept := l.trees()
	slept(t, c, "lost", 3, 3600)
	after := startLoad(t, c, 2)
	after.after(time.Now(), 20)
	segment, err := ask(t, primary.URL(), "select pg_walfile_name(pg_current_wal_lsn())")
	if err != nil {
		t.Fatal(err)
	}
	execute(t, primary.URL(), "select pg_switch_wal()")
	eventually(t, "the log is archived", func() error {
		return expect(t, primary.URL(), "select last_archived_wal >= '"+segment+"' from pg_stat_archiver", "true")
	})
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	cfg.Settings = settings("restore_command", "cp "+archive+"/%f %p", "recovery_target_time", moment, "recovery_target_action", "promote")
	if err := primary.Recover(cfg); err != nil {
		t.Fatal(err)
	}
	var more []string
	for name, value := range cfg.Settings {
		more = append(more, name, value)
	}
	again := serverAt(t, cfg.DataDir, more...)
	eventually(t, "it has recovered", func() error { return expect(t, again.URL(), "select pg_is_in_recovery()", "false") })
	address.Lead(hostOf(again.URL()))
	first := after.after(time.Now(), 1)
	after.after(time.Now(), 20)
	after.end()
	t.Logf("recovered to %s: the next tree was accepted %s after the loss", moment, first.Sub(began).Round(time.Millisecond))

	if lost := l.settled(c.Service()); len(lost) > 0 || len(kept) == 0 {
		t.Errorf("of %d trees from before that moment, these are gone: %v", len(kept), lost)
	}
	eventually(t, "kept has ended", func() error {
		tree, err := c.Service().Tree(t.Context(), "kept")
		if err == nil && tree.Completed != 4 {
			err = fmt.Errorf("%+v", *tree)
		}
		return err
	})
	if _, err := c.Service().Tree(t.Context(), "lost"); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("the tree from after that moment: got %v", err)
	}
	if gone := after.settled(c.Service()); len(gone) == 0 {
		t.Error("nothing was lost: then nothing was shown")
	} else {
		t.Logf("%d trees of the last moments were lost with %d attempts that were running", len(gone), 3)
	}
	sound(t, c, again.URL()) // no worker lists an attempt: those of lost were told to stop
}

// TestRestoreOfADump: all is lost but a dump, which is loaded into another server.
func TestRestoreOfADump(t *testing.T) {
	if !full() {
		t.Skip("make disasters")
	}
	primary := serverAt(t, filepath.Join(t.TempDir(), "primary"))
	c, address := restored(t, primary)
	l := startLoad(t, c, 2)
	l.after(time.Now(), 50)
	slept(t, c, "kept", 3, 2)
	l.end()
	dump := filepath.Join(primary.Dir(), "dump")
	if _, err := primary.Tool(t.Context(), "pg_dump", "-d", primary.URL(), "-Fc", "-f", dump); err != nil {
		t.Fatal(err)
	}
	slept(t, c, "lost", 3, 3600)
	other := serverAt(t, filepath.Join(t.TempDir(), "other"))
	if _, err := primary.Tool(t.Context(), "pg_restore", "-d", other.URL(), "--exit-on-error", dump); err != nil {
		t.Fatal(err)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	// the new server has the password of its own, which the address must not change: users keep theirs
	if u, err := url.Parse(primary.URL()); err == nil {
		password, _ := u.User.Password()
		execute(t, other.URL(), "alter role postgres password '"+strings.ReplaceAll(password, "'", "''")+"'")
		u.Host = hostOf(other.URL())
		address.Lead(u.Host)
		eventually(t, "both are ready", func() error {
			return errors.Join(c.Coordinators[0].P.Ready(t.Context()), c.Coordinators[1].P.Ready(t.Context()))
		})
		if lost := l.settled(c.Service()); len(lost) > 0 {
			t.Errorf("of the trees in the dump, these are gone: %v", lost)
		}
		eventually(t, "kept has ended", func() error {
			tree, err := c.Service().Tree(t.Context(), "kept")
			if err == nil && tree.Completed != 4 {
				err = fmt.Errorf("%+v", *tree)
			}
			return err
		})
		sound(t, c, u.String())
	}
}
