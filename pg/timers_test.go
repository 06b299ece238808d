package pg

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestADeadlineEndsItsOwnTree: timers of many trees go off in one transaction, in any order, and each tree's deadline cancels that
// tree.
func TestADeadlineEndsItsOwnTree(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	submit := func(id string, timeout time.Duration) dag.TreeKey {
		t.Helper()
		sub := treeOf(&dag.Task{ID: id, Name: id, Executor: "e"})
		sub.Timeout = timeout
		out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
		if err != nil {
			t.Fatal(err)
		}
		return out.Tree
	}
	other, late := submit("other", 0), submit("late", time.Hour)
	// The deadline went off before the other tree's timer, whose key is lower: it comes first.
	for _, change := range []string{
		"update timer set at = now() - interval '1 hour'",
		"insert into timer (at, task, attempt, kind) select now() - interval '1 minute', key << 24, 99, 1 from tree where root_id = 'other'",
	} {
		if _, err := s.pool.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	if _, n, err := s.DueTimers(t.Context(), 10, nil); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	for tree, want := range map[dag.TreeKey]bool{other: false, late: true} {
		var cancelled bool
		if err := s.pool.QueryRow(t.Context(), "select cancelled_at is not null from tree where key = $1", tree).Scan(&cancelled); err != nil || cancelled != want {
			t.Errorf("tree %d is cancelled: %t (%v), want %t", tree, cancelled, err, want)
		}
	}
}
