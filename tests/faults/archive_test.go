package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/archive"
)

// archiving are the steps of the archive between which a coordinator may die.
var archiving = []string{"coordinator.after-archive-claim", "coordinator.after-archive-written", "coordinator.after-archive-commit", "coordinator.after-archive-deletion"}

// archivedTrees are the archived trees by their roots, with the numbers of their tasks. All objects are whole.
func archivedTrees(t *testing.T, dir string) map[string]int {
	t.Helper()
	store, out := archive.OpenFolder(dir), map[string]int{}
	if err := store.ListObjects(t.Context(), "", func(o archive.Object) bool {
		name, ok := archive.ParseKey(o.Key)
		if _, twice := out[name.Tree]; !ok || twice {
			t.Errorf("%s is in the archive", o.Key)
		}
		r, err := store.OpenObject(t.Context(), o.Key)
		if err != nil {
			t.Error(err)
			return true
		}
		defer func() { _ = r.Close() }()
		out[name.Tree] = 0
		if err := archive.Read(r, func(_ json.RawMessage, l *archive.Line) error {
			if l.Task != nil {
				out[name.Tree]++
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", o.Key, err)
		}
		return true
	}); err != nil {
		t.Error(err)
	}
	return out
}

// old has trees ended an hour ago, and looked at now, also by others than who has claimed them.
func (s *site) old(roots ...string) {
	s.t.Helper()
	if err := s.db(func(c *pgx.Conn) error {
		if _, err := c.Exec(s.t.Context(), "update tree set finished_at = now() - interval '1 hour' where root_id = any($1)", roots); err != nil {
			return err
		}
		_, err := c.Exec(s.t.Context(), "update keeping set look_at = now() where look_at is not null")
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
}

// TestKilledWhileArchiving kills the coordinator that archives a tree between any two steps. At no time is a tree neither stored nor archived, each is archived once and whole, and
// another coordinator goes on.
func TestKilledWhileArchiving(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	ctx := t.Context()
	s.base.Archive = t.TempDir()
	for n, point := range archiving {
		helper := s.start(CoordinatorRole, "")
		if n == 0 {
			s.start(WorkerRole, "")
		}
		var roots []string
		for i := range 3 {
			root := fmt.Sprintf("tree%d-%d", n, i)
			roots = append(roots, root)
			if _, err := s.front.Submit(ctx, coordinator.SubmitOptions{UserID: "amy"}, each(chain(root))); err != nil {
				t.Fatal(err)
			}
			s.ends(root)
		}
		if err := helper.Stop(); err != nil {
			t.Error(err)
		}
		victim := s.start(CoordinatorRole, point+"=kill@2")
		s.old(roots...)
		s.dies(victim)
		lost := func() {
			t.Helper()
			all := archivedTrees(t, s.base.Archive)
			for _, root := range roots {
				_, err := s.front.Task(ctx, root)
				tasks, archived := all[root]
				if archived && tasks != chainTasks || !archived && err != nil {
					t.Errorf("%s: %s: archived %t with %d tasks; stored: %v", point, root, archived, tasks, err)
				}
			}
		}
		lost()
		s.old(roots...) // as if ten minutes had passed
		helper = s.start(CoordinatorRole, "")
		for _, root := range roots {
			eventually(t, root+" is gone", func() error {
				if _, err := s.front.Task(ctx, root); !errors.Is(err, coordinator.ErrNotFound) {
					return fmt.Errorf("it is there: %v", err)
				}
				return nil
			})
		}
		lost()
		if err := helper.Stop(); err != nil {
			t.Error(err)
		}
	}
	if n := len(archivedTrees(t, s.base.Archive)); n != 3*len(archiving) {
		t.Errorf("%d trees are archived", n)
	}
	// An erasure that is killed while it erases them counts each once.
	for n, point := range []string{"coordinator.after-archived-counted", "coordinator.after-archived-erased"} {
		if n == 1 { // the first has erased all
			helper := s.start(CoordinatorRole, "")
			for _, root := range []string{"more1", "more2"} {
				if _, err := s.front.Submit(ctx, coordinator.SubmitOptions{UserID: "amy"}, each(chain(root))); err != nil {
					t.Fatal(err)
				}
				s.ends(root)
			}
			s.old("more1", "more2")
			eventually(t, "they are archived", func() error {
				if n := len(archivedTrees(t, s.base.Archive)); n != 2 {
					return fmt.Errorf("%d are", n)
				}
				return nil
			})
			eventually(t, "they are gone", func() error {
				if n := s.count("select count(*) from tree where user_id = 'amy'"); n != 0 {
					return fmt.Errorf("%d are there", n)
				}
				return nil
			})
			if err := helper.Stop(); err != nil {
				t.Error(err)
			}
		}
		victim := s.start(CoordinatorRole, point+"=kill")
		e, err := s.front.Erase(ctx, coordinator.EraseSpec{UserID: "amy"})
		if err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		helper := s.start(CoordinatorRole, "")
		eventually(t, "it is done", func() error {
			if e, err = s.front.Erasure(ctx, e.ID); err == nil && e.FinishedAt.IsZero() {
				err = errors.New(e.Step)
			}
			return err
		})
		if want := []int64{int64(3 * len(archiving)), 2}[n]; e.Counts["archived_trees"] != want {
			t.Errorf("%s: %d archived trees are counted, want %d", point, e.Counts["archived_trees"], want)
		}
		if left := archivedTrees(t, s.base.Archive); len(left) != 0 {
			t.Errorf("%s: %v are left", point, left)
		}
		if err := helper.Stop(); err != nil {
			t.Error(err)
		}
	}
}
