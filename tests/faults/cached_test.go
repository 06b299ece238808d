package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestKilledAroundCachedTasks kills a coordinator that has found the successes by which tasks end and has not written that, one that has written it and told nobody, and one that has
// settled what others end by and told nobody. Another one looks anew, or goes on from there: each task ends once, by a run or by an earlier success, and what depends on it goes on.
func TestKilledAroundCachedTasks(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	cached := func(id, parent, line string) *dag.Task {
		one := commandTask(id, parent, line)
		one.Control = &dag.Control{Cache: &dag.Cache{For: 300 * 24 * time.Hour}} // clocks are moved
		return one
	}
	ended := func(root string) {
		t.Helper()
		eventually(t, root+" has ended", func() error {
			tree, err := s.front.Tree(t.Context(), root)
			if err == nil && tree.Unfinished > 0 {
				err = fmt.Errorf("%d tasks have not", tree.Unfinished)
			}
			return err
		})
	}
	const same = 5
	for n, point := range []string{"coordinator.after-conditions-evaluated=kill", "coordinator.after-conditions-commit=kill", "coordinator.after-settle-commit=kill"} {
		root, line := fmt.Sprintf("cached%d", n), fmt.Sprintf("echo one of %d", n)
		writes := n == 2 // it is killed as it settles what the others are to end by
		if !writes {
			if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{cached(root+".first", "", line)})); err != nil {
				t.Fatal(err)
			}
			ended(root + ".first")
		}
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		if writes {
			if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each([]*dag.Task{cached(root+".first", "", line)})); err != nil {
				t.Fatal(err)
			}
			s.dies(victim)
			spare = s.start(CoordinatorRole, "")
			ended(root + ".first")
		}
		tasks := []*dag.Task{commandTask(root, "", "echo root")}
		for i := range same {
			one, after := cached(fmt.Sprintf("%s.%d", root, i), root, line), commandTask(fmt.Sprintf("%s.%d.after", root, i), root, "echo after")
			after.Dependencies = []dag.Dependency{{Ref: one.ID}}
			tasks = append(tasks, one, after)
		}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
			t.Fatal(err)
		}
		if !writes {
			s.dies(victim)
			spare = s.start(CoordinatorRole, "")
		}
		ended(root)
		for i := range same {
			id := fmt.Sprintf("%s.%d", root, i)
			task, err := s.front.Task(t.Context(), id)
			if err != nil || task.State != dag.Completed || task.CachedFrom == nil || task.CachedFrom.TaskID != root+".first" || !task.StartedAt.IsZero() || s.runs(id) != 1 {
				t.Errorf("%s, %s: got %+v, %v, %d ends; want that %s.first ended it", point, id, task, err, s.runs(id), root)
			}
			if after, err := s.front.Task(t.Context(), id+".after"); err != nil || after.State != dag.Completed || after.CachedFrom != nil {
				t.Errorf("%s: what depends on %s: %+v, %v", point, id, after, err)
			}
		}
		if first, err := s.front.Task(t.Context(), root+".first"); err != nil || first.CachedFrom != nil || s.runs(root+".first") != 1 {
			t.Errorf("%s: the first: %+v, %v", point, first, err)
		}
	}
	s.check()
}
