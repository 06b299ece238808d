package pg

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// one is a tree of one task in the pool.
func one(id, pool string) Submission {
	return treeOf(&dag.Task{ID: id, Name: id, Executor: "e", Pool: pool})
}

// close closes idle pools and gives those of the names that are open then.
func (h *poolStore) close(names ...string) string {
	h.t.Helper()
	if _, err := h.s.ClosePools(h.t.Context(), 0); err != nil {
		h.t.Fatal(err)
	}
	if err := h.s.RefreshPools(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprint(slices.DeleteFunc(names, func(name string) bool { return !h.s.HasPool(name) }))
}

// sound checks that the auditor finds nothing.
func (h *poolStore) sound() {
	h.t.Helper()
	found, _, _, err := h.s.AuditAll(h.t.Context(), 0, AuditOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, v := range found {
		h.t.Errorf("%s: %s", v.Kind, v.Text)
	}
}

// TestPoolsThatNobodyNeedsAreClosed: none that a worker serves or a tree that has not ended names; and whoever needs a closed
// one opens it again.
func TestPoolsThatNobodyNeedsAreClosed(t *testing.T) {
	t.Parallel()
	h := newPoolStore(t)
	submit := func(sub Submission) *Submitted {
		t.Helper()
		out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	held := one("held", "held")
	held.Hold = true
	submit(held)
	ended := submit(one("ended", "ended"))
	submit(one("waits", "waits"))
	if _, err := h.s.ServePools(t.Context(), map[string]bool{"served": true, "left": true}); err != nil {
		t.Fatal(err)
	}
	beat := Beat{Instance: "i", ID: "w", Pools: map[string]int{"served": 1}, State: WorkerAlive, Number: 1, Level: 9}
	if keys, err := h.s.ExtendLeases(t.Context(), []Beat{beat}, time.Hour); err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	key := ended.Effects.Publish[0].Key
	if _, _, err := h.s.Cancel(t.Context(), []dag.Key{key}, "", nil); err != nil {
		t.Fatal(err)
	}
	all := []string{"held", "ended", "waits", "served", "left"}
	if got := h.close(slices.Clone(all)...); got != "[held waits served]" {
		t.Errorf("got %s", got)
	}
	if name, err := h.s.PoolName(t.Context(), ended.Effects.Publish[0].Pool); name != "ended" || err != nil {
		t.Errorf("a closed pool is called %q, %v", name, err)
	}
	h.sound()

	if out, err := h.s.Execute(t.Context(), key, dag.ExecutionOptions{Force: true}); err != nil || out.Status != ExecutionStarted {
		t.Fatal(out, err)
	}
	submit(one("again", "left"))
	if got := h.close(slices.Clone(all)...); got != fmt.Sprint(all) {
		t.Errorf("after an execution and a submission: got %s", got)
	}
	h.sound()
}

// TestAPoolIsNeverClosedUnderASubmission: whatever runs at the same time, in another process too.
func TestAPoolIsNeverClosedUnderASubmission(t *testing.T) {
	t.Parallel()
	s, url := openStore(t)
	h := &poolStore{t, s}
	other, err := Open(t.Context(), Config{URL: url, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	sealIfAsked(t, other)
	t.Cleanup(other.Close)
	ctx, cancel := context.WithCancel(t.Context())
	var closing, submitting sync.WaitGroup
	closed := 0
	closing.Go(func() {
		for ctx.Err() == nil {
			n, err := other.ClosePools(t.Context(), 5*time.Millisecond)
			if err != nil {
				t.Error(err)
			}
			closed += n
		}
	})
	for who, store := range map[string]*Store{"a": s, "b": other} {
		for worker := range 2 {
			submitting.Go(func() {
				for i := range 60 {
					sub := one(fmt.Sprint(who, worker, "-", i), fmt.Sprint("pool-", i%3))
					if i%5 == 0 {
						sub.Large = func(context.Context) (func(), error) { return func() {}, nil }
					}
					out, err := store.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
					if err != nil {
						t.Error(err)
						return
					}
					if _, _, err := store.Cancel(t.Context(), []dag.Key{out.Tree.Key(0)}, "", nil); err != nil {
						t.Error(err)
					}
					if i%7 == 0 {
						if out, err := store.Execute(t.Context(), out.Tree.Key(0), dag.ExecutionOptions{Force: true}); err != nil || out.Status != ExecutionStarted {
							t.Error(out, err)
						}
					}
				}
			})
		}
	}
	submitting.Wait()
	cancel()
	closing.Wait()
	t.Logf("%d times a pool was closed", closed)
	if closed == 0 {
		t.Error("no pool was ever closed")
	}
	h.sound()
}

// TestTreesOfOlderCoordinatorsAreDescribed: they say what they need before a pool is closed, and what they put into a closed one opens it.
func TestTreesOfOlderCoordinatorsAreDescribed(t *testing.T) {
	t.Parallel()
	h := newPoolStore(t)
	if _, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, one("old", "old")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.s.pool.Exec(t.Context(), "update tree set pools = null"); err != nil {
		t.Fatal(err)
	}
	if got := h.close("old"); got != "[old]" {
		t.Errorf("got %s", got)
	}
	if _, err := h.s.pool.Exec(t.Context(), "update pool set open = false"); err != nil {
		t.Fatal(err)
	}
	if got := h.close("old"); got != "[old]" {
		t.Errorf("a closed one that a task waits in: got %s", got)
	}
	h.sound()
}

// TestRowsOfPoolsGoWithTheLastTree that names them.
func TestRowsOfPoolsGoWithTheLastTree(t *testing.T) {
	t.Parallel()
	h := newPoolStore(t)
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, one("a", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.s.Cancel(t.Context(), []dag.Key{out.Tree.Key(0)}, "", nil); err != nil {
		t.Fatal(err)
	}
	if got := h.close("a"); got != "[]" {
		t.Fatalf("got %s", got)
	}
	rows := func() (n int) {
		t.Helper()
		if err := h.s.ForgetPools(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if err := h.s.pool.QueryRow(t.Context(), "select count(*) from pool").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := rows(); n != 1 {
		t.Errorf("while its tree is stored, there are %d rows", n)
	}
	if n, err := h.s.Expire(t.Context(), 0, 10); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n := rows(); n != 0 {
		t.Errorf("afterwards there are %d rows", n)
	}
}
