package faults

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// notes submits a tree of noting tasks.
func (s *site) notes(root string, tasks, steps, fail, pause int) (ids []string) {
	s.t.Helper()
	all := []*dag.Task{{ID: root, Name: root}}
	for i := range tasks {
		id := fmt.Sprintf("%s-%d", root, i)
		ids = append(ids, id)
		all = append(all, &dag.Task{ID: id, Name: id, ParentRef: root, Executor: NotingID, Pool: Pools[i%len(Pools)],
			Inputs: fmt.Appendf(nil, `{"steps":%d,"fail":%d,"pause":%d}`, steps, fail, pause), Retry: dag.RetryPolicy{MaxAttempts: 10, InitialDelay: 1e6, MaxDelay: 2e7}})
	}
	if _, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{IdempotencyKey: root}, each(all)); err != nil {
		s.t.Fatal(err)
	}
	return ids
}

// noted waits until the tree of noting tasks has completed, and checks what they did.
func (s *site) noted(root string, ids []string, steps int) (again int) {
	s.t.Helper()
	eventually(s.t, root+" ends", func() error { return settled(s.t.Context(), s.front, root) })
	status, err := s.front.Tree(s.t.Context(), root)
	if err != nil {
		s.t.Fatal(err)
	}
	if status.Failed+status.Cancelled > 0 {
		s.t.Errorf("%s: %+v", root, status)
	}
	for _, id := range ids {
		n, err := (&Noting{Dir: s.base.Dir}).CheckNotes(id, steps)
		if err != nil {
			s.t.Errorf("%s: %v", id, err)
		}
		again += n
	}
	return again
}

// TestKilledBetweenNotes kills workers and coordinators around each step of a note: between its making, its sending, its storing and its
// answer. No attempt begins before the last note that its predecessor knew to be stored.
func TestKilledBetweenNotes(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	const tasks, steps = 6, 8
	for n, point := range []string{"worker.noted=kill@5", "worker.note-stored=kill@7", "worker.mid-task=kill@4"} {
		victim := s.start(WorkerRole, point)
		root := fmt.Sprintf("w%d", n)
		ids := s.notes(root, tasks, steps, 0, 0)
		s.dies(victim)
		heir := s.start(WorkerRole, "")
		again := s.noted(root, ids, steps)
		t.Logf("%s: %d steps were done again", point, again)
		if err := heir.Stop(); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		s.start(WorkerRole, "")
	}
	for n, point := range []string{"coordinator.before-note=kill@3", "coordinator.after-note=kill@3", "coordinator.before-settle-commit=kill", "coordinator.after-settle-commit=kill"} {
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Errorf("%s: %v", spare.Settings.Name, err)
		}
		root := fmt.Sprintf("c%d", n)
		ids := s.notes(root, tasks, steps, 2, 0)
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		again := s.noted(root, ids, steps)
		t.Logf("%s: %d steps were done again", point, again)
	}
	s.check()
	eventually(t, "no note is left of what succeeded", func() error {
		if n := s.count("select count(*) from checkpoint"); n > 0 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
}

// TestAFrozenWorkersNotesAreDropped freezes a worker beyond its lease: what it notes when it goes on changes nothing, as another one has its
// attempts.
func TestAFrozenWorkersNotesAreDropped(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	frozen := s.start(WorkerRole, "")
	const steps = 100
	ids := s.notes("f", 4, steps, 0, 50)
	eventually(t, "some notes are stored", func() error {
		if n := s.count("select count(*) from checkpoint where number > 3"); n < 4 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	s.start(WorkerRole, "")
	eventually(t, "another worker has them", func() error {
		if n := s.count("select count(*) from checkpoint where attempt > 1"); n < 4 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	if err := frozen.Thaw(); err != nil {
		t.Fatal(err)
	}
	s.noted("f", ids, steps)
}
