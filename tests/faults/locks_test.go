package faults

import (
	"errors"
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// contested submits a tree in which a task holds a lock, and another waits for it, and gives what is known of the holder. span: it holds it for what is around it.
func (s *site) contested(root, key string, span bool) *coordinator.LockInfo {
	s.t.Helper()
	lock := func(hold bool) *dag.Limiting {
		l := &dag.Lock{Key: key}
		if hold {
			l.Hold = dag.HoldParent
		}
		return &dag.Limiting{Lock: l}
	}
	// 0: root; 1: the group of the holder; 2: what takes the lock; 3: who works below it; 4: who waits
	tree := oracle.Tree{Tasks: []oracle.Task{
		{ID: root + "-0", Parent: -1, Group: true, MaxAttempts: 1},
		{ID: root + "-1", Group: true, MaxAttempts: 1, Deps: []oracle.Dep{{On: 2}, {On: 3}}},
		{ID: root + "-2", Parent: 1, MaxAttempts: 1, Limiting: lock(span), Script: oracle.Script{Gate: !span}},
		{ID: root + "-3", Parent: 1, MaxAttempts: 1, Deps: []oracle.Dep{{On: 2}}, Script: oracle.Script{Gate: true}},
	}}
	tasks := TasksOf(tree, s.now())
	if _, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
		s.t.Fatal(err)
	}
	works := root + "-2"
	if span {
		works = root + "-3"
	}
	eventually(s.t, works+" runs", func() error {
		got, err := s.front.Task(s.t.Context(), works)
		if err == nil && got.State != dag.Running {
			err = fmt.Errorf("%s is %s", works, got.State)
		}
		return err
	})
	next := oracle.Tree{Tasks: []oracle.Task{{ID: root + "-next-0", Parent: -1, MaxAttempts: 1, Limiting: lock(false)}}}
	if _, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{}, each(TasksOf(next, s.now()))); err != nil {
		s.t.Fatal(err)
	}
	var held *coordinator.LockInfo
	eventually(s.t, "the lock is waited for", func() error {
		if held = s.lock(key); held == nil || held.Waiters != 1 {
			return fmt.Errorf("%+v", held)
		}
		return nil
	})
	return held
}

// lock is who holds a lock; nil: nobody.
func (s *site) lock(key string) *coordinator.LockInfo {
	s.t.Helper()
	page, err := s.front.Locks(s.t.Context(), coordinator.LockFilter{Key: key})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range page.Items {
		return l
	}
	return nil
}

// TestKilledWhileALockIsBroken kills the coordinator that breaks a lock, of a task and of one that is held for its parent, before and after that is stored. Who asks again breaks it, or is told that
// the one who was meant has lost it; the holder is cancelled once, and the next one has a greater token.
func TestKilledWhileALockIsBroken(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	defer s.watchHolds()()
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for n, at := range []struct {
		point     string
		done      bool
		span      bool
		cancelled int // the task that runs
	}{
		{"coordinator.before-lock-break=kill", false, false, 2},
		{"coordinator.after-lock-break=kill", true, false, 2},
		{"coordinator.before-lock-break=kill", false, true, 3},
		{"coordinator.after-lock-break=kill", true, true, 3},
	} {
		root, key := fmt.Sprintf("broken%d", n), fmt.Sprintf("ledger%d", n)
		held := s.contested(root, key, at.span)
		victim, c := s.served(at.point)
		if _, err := c.BreakLock(t.Context(), client.LockBreak{Key: key, Token: held.Token, Reason: "it is stuck"}); err == nil {
			t.Errorf("%s, span %v: it was answered", at.point, at.span)
		}
		s.dies(victim)
		if !at.done {
			if now := s.lock(key); now == nil || now.Token != held.Token {
				t.Errorf("%s, span %v: nothing was stored, and the lock is %+v", at.point, at.span, now)
			}
		}
		_, err := s.front.BreakLock(t.Context(), coordinator.LockBreak{Key: key, Token: held.Token, Reason: "it is stuck"})
		if told := errors.Is(err, coordinator.ErrConflict) || errors.Is(err, coordinator.ErrNotFound); at.done && !told || !at.done && err != nil {
			t.Errorf("%s, span %v: who asks again is answered %v", at.point, at.span, err)
		}
		next, works := root+"-next-0", fmt.Sprintf("%s-%d", root, at.cancelled)
		eventually(t, next+" and the holder end", func() error {
			for _, id := range []string{next, works} {
				got, err := s.front.Task(t.Context(), id)
				if err != nil || !got.State.Settled() {
					return fmt.Errorf("%+v, %w", got, err)
				}
			}
			return nil
		})
		for id, want := range map[string]dag.Outcome{next: dag.OutcomeCompleted, works: dag.OutcomeCancelled} {
			eventually(t, id+" has one attempt", func() error { // a cancelled one has an end when it has stopped
				all, err := s.front.Attempts(t.Context(), id)
				if err != nil || len(all) != 1 || all[0].Outcome != want {
					return fmt.Errorf("%+v, %w", all, err)
				}
				return nil
			})
		}
		runs, err := ReadJournal(s.base.JournalFile())
		if err != nil {
			t.Fatal(err)
		}
		if r := runs[next]; len(r) != 1 || r[0].Token <= held.Token || r[0].Refused {
			t.Errorf("%s, span %v: who had the lock had token %d, and the next one %v", at.point, at.span, held.Token, r)
		}
	}
	eventually(t, "nothing is left over", func() error { return CheckSettled(t.Context(), s.base.Postgres) })
	if err := CheckStore(t.Context(), s.front); err != nil {
		t.Error(err)
	}
}
