package pg

import (
	"fmt"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// newSpanTree is a held tree: a root that depends on a job, a fold with a task that takes a lock for it and as many steps, which depend on that.
func newSpanTree(t *testing.T, steps int) *limitedTree {
	t.Helper()
	s, _ := openStore(t)
	root := &dag.Task{ID: "root", Name: "root", Executor: "p", Dependencies: []dag.Dependency{{Ref: "job", Optional: true}}}
	job := &dag.Task{ID: "job", Name: "job", ParentRef: "root", Fold: true, Dependencies: []dag.Dependency{{Ref: "take"}}}
	take := &dag.Task{ID: "take", Name: "take", ParentRef: "job", Executor: "p", Limiting: &dag.Limiting{Limits: []dag.Limit{{Key: "l", Max: 1}}, Lock: &dag.Lock{Key: "k", Hold: dag.HoldParent}}}
	tasks := []*dag.Task{root, job, take}
	for i := range steps {
		id := fmt.Sprint("s", i)
		tasks = append(tasks, &dag.Task{ID: id, Name: id, Executor: "p", ParentRef: "job", Dependencies: []dag.Dependency{{Ref: "take"}}})
		job.Dependencies = append(job.Dependencies, dag.Dependency{Ref: id})
	}
	sub := treeOf(tasks...)
	sub.Hold = true
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	l := &limitedTree{Store: s, t: t, tree: out.Tree}
	if err := s.pool.QueryRow(t.Context(), "select id from pool where name = 'p'").Scan(&l.pool); err != nil {
		t.Fatal(err)
	}
	l.worker = l.register("w")
	return l
}

// The indexes of its tasks.
const (
	spanJob  = 1
	spanTake = 2
	spanStep = 3
)

func (l *limitedTree) spans() int {
	l.t.Helper()
	return l.count("select count(*) from hold where span = $1", l.tree.Key(spanJob))
}

func (l *limitedTree) taken() {
	l.t.Helper()
	if got := l.grantAll(10); fmt.Sprint(got) != "[2]" || !l.claim(spanTake) {
		l.t.Fatalf("granted %v, want the one that takes the lock", got)
	}
}

// TestALockIsHeldForAParent: of what the task holds only the lock stays, until the parent ends; a result that comes twice changes nothing.
func TestALockIsHeldForAParent(t *testing.T) {
	t.Parallel()
	l := newSpanTree(t, 1)
	l.execute()
	l.taken()
	if eff := l.settle(spanTake, dag.OutcomeCompleted); len(eff.Freed) != 1 || eff.Freed[0].Kind != dag.KindLimit {
		t.Errorf("its end gives %v back, want the limit alone", eff.Freed)
	}
	l.settle(spanTake, dag.OutcomeCompleted)
	if n := l.spans(); n != 1 {
		t.Fatalf("%d locks are held for the parent, want 1", n)
	}
	auditLimits(t, l)
	_, eff, err := l.Cancel(t.Context(), []dag.Key{l.tree.Key(spanJob)}, "test", nil)
	if err != nil || len(eff.Freed) != 1 || eff.Freed[0].Kind != dag.KindLock {
		t.Errorf("the end of the parent gives %v back, %v", eff, err)
	}
	auditLimits(t, l)
}

// TestALockOfWhoComesTooLate: where the parent has ended before, nothing is held for it.
func TestALockOfWhoComesTooLate(t *testing.T) {
	t.Parallel()
	l := newSpanTree(t, 1)
	l.execute()
	l.taken()
	if _, _, err := l.Cancel(t.Context(), []dag.Key{l.tree.Key(spanJob)}, "test", nil); err != nil {
		t.Fatal(err)
	}
	auditLimits(t, l)
	l.settle(spanTake, dag.OutcomeCompleted)
	if n := l.count("select count(*) from hold"); n != 0 {
		t.Errorf("%d are held for a parent that has ended", n)
	}
}

// TestALockAndItsParentEndAtOnce: whichever of both is first, nothing is held when both have ended.
func TestALockAndItsParentEndAtOnce(t *testing.T) {
	t.Parallel()
	for i := range 12 {
		l := newSpanTree(t, 1)
		l.execute()
		l.taken()
		var both sync.WaitGroup
		both.Go(func() { l.settle(spanTake, dag.OutcomeCompleted) })
		both.Go(func() {
			if _, _, err := l.Cancel(t.Context(), []dag.Key{l.tree.Key(spanJob)}, "test", nil); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if n := l.count("select count(*) from hold"); n != 0 {
			t.Fatalf("round %d: %d are held after both have ended", i, n)
		}
		auditLimits(t, l)
		if i > 0 && testing.Short() {
			break
		}
	}
}

// TestALockGoesWithItsTree: a tree that is deleted, and a task that is, hold nothing any more.
func TestALockGoesWithItsTree(t *testing.T) {
	t.Parallel()
	for index, freed := range map[int]int{0: 1, spanJob: 1} {
		l := newSpanTree(t, 1)
		l.execute()
		l.taken()
		l.settle(spanTake, dag.OutcomeCompleted)
		if n := l.spans(); n != 1 {
			t.Fatalf("%d locks are held for the parent, want 1", n)
		}
		for range 20 {
			if _, _, err := l.Followups(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		_, eff, err := l.Delete(t.Context(), l.tree.Key(index), DeleteOptions{Force: true})
		if err != nil || len(eff.Freed) != freed {
			t.Fatalf("the deletion of task %d gives %v back, %v", index, eff, err)
		}
		if n := l.count("select count(*) from hold"); n != 0 {
			t.Errorf("task %d is deleted, and %d are held", index, n)
		}
		auditLimits(t, l)
	}
}
