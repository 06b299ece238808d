package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// madeUp is a table with a level that tasks called "new" need: all that a new level takes.
var madeUp = append(dag.AllLevels[:1:1], dag.FeatureLevel{Level: 2, Name: "made up", Since: "9.0.0", Needs: func(t *dag.Task) bool { return t.Name == "new" }})

const lasts = time.Minute

// newKind is a small tree that needs level 2.
func newKind(id string) Submission {
	s := treeOf(&dag.Task{ID: id, Name: "new", Executor: "e"})
	s.Levels, s.Version = madeUp, "9.0.0"
	return s
}

// largeKind is a tree that needs level 2 and is not small.
func largeKind(id string) Submission {
	s := newKind(id)
	s.Tasks = func(yield func(*dag.Task, error) bool) {
		if !yield(&dag.Task{ID: id, Name: "root", Executor: "e"}, nil) {
			return
		}
		for i := range smallTasks {
			if !yield(&dag.Task{ID: fmt.Sprint(id, "-", i), Name: "new", Executor: "e", ParentRef: id}, nil) {
				return
			}
		}
	}
	return s
}

func announce(ctx context.Context, s *Store, name string, level dag.Level) error {
	return s.AnnounceCoordinator(ctx, Announcement{Instance: name, Name: name, Version: "1." + fmt.Sprint(level), Level: level}, lasts)
}

// register sends the first beat of a worker, and reports whether its lease was granted.
func register(t *testing.T, s *Store, id string, level dag.Level) bool {
	t.Helper()
	keys, err := s.ExtendLeases(t.Context(), []Beat{{Instance: id, ID: id, Build: "1.0", Level: level, State: WorkerAlive, Number: 1, Pools: map[string]int{"p": 1}}}, lasts)
	if err != nil {
		t.Fatal(err)
	}
	return keys[id] != 0
}

// openBelow opens an empty store whose cluster uses no level but the first.
func openBelow(t *testing.T) (s *Store, admin *pgx.Conn) {
	t.Helper()
	s, admin = openBatches(t)
	_, err := admin.Exec(t.Context(), "update cluster set level_used = 1, level_version = ''")
	must(t, err)
	return s, admin
}

// levelUsed is how many trees there are, and the level that was used.
func levelUsed(t *testing.T, admin *pgx.Conn) (trees int, level dag.Level) {
	t.Helper()
	if err := admin.QueryRow(t.Context(), "select (select count(*) from tree), level_used from cluster").Scan(&trees, &level); err != nil {
		t.Fatal(err)
	}
	return trees, level
}

func TestALevelIsRefusedWhileSomebodyIsBelow(t *testing.T) {
	for _, row := range []struct {
		fact  string
		below func(*testing.T, *Store)
		want  string
	}{
		{"a coordinator", func(t *testing.T, s *Store) {
			if err := announce(t.Context(), s, "slow", 1); err != nil {
				t.Fatal(err)
			}
		}, `coordinator "slow", version "1.1", has level 1`},
		{"a worker", func(t *testing.T, s *Store) { register(t, s, "old", 1) }, `worker "old", version "1.0", has level 1`},
	} {
		for kind, tree := range map[string]func(string) Submission{"small": newKind, "large": largeKind} {
			t.Run(row.fact+", "+kind, func(t *testing.T) {
				s, admin := openBelow(t)
				if err := announce(t.Context(), s, "fast", 2); err != nil {
					t.Fatal(err)
				}
				row.below(t, s)
				_, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, tree("n"))
				if _, ok := errors.AsType[*dag.LevelError](err); !ok || !strings.Contains(err.Error(), row.want) {
					t.Fatalf("got %v, want a refusal that names %s", err, row.want)
				}
				if trees, level := levelUsed(t, admin); trees != 0 || level != 1 {
					t.Errorf("refused: %d trees are stored and level %d was used", trees, level)
				}
				if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, smallTree("plain")); err != nil {
					t.Errorf("a plain tree: %v", err)
				}
				// Its lease ends: it no longer counts.
				for _, table := range []string{"coordinator", "worker"} {
					if _, err := admin.Exec(t.Context(), "update "+table+" set lease_until = now() where level = 1"); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, tree("n")); err != nil {
					t.Fatalf("nobody is below: %v", err)
				}
				if trees, level := levelUsed(t, admin); trees != 2 || level != 2 {
					t.Errorf("%d trees are stored and level %d was used, want 2 and 2", trees, level)
				}
			})
		}
	}
}

// TestAPlainTreeIsNotRefusedWithAnother stores both in one group.
func TestAPlainTreeIsNotRefusedWithAnother(t *testing.T) {
	s, admin := openBelow(t)
	register(t, s, "old", 1)
	answers := together(t, s, smallTree("a"), newKind("n"), smallTree("b"))
	if answers[0].err != nil || answers[1].err == nil || answers[2].err != nil {
		t.Errorf("got %v, %v, %v", answers[0].err, answers[1].err, answers[2].err)
	}
	if trees, level := levelUsed(t, admin); trees != 2 || level != 1 {
		t.Errorf("%d trees are stored and level %d was used, want 2 and 1", trees, level)
	}
}

func TestWhoIsBelowTheLevelUsedMayNotBegin(t *testing.T) {
	s, admin := openBelow(t)
	if err := announce(t.Context(), s, "frozen", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "update coordinator set lease_until = now()"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, newKind("n")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"late", "frozen"} { // one that begins, and one whose lease ended before the level was used
		err := announce(t.Context(), s, name, 1)
		if old, ok := errors.AsType[*dag.OutdatedError](err); !ok || old.Used != 2 || old.Version != "9.0.0" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if register(t, s, "old", 1) {
		t.Error("a worker below the level got a lease")
	}
	if err := announce(t.Context(), s, "fast", 2); err != nil || !register(t, s, "new", 2) {
		t.Errorf("a coordinator and a worker of the level: %v", err)
	}
	if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, newKind("again")); err != nil {
		t.Error(err)
	}
	found, err := s.AuditRest(t.Context(), AuditOptions{})
	if err != nil || len(found) > 0 {
		t.Errorf("the auditor found %v, %v", found, err)
	}
	if _, err := admin.Exec(t.Context(), "update worker set level = 1"); err != nil {
		t.Fatal(err)
	}
	if found, err = s.AuditRest(t.Context(), AuditOptions{}); err != nil || len(found) != 1 || found[0].Kind != "level" {
		t.Errorf("a live worker is below: the auditor found %v, %v", found, err)
	}
}

// TestALevelIsUsedOrAProcessBeginsBelowIt holds each side in the middle of its transaction: the other waits, and loses.
func TestALevelIsUsedOrAProcessBeginsBelowIt(t *testing.T) {
	begin := map[string]func(context.Context, *Store) error{
		"a coordinator": func(ctx context.Context, s *Store) error { return announce(ctx, s, "low", 1) },
		"a worker": func(ctx context.Context, s *Store) error {
			keys, err := s.ExtendLeases(ctx, []Beat{{Instance: "low", ID: "low", Level: 1, State: WorkerAlive, Number: 1}}, lasts)
			if err == nil && keys["low"] == 0 {
				err = s.OutdatedWorker(ctx, 1)
			}
			return err
		},
	}
	for who, begin := range begin {
		t.Run(who+" begins while a level is being used", func(t *testing.T) {
			s, admin := openBelow(t)
			b := &pgx.Batch{}
			b.Queue("begin")
			queueLevel(b, 2, "9.0.0") // and its tree is being stored
			must(t, admin.SendBatch(t.Context(), b).Close())
			begun := make(chan error, 1)
			go func() { begun <- begin(t.Context(), s) }()
			untilItWaits(t, s, begun)
			_, err := admin.Exec(t.Context(), "commit")
			must(t, err)
			if _, ok := errors.AsType[*dag.OutdatedError](<-begun); !ok {
				t.Errorf("got %v, want a refusal", err)
			}
		})
		t.Run("a level is used while "+who+" begins", func(t *testing.T) {
			s, admin := openBelow(t)
			_, err := admin.Exec(t.Context(), "begin; select level_used from cluster for share")
			must(t, err)
			stored := make(chan error, 1)
			go func() {
				_, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, newKind("n"))
				stored <- err
			}()
			untilItWaits(t, s, stored)
			must(t, begin(t.Context(), s))
			_, err = admin.Exec(t.Context(), "commit")
			must(t, err)
			if err := <-stored; !isLevelError(err) {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}

func isLevelError(err error) bool {
	_, ok := errors.AsType[*dag.LevelError](err)
	return ok
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// untilItWaits waits until a statement waits for a lock, and fails when the operation ends meanwhile.
func untilItWaits(t *testing.T, s *Store, ends chan error) {
	t.Helper()
	for range 1000 {
		select {
		case err := <-ends:
			t.Fatalf("it did not wait: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		n := 0
		must(t, s.pool.QueryRow(t.Context(), "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").Scan(&n))
		if n > 0 {
			return
		}
	}
	t.Fatal("nobody waits for a lock")
}

// TestLevelsUnderARush begins low coordinators and workers beside first uses of a level, many times: never does one of
// them live beside the level.
func TestLevelsUnderARush(t *testing.T) {
	s, admin := openBelow(t)
	used := 0
	for round := range 60 {
		_, err := admin.Exec(t.Context(), "update cluster set level_used = 1, worker_level = 1; delete from coordinator; delete from worker")
		must(t, err)
		var rush sync.WaitGroup
		low := fmt.Sprint("low", round)
		later := time.Duration(round%6) * time.Millisecond // who comes first, differs
		rush.Go(func() { time.Sleep(later); _ = announce(t.Context(), s, low, 1) })
		rush.Go(func() { time.Sleep(later); register(t, s, low, 1) })
		for n := range 2 { // twice: the same, as a client does that has no answer
			rush.Go(func() {
				if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, keyed(low, newKind(low))); err != nil && !isLevelError(err) {
					t.Errorf("submission %d: %v", n, err)
				}
			})
		}
		rush.Wait()
		_, level := levelUsed(t, admin)
		alive, trees := 0, 0
		must(t, admin.QueryRow(t.Context(), "select (select count(*) from coordinator) + (select count(*) from worker), (select count(*) from tree where root_id = $1)", low).Scan(&alive, &trees))
		switch {
		case level == 2 && (alive > 0 || trees != 1):
			t.Fatalf("round %d: level 2 was used, %d below it are alive, %d trees are stored", round, alive, trees)
		case level == 1 && (alive != 2 || trees != 0):
			t.Fatalf("round %d: level 2 was not used, %d are alive, %d trees are stored", round, alive, trees)
		}
		used += int(level) - 1
	}
	t.Logf("the level came first in %d of 60 rounds", used)
}

func TestLiveCoordinatorsAreListed(t *testing.T) {
	s, admin := openBelow(t)
	for _, name := range []string{"first", "dead", "left", "second"} {
		must(t, announce(t.Context(), s, name, 2))
	}
	must(t, s.LeaveCoordinator(t.Context(), "left"))
	_, err := admin.Exec(t.Context(), "update coordinator set lease_until = now() where name = 'dead'")
	must(t, err)
	list, err := s.LiveCoordinators(t.Context())
	must(t, err)
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
		if c.Instance != c.Name || c.Version != "1.2" || c.Level != 2 || c.StartedAt.IsZero() || time.Until(c.LeaseUntil) <= 0 {
			t.Errorf("got %+v", c)
		}
	}
	if got := fmt.Sprint(names); got != "[first second]" {
		t.Errorf("got %s, want the live ones, oldest first", got)
	}
}
