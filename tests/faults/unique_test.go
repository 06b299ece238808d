package faults

import (
	"errors"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestKilledWhileSubmittingAUniqueTree kills a coordinator that has its tree's key and has not committed, and one that has committed and not answered. In
// the first case nobody has the key. In the second the tree has it: who asks again hears of it, with the idempotency key or without, and it runs.
func TestKilledWhileSubmittingAUniqueTree(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	submit := func(settings Settings, idempotent bool) (*coordinator.Submitted, error) {
		if idempotent {
			return settings.submit(t.Context(), s.front)
		}
		return s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(settings.tasks()))
	}
	for n, point := range []string{"coordinator.before-unique-commit=kill", "coordinator.after-submit-commit=kill"} {
		settings := s.settings(SubmitRole)
		settings.Seed, settings.Unique = seed%1000+uint64(10*n), &dag.Unique{Key: point, For: 300 * 24 * time.Hour}
		root := ""
		for _, task := range settings.tasks() {
			if task.ParentRef == "" {
				root = task.ID
			}
		}
		victim, err := StartProcess(settings, point)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(victim.Kill)
		s.dies(victim)
		committed := n == 1
		other := settings
		other.Seed++
		if !committed {
			if _, err := s.front.Task(t.Context(), root); !errors.Is(err, coordinator.ErrNotFound) {
				t.Errorf("%s: the tree: %v, want that it is not there", point, err)
			}
			if out, err := submit(settings, true); err != nil || out.Replayed || out.TreeID != root {
				t.Fatalf("%s: submitted again: got %+v, %v", point, out, err)
			}
		}
		if out, err := submit(settings, true); err != nil || !out.Replayed || out.TreeID != root {
			t.Errorf("%s: told again: got %+v, %v, want the first answer", point, out, err)
		}
		for _, again := range []Settings{settings, other} {
			_, err := submit(again, false)
			if taken, is := errors.AsType[*coordinator.UniqueError](err); !is || taken.TreeID != root {
				t.Errorf("%s: a tree with the same key: %v, want that %s has it", point, err, root)
			}
		}
		s.trees = append(s.trees, settings.tree())
	}
	s.settle()
}
