package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// deaf works until it is let, whatever it is told, and then succeeds with its token.
type deaf struct {
	told
	let chan struct{}
}

func (e *deaf) Run(_ context.Context, c *executors.Call) (*executors.Outcome, error) {
	<-e.let
	token := int64(0)
	if c.Lock != nil {
		token = c.Lock.Token
	}
	return executors.Completed(map[string]int64{"token": token}), nil
}

// TestBrokenLock: who breaks a lock, also twice at once and by a coordinator that does nothing after, ends its holder, gives it to who waits with a greater token, and what the holder comes to
// does not count.
func TestBrokenLock(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor {
		return []executors.Executor{&deaf{told{executors.Description{ID: "deaf", Name: "Deaf", Type: "go"}}, let}}
	}})
	t.Cleanup(func() { close(let) }) // before the cluster ends
	svc := c.Service()
	task := func(id, parent, executor string, lock *dag.Lock, needs ...string) *dag.Task {
		out := &dag.Task{ID: id, Name: id, ParentRef: parent, Priority: dag.Normal, Executor: executor}
		if lock != nil {
			out.Limiting = &dag.Limiting{Lock: lock}
		}
		for _, n := range needs {
			out.Dependencies = append(out.Dependencies, dag.Dependency{Ref: n})
		}
		return out
	}
	held := func(key string) *coordinator.LockInfo {
		t.Helper()
		page, err := svc.Locks(t.Context(), coordinator.LockFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Items {
			if l.Key == key {
				return l
			}
		}
		return nil
	}
	running := func(id string) {
		t.Helper()
		c.Eventually(id+" runs", func() error {
			got, err := svc.Task(t.Context(), id)
			if err != nil || got.State != dag.Running {
				return fmt.Errorf("%+v, %w", got, err)
			}
			return nil
		})
	}
	if _, err := svc.BreakLock(t.Context(), coordinator.LockBreak{Key: "ledger", Token: 1}); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a lock that nobody holds: %v", err)
	}
	if _, err := svc.BreakLock(t.Context(), coordinator.LockBreak{Key: "", Token: -1}); err == nil || !strings.Contains(err.Error(), "key") || !strings.Contains(err.Error(), "token") {
		t.Errorf("all faults: %v", err)
	}
	if _, err := svc.BreakLock(t.Context(), coordinator.LockBreak{Key: "ledger"}); err == nil || !strings.Contains(err.Error(), "token: is required, or holder") {
		t.Errorf("of nobody: %v", err)
	}
	c.Submit(coordinator.SubmitOptions{}, task("first", "", "deaf", &dag.Lock{Key: "ledger"}))
	running("first")
	c.Submit(coordinator.SubmitOptions{}, task("second", "", "noop_executor", &dag.Lock{Key: "ledger"}))
	c.Eventually("second waits", func() error {
		if l := held("ledger"); l == nil || l.Waiters != 1 || l.TaskID != "first" || l.ForID != "" {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
	first := held("ledger")
	resting := c.AddResting()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = resting.P.BreakLock(t.Context(), coordinator.LockBreak{Key: "ledger", Token: first.Token, Reason: "it is stuck"})
		})
	}
	wg.Wait()
	if did := errs[0] == nil; did == (errs[1] == nil) || !errors.Is(errors.Join(errs...), coordinator.ErrNotFound) && !errors.Is(errors.Join(errs...), coordinator.ErrConflict) {
		t.Errorf("two at once: %v", errs)
	}
	if got := c.Settled("second"); got.Failed > 0 {
		t.Errorf("second: %+v", got)
	}
	if all, err := svc.Attempts(t.Context(), "second"); err != nil || len(all) != 1 || all[0].Outcome != dag.OutcomeCompleted {
		t.Errorf("second: %+v, %v", all, err)
	}
	let <- struct{}{} // first has succeeded, and that counts for nothing
	c.Eventually("first has stopped", func() error {
		all, err := svc.Attempts(t.Context(), "first")
		if err != nil || len(all) != 1 || all[0].CancelledAt.IsZero() {
			return fmt.Errorf("%+v, %w", all, err)
		}
		return nil
	})
	got, err := svc.Task(t.Context(), "first")
	if err != nil || got.State != dag.Cancelled {
		t.Errorf("first: %+v, %v", got, err)
	}
	why, err := svc.Why(t.Context(), "first")
	if err != nil || !strings.Contains(why.Summary, "its lock ledger was broken by") || !strings.Contains(why.Summary, "it is stuck") {
		t.Errorf("why: %+v, %v", why, err)
	}
	// A lock around several tasks.
	c.Submit(coordinator.SubmitOptions{},
		task("closing", "", "", nil, "take", "work"), task("take", "closing", "noop_executor", &dag.Lock{Key: "books", Hold: dag.HoldParent}), task("work", "closing", "deaf", nil, "take"))
	running("work")
	around := held("books")
	if around == nil || around.ForID != "closing" || around.Token <= first.Token {
		t.Fatalf("around several tasks: %+v", around)
	}
	if _, err := svc.BreakLock(t.Context(), coordinator.LockBreak{Key: "books", Token: first.Token}); !errors.Is(err, coordinator.ErrConflict) || !strings.Contains(err.Error(), fmt.Sprintf("is held by closing (closing) now, with token %d", around.Token)) {
		t.Errorf("with another token: %v", err)
	}
	if _, err := svc.BreakLock(t.Context(), coordinator.LockBreak{Key: "books", Token: around.Token, Holder: "work"}); !errors.Is(err, coordinator.ErrConflict) || held("books") == nil {
		t.Errorf("of another holder: %v", err)
	}
	broken, err := svc.BreakLock(t.Context(), coordinator.LockBreak{Key: "books", Holder: "closing"})
	if err != nil || broken.Token != around.Token || held("books") != nil {
		t.Fatalf("broken: %+v, %v, %+v", broken, err, held("books"))
	}
	c.Submit(coordinator.SubmitOptions{}, task("third", "", "deaf", &dag.Lock{Key: "books"}))
	running("third")
	last := int64(0)
	if l := held("books"); l == nil || l.Token <= around.Token {
		t.Errorf("the next holder: %+v", l)
	} else {
		last = l.Token
	}
	for _, again := range []coordinator.LockBreak{{Key: "books", Holder: "closing"}, {Key: "books", Token: around.Token}} {
		if _, err := svc.BreakLock(t.Context(), again); !errors.Is(err, coordinator.ErrConflict) || !strings.Contains(err.Error(), "is held by third (third) now") {
			t.Errorf("the same again: %v", err)
		}
	}
	if l := held("books"); l == nil || l.Token != last || l.TaskID != "third" {
		t.Errorf("the next holder lost it: %+v", l)
	}
	let <- struct{}{}
	let <- struct{}{}
	c.Eventually("third has succeeded", func() error {
		third, err := svc.Task(t.Context(), "third")
		if err != nil || string(third.Result) != fmt.Sprintf(`{"token":%d}`, last) {
			return fmt.Errorf("%+v, %w", third, err)
		}
		return nil
	})
	if work, err := svc.Task(t.Context(), "work"); err != nil || work.State != dag.Cancelled {
		t.Errorf("work: %+v, %v", work, err)
	}
	for v, err := range svc.Verify(t.Context(), "") {
		t.Error(v, err)
	}
}
