package pg

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// unique is a tree with a key.
func unique(id string, u dag.Unique) Submission {
	return treeOf(&dag.Task{ID: id, Name: "root", Executor: "e", Unique: &u})
}

// TestOneTreeHasAKey: a second tree with the key of one that is there is not stored, and the answer names the one that is; see [dag.Unique].
func TestOneTreeHasAKey(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	submit := func(sub Submission) *Submitted {
		t.Helper()
		out, err := s.Submit(ctx, dag.DefaultNamespaceKey, sub)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	refused := func(sub Submission, by string) *KeyTakenError {
		t.Helper()
		out, err := s.Submit(ctx, dag.DefaultNamespaceKey, sub)
		taken, is := errors.AsType[*KeyTakenError](err)
		if !is || taken.TreeID != by {
			t.Fatalf("got %+v, %v, want that %s has the key", out, err, by)
		}
		return taken
	}
	key := dag.Unique{Key: "k"}
	first := submit(unique("first", key))
	if e := refused(unique("second", key), "first"); !e.Until.IsZero() {
		t.Errorf("a tree has its key until %v, want until it has ended", e.Until)
	}
	if n := countRows(t, s, "tree"); n != 1 {
		t.Errorf("%d trees are stored, want 1", n)
	}
	if out := submit(unique("third", dag.Unique{Key: "k", Return: true})); !out.Existing || out.RootID != "first" || out.Tasks != 1 || out.Effects != nil {
		t.Errorf("got %+v, want the tree that is there", out)
	}
	large := unique("large", key)
	large.Tasks = func(yield func(*dag.Task, error) bool) {
		yield(&dag.Task{ID: "large", Name: "root", Executor: "e", Unique: &key}, nil)
		for i := range smallTasks + 1 {
			if !yield(&dag.Task{ID: fmt.Sprint("large-", i), Name: "n", ParentRef: "large", Executor: "e"}, nil) {
				return
			}
		}
	}
	refused(large, "first")
	submit(unique("other key", dag.Unique{Key: "K"}))
	others := unique("other user", key)
	others.UserID = "v"
	submit(others)
	nobodys := unique("nobody's", key)
	nobodys.UserID = ""
	submit(nobodys)
	namespace, err := s.CreateNamespace(ctx, "other", "", Quotas{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Submit(ctx, namespace.Key, unique("elsewhere", key)); err != nil {
		t.Errorf("in another namespace: %v", err)
	}
	again := unique("first again", key)
	again.IdempotencyKey = "i"
	refused(again, "first") // nothing is kept under the idempotency key

	end := func(tree dag.TreeKey) { cancelAndSettle(t, s, tree) }
	end(first.Tree)
	second := submit(again)
	if replay := submit(again); !replay.Replayed || replay.RootID != second.RootID {
		t.Errorf("got %+v, want the first answer: the idempotency key comes before the other", replay)
	}
	end(second.Tree)
	held := unique("held", key)
	held.Hold = true
	waits := submit(held)
	refused(unique("beside one that is held", key), "held")
	if _, _, err := s.Delete(ctx, waits.Tree.Key(0), DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	end(submit(unique("after a deletion", key)).Tree)

	hour := submit(unique("for an hour", dag.Unique{Key: "k", For: time.Hour}))
	end(hour.Tree)
	if e := refused(unique("within it", key), "for an hour"); time.Until(e.Until) > time.Hour || time.Until(e.Until) < 0 {
		t.Errorf("the key is taken until %v", e.Until)
	}
	if _, err := s.pool.Exec(ctx, "update unique_key set until = now() where until is not null"); err != nil {
		t.Fatal(err)
	}
	submit(unique("after it", key))
}

// TestManyWantAKey: of those who submit with a key at the same time, through two stores, one is stored; also if the one that has it ends just then.
func TestManyWantAKey(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 3)
	ctx := t.Context()
	for round := range 12 {
		key := dag.Unique{Key: "k", Return: round%3 == 2}
		var before *Submitted
		if round%2 == 1 {
			var err error
			if before, err = h.s.Submit(ctx, dag.DefaultNamespaceKey, unique(fmt.Sprintf("before-%d", round), key)); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		answers := make([]answer, 8)
		for i := range answers {
			wg.Go(func() {
				s := h.s
				if i%2 == 0 {
					s = h.other
				}
				answers[i].out, answers[i].err = s.Submit(ctx, dag.DefaultNamespaceKey, unique(fmt.Sprintf("t-%d-%d", round, i), key))
			})
		}
		if before != nil {
			cancelAndSettle(t, h.s, before.Tree)
		}
		wg.Wait()
		stored := map[string]bool{}
		for i, a := range answers {
			taken, is := errors.AsType[*KeyTakenError](a.err)
			switch {
			case is:
				stored[taken.TreeID] = stored[taken.TreeID] || false
			case a.err != nil:
				t.Fatalf("round %d, %d: %v", round, i, a.err)
			case !a.out.Existing:
				stored[a.out.RootID] = true
			}
		}
		news := 0
		for _, is := range stored {
			if is {
				news++
			}
		}
		if news > 1 || news == 0 && before == nil {
			t.Errorf("round %d: %d trees were stored with one key, of %v", round, news, stored)
		}
		rows, err := h.s.pool.Query(ctx, "select key from tree where unfinished > 0")
		if err != nil {
			t.Fatal(err)
		}
		var open []dag.TreeKey
		if err := eachRow(rows, func(v *values) { open = append(open, dag.TreeKey(v.bigint())) }); err != nil {
			t.Fatal(err)
		}
		if len(open) > 1 {
			t.Errorf("round %d: %d trees have not ended, and one has the key", round, len(open))
		}
		for _, tree := range open {
			cancelAndSettle(t, h.s, tree)
		}
	}
}

// TestAKeyIsWaitedFor: who wants a key that another transaction is about to take hears of that one's tree, and of nothing if it is undone.
func TestAKeyIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, commits := range []bool{true, false} {
		t.Run(fmt.Sprint(commits), func(t *testing.T) {
			t.Parallel()
			s, _ := openStore(t)
			ctx := t.Context()
			reached, goOn := make(chan struct{}), make(chan error)
			slow := unique("slow", dag.Unique{Key: "k"})
			slow.Locked = func() error {
				close(reached)
				return <-goOn
			}
			var first, second answer
			var wg sync.WaitGroup
			wg.Go(func() { first.out, first.err = s.Submit(ctx, dag.DefaultNamespaceKey, slow) })
			<-reached
			wg.Go(func() {
				second.out, second.err = s.Submit(ctx, dag.DefaultNamespaceKey, unique("waits", dag.Unique{Key: "k"}))
			})
			waitForLock(t, s)
			var undone error
			if !commits {
				undone = errors.New("undone")
			}
			goOn <- undone
			wg.Wait()
			taken, refused := errors.AsType[*KeyTakenError](second.err)
			if commits && (first.err != nil || !refused || taken.TreeID != "slow") {
				t.Errorf("got %v and %v, want that slow has the key", first.err, second.err)
			}
			if !commits && (!errors.Is(first.err, undone) || second.err != nil || second.out.RootID != "waits") {
				t.Errorf("got %v and %+v, %v, want that waits has the key", first.err, second.out, second.err)
			}
		})
	}
}

// waitForLock waits until a statement waits for a lock.
func waitForLock(t *testing.T, s *Store) {
	t.Helper()
	for {
		var n int
		if err := s.pool.QueryRow(t.Context(), "select count(*) from pg_locks where not granted").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
}

// cancelAndSettle ends a tree.
func cancelAndSettle(t *testing.T, s *Store, tree dag.TreeKey) {
	t.Helper()
	if _, err := s.CancelTree(t.Context(), tree, "stop"); err != nil {
		t.Error(err)
	}
	for more := true; more; {
		var err error
		if _, more, err = s.Followups(context.WithoutCancel(t.Context()), nil); err != nil {
			t.Error(err)
			return
		}
	}
}
