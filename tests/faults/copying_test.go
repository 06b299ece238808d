package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

// TestKilledWhileCopying kills a coordinator before and after the commit of a copy that it is to start: nothing of it is there, or all, held. Who
// asks again with the idempotency key gets one copy, which runs.
func TestKilledWhileCopying(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	s.load(seedOf(t), 1, 60)
	s.settle()
	tree := s.trees[0]
	root, last := tree.Tasks[0].ID, tree.Tasks[len(tree.Tasks)-1].ID
	copies := func() int {
		t.Helper()
		page, err := s.front.Tasks(t.Context(), coordinator.TaskFilter{OriginalID: root})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Items)
	}
	for n, point := range []string{"coordinator.before-copy-commit=kill", "coordinator.after-copy-commit=kill"} {
		settings := s.settings(SubmitRole)
		settings.Copy = last
		victim, err := StartProcess(settings, point)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(victim.Kill)
		s.dies(victim)
		committed := n == 1
		if got, want := copies(), 2*n; got != want { // the other one is of the round before
			t.Errorf("%s: %d copies are there, want %d", point, got, want)
		}
		if shown, err := s.front.Task(t.Context(), root); err != nil || shown.HasCopy != committed {
			t.Errorf("%s: the root was copied: %t, %v, want %t", point, shown.HasCopy, err, committed)
		}
		out, err := settings.copy(t.Context(), s.front)
		if err != nil || out.Replayed != committed || out.Execution == nil || out.Execution.Outcome != coordinator.Started {
			t.Fatalf("%s: copied again: got %+v, %v", point, out, err)
		}
		if got, want := copies(), n+1; got != want {
			t.Errorf("%s: %d copies are there, want %d", point, got, want)
		}
		eventually(t, "the copy has run", func() error {
			st, err := s.front.Tree(t.Context(), out.TreeID)
			if err == nil && (st.Unfinished > 0 || st.Held > 0) {
				err = fmt.Errorf("%d tasks are unfinished, %d held", st.Unfinished, st.Held)
			}
			return err
		})
	}
	eventually(t, "nothing is left over", func() error {
		return errors.Join(CheckStore(t.Context(), s.front), CheckSettled(t.Context(), s.base.Postgres))
	})
}

// TestCopiesOfRunningTrees copies tasks of trees that run, are cancelled and deleted meanwhile: each copy is of one moment, which the auditor sees
// nothing wrong with, and the originals end as the oracle says.
func TestCopiesOfRunningTrees(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	s := newSharedSite(t)
	for range 2 {
		s.start(CoordinatorRole, "")
		s.start(WorkerRole, "")
	}
	s.load(seed, 3, 80)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for n := range 60 {
		tree := s.trees[rnd.IntN(len(s.trees))]
		opts := coordinator.CopyOptions{Mode: []coordinator.CopyMode{coordinator.CopyMinimal, coordinator.CopyFull}[n%2]}
		out, err := s.front.Copy(t.Context(), tree.Tasks[rnd.IntN(len(tree.Tasks))].ID, opts)
		if err != nil {
			t.Fatal(err)
		}
		switch n % 5 {
		case 0:
			_, err = s.front.Cancel(t.Context(), out.TreeID, coordinator.CancelOptions{})
		case 1: // of a copy
			_, err = s.front.Copy(t.Context(), out.TreeID, opts)
		case 2:
			_, err = s.front.Delete(t.Context(), out.TreeID, coordinator.DeleteOptions{Force: true})
		}
		if err != nil {
			t.Fatalf("copy %d: %v", n, err)
		}
	}
	s.check()
}
