package pg

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// keptTree stores a tree of n tasks with a retention and ends it, so long ago.
func keptTree(t *testing.T, s *Store, name string, n int, retention, ago time.Duration) *Submitted {
	t.Helper()
	sub := copiedChain(name, n)
	tasks := sub.Tasks
	sub.Tasks = func(yield func(*dag.Task, error) bool) {
		for task, err := range tasks {
			if task.ParentRef == "" {
				task.Retention = retention
			}
			if !yield(task, err) {
				return
			}
		}
	}
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	endTree(t, s, out.Tree, ago)
	return out
}

// endTree cancels a tree, and has it ended so long ago.
func endTree(t *testing.T, s *Store, tree dag.TreeKey, ago time.Duration) {
	t.Helper()
	if _, err := s.CancelTree(t.Context(), tree, "stop"); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		var err error
		if _, more, err = s.Followups(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.pool.Exec(t.Context(), "update tree set finished_at = now() - $2 * interval '1 second' where key = $1", tree, ago.Seconds()); err != nil {
		t.Fatal(err)
	}
}

// lookNow has the trees with a retention of their own looked at.
func lookNow(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), "update keeping set look_at = now() where look_at is not null"); err != nil {
		t.Fatal(err)
	}
}

// expire deletes what is to be deleted by an operator's retention, 0: for ever.
func expire(t *testing.T, s *Store, age time.Duration) {
	t.Helper()
	if age > 0 {
		if _, err := s.Expire(t.Context(), age, 100); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.ExpireKept(t.Context(), age, 100); err != nil {
		t.Fatal(err)
	}
}

// isThere reports whether a tree is stored.
func isThere(t *testing.T, s *Store, tree dag.TreeKey) bool {
	t.Helper()
	_, err := s.Tree(t.Context(), tree)
	if err != nil && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// TestTreesAreKeptAsTheySay: by their own retention, shorter or longer than the operator's, for ever, and by the operator's if they say nothing.
func TestTreesAreKeptAsTheySay(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	const hour = time.Hour
	trees := map[string]*Submitted{
		"says nothing, old": keptTree(t, s, "a", 1, 0, 3*hour), "says nothing, young": keptTree(t, s, "b", 1, 0, hour),
		"shorter, over": keptTree(t, s, "c", 1, 30*time.Minute, hour), "shorter, not over": keptTree(t, s, "d", 1, 90*time.Minute, hour),
		"longer, over": keptTree(t, s, "e", 1, 10*hour, 11*hour), "longer, not over": keptTree(t, s, "f", 1, 10*hour, 3*hour),
		"for ever": keptTree(t, s, "g", 1, dag.KeepForever, 1000*hour),
	}
	for _, look := range []time.Duration{0, 2 * hour} {
		lookNow(t, s)
		expire(t, s, look)
		for what, tree := range trees {
			gone := map[string]bool{"says nothing, old": look > 0, "shorter, over": true, "longer, over": true}[what]
			if isThere(t, s, tree.Tree) == gone {
				t.Errorf("operator's retention %v: %s: gone %t, want %t", look, what, !gone, gone)
			}
		}
	}
	for what, want := range map[string]time.Duration{"says nothing, young": 0, "shorter, not over": 90 * time.Minute, "for ever": dag.KeepForever} {
		if k, err := s.KeepingOf(t.Context(), trees[what].Tree); err != nil || k.Retention != want || k.Hold != nil {
			t.Errorf("%s: got %+v, %v", what, k, err)
		}
	}
	// One that is not over is looked at again when it is, and one that ended a moment ago as well.
	var early int
	if err := s.pool.QueryRow(t.Context(), "select count(*) from keeping where look_at < now() + interval '20 seconds'").Scan(&early); err != nil || early != 0 {
		t.Errorf("%d trees are looked at again at once, %v", early, err)
	}
	// One that runs again is kept from its next end on.
	if _, err := s.pool.Exec(t.Context(), "update tree set finished_at = null, unfinished = 1 where key = $1", trees["shorter, not over"].Tree); err != nil {
		t.Fatal(err)
	}
	lookNow(t, s)
	expire(t, s, 2*hour)
	if !isThere(t, s, trees["shorter, not over"].Tree) {
		t.Error("a tree that runs was deleted")
	}
}

// TestHeldTreesStay: neither retention nor a deletion, an update or the end of a namespace removes anything of a tree that is held; once it is released, all of them do again.
func TestHeldTreesStay(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	plain, own, ever := keptTree(t, s, "a", 2, 0, 3*time.Hour), keptTree(t, s, "b", 2, time.Hour, 3*time.Hour), keptTree(t, s, "c", 2, dag.KeepForever, 3*time.Hour)
	all := []*Submitted{plain, own, ever}
	for _, tree := range all {
		h, err := s.Hold(ctx, dag.DefaultNamespaceKey, tree.Tree, "ann", "case 7")
		if err != nil || h.By != "ann" || h.Reason != "case 7" || h.RootID != tree.RootID || time.Since(h.At).Abs() > time.Hour {
			t.Fatalf("got %+v, %v", h, err)
		}
		again, err := s.Hold(ctx, dag.DefaultNamespaceKey, tree.Tree, "bob", "case 8")
		if err != nil || again.By != "ann" || again.Reason != "case 7" || !again.At.Equal(h.At) {
			t.Errorf("held again: got %+v, %v", again, err)
		}
	}
	for range 2 {
		if _, err := s.pool.Exec(ctx, "update keeping set look_at = look_at"); err != nil {
			t.Fatal(err)
		}
		expire(t, s, time.Minute)
	}
	for _, tree := range all {
		if !isThere(t, s, tree.Tree) || countRowsOf(t, s, "task", tree.Tree) != 3 {
			t.Error("a held tree has expired")
		}
		for what, k := range map[string]dag.Key{"whole": tree.Tree.Key(0), "a task of it": tree.Tree.Key(1)} {
			if _, _, err := s.Delete(ctx, k, DeleteOptions{Force: true}); !errors.Is(err, ErrHeld) {
				t.Errorf("%s deleted: got %v", what, err)
			}
			name := "other"
			if _, err := s.Update(ctx, k, Update{Change: dag.Change{Name: &name}}); !errors.Is(err, ErrHeld) {
				t.Errorf("%s updated: got %v", what, err)
			}
		}
		if err := s.DeleteEnded(ctx, tree.Tree); err != nil || !isThere(t, s, tree.Tree) {
			t.Errorf("deleted as one of a namespace that goes, or: %v", err)
		}
	}
	if list, err := s.Holds(ctx, dag.DefaultNamespaceKey, "", plain.Tree, 10); err != nil || len(list) != 2 || list[0].Tree != own.Tree {
		t.Errorf("listed: got %+v, %v", list, err)
	}
	if held, longer, err := s.HeldLonger(ctx, time.Minute); err != nil || held != 3 || longer != 2 {
		t.Errorf("got %d held, %d longer than they would be kept, %v", held, longer, err)
	}
	for _, tree := range all {
		if err := s.Release(ctx, tree.Tree); err != nil {
			t.Error(err)
		}
		if err := s.Release(ctx, tree.Tree); !errors.Is(err, ErrNotFound) {
			t.Errorf("released again: got %v", err)
		}
	}
	expire(t, s, time.Minute)
	if isThere(t, s, plain.Tree) || isThere(t, s, own.Tree) || !isThere(t, s, ever.Tree) {
		t.Error("a released tree is not kept as it was before")
	}
	if n := countRows(t, s, "keeping"); n != 1 {
		t.Errorf("%d rows are left, want that of the tree that is kept for ever", n)
	}
	if _, err := s.Hold(ctx, dag.DefaultNamespaceKey, plain.Tree, "", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("held what is gone: got %v", err)
	}
	if _, _, err := s.Delete(ctx, ever.Tree.Key(0), DeleteOptions{Force: true}); err != nil || countRows(t, s, "keeping") != 0 {
		t.Errorf("deleted: %v, %d rows are left", err, countRows(t, s, "keeping"))
	}
}

func countRowsOf(t *testing.T, s *Store, table string, tree dag.TreeKey) (n int) {
	t.Helper()
	first, end := tree.Range()
	if err := s.pool.QueryRow(t.Context(), "select count(*) from "+table+" where key >= $1 and key < $2", first, end).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHeldTreesKeepTheirNamespace: one with a held tree is not deleted, force or not.
func TestHeldTreesKeepTheirNamespace(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	made, err := s.CreateNamespace(t.Context(), "law", "", Quotas{})
	if err != nil {
		t.Fatal(err)
	}
	n := made.Key
	out, err := s.Submit(t.Context(), n, copiedChain("a", 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(t.Context(), n, out.Tree, "ann", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseNamespace(t.Context(), n, true); !errors.Is(err, ErrHeld) {
		t.Errorf("got %v", err)
	}
	if err := s.Release(t.Context(), out.Tree); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseNamespace(t.Context(), n, true); err != nil {
		t.Error(err)
	}
	if _, err := s.Hold(t.Context(), n, out.Tree, "ann", ""); err == nil {
		t.Error("a tree of a namespace that is being deleted was held")
	}
}

// TestADeletionThatBeganIsFinished: one that takes several transactions and stops after the first goes on, whatever the tree's retention; what is being deleted can't be held.
func TestADeletionThatBeganIsFinished(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	for name, retention := range map[string]time.Duration{"plain": 0, "own": time.Minute} {
		out := keptTree(t, s, name, expireStep+100, retention, time.Hour)
		if err := s.transaction(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
			_, more, err := deleteStep(ctx, c, out.Tree, out.Tree.Key(0), out.Tree.Key(expireStep+1000), time.Minute, nil)
			if err == nil && !more {
				t.Error("one transaction deleted all of it")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Hold(t.Context(), dag.DefaultNamespaceKey, out.Tree, "ann", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: held: got %v", name, err)
		}
		auditSays(t, s)
		expire(t, s, 0)
		if isThere(t, s, out.Tree) || countRows(t, s, "task") != 0 || countRows(t, s, "keeping") != 0 {
			t.Errorf("%s: something is left", name)
		}
	}
}

// TestOlderCoordinatorsForbidKeeping: while one lives, no tree is held, and none has a retention of its own.
func TestOlderCoordinatorsForbidKeeping(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	s.SetLevels(dag.AllLevels, "test")
	if err := s.AnnounceCoordinator(t.Context(), Announcement{Instance: "old", Name: "old", Version: "0.11.0", Level: dag.LimitsLevel}, time.Hour); err != nil {
		t.Fatal(err)
	}
	plain := keptTree(t, s, "a", 1, 0, 0)
	if _, err := s.Hold(t.Context(), dag.DefaultNamespaceKey, plain.Tree, "ann", ""); !refusedForLevel(err) {
		t.Errorf("held: got %v", err)
	}
	for name, n := range map[string]int{"small": 1, "large": 3000} {
		sub := copiedChain(name, n)
		first := sub.Tasks
		sub.Levels = dag.AllLevels
		sub.Tasks = func(yield func(*dag.Task, error) bool) {
			for task, err := range first {
				if task.ParentRef == "" {
					task.Retention = time.Hour
				}
				if !yield(task, err) {
					return
				}
			}
		}
		if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub); !refusedForLevel(err) {
			t.Errorf("%s: submitted: got %v", name, err)
		}
	}
	if n := countRows(t, s, "keeping"); n != 0 || countRows(t, s, "tree") != 1 {
		t.Errorf("%d rows are stored", n)
	}
}

func refusedForLevel(err error) bool {
	_, ok := errors.AsType[*dag.LevelError](err)
	return ok
}
