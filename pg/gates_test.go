package pg

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// newLimited is two stores, whose worker knows limits.
func newLimited(t *testing.T) *twoStores {
	t.Helper()
	h := newTwoStores(t, 1)
	if _, err := h.s.pool.Exec(t.Context(), "update worker set level = $1", dag.LimitsLevel); err != nil {
		t.Fatal(err)
	}
	return h
}

// pauseOf stores a pause.
func pauseOf(t *testing.T, s *Store, p Pause) *Pause {
	t.Helper()
	p.SetBy = "ops"
	if err := s.SetPause(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// takeAll dispatches what may be dispatched of all lanes, as a coordinator does that knows of nothing, or of what is held back.
func takeAll(t *testing.T, s *Store, knows bool) (work []*Work) {
	t.Helper()
	lanes, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, lane := range lanes {
		for {
			var some []*Work
			var err error
			if knows {
				var held Dispatched
				held, err = s.DispatchHeld(t.Context(), lane, 1000, nil)
				some = held.Work
			} else {
				some, err = dispatchPlainly(t.Context(), s, lane, 1000)
			}
			if err != nil {
				t.Fatal(err)
			}
			work = append(work, some...)
			if len(some) == 0 {
				break
			}
		}
	}
	return work
}

// dispatchPlainly dispatches what waits in a lane of one share.
func dispatchPlainly(ctx context.Context, s *Store, lane dag.Lane, n int) ([]*Work, error) {
	out, err := s.Dispatch(ctx, lane, n, false, nil)
	return out.Work, err
}

// recallAll calls back what of holds back.
func recallAll(t *testing.T, s *Store, of Held) (n int) {
	t.Helper()
	if err := s.RecallAll(t.Context(), of, func(eff *Effects) {
		for _, st := range eff.Waiting {
			n += int(st.N)
		}
		if len(eff.Publish) > 0 {
			t.Errorf("%d were published again", len(eff.Publish))
		}
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAPauseLetsNothingStart: of everything, of a pool, and of a tree. What lies in NATS is called back, so that its claims find nothing; what gets ready waits; and
// all of it goes on once it is resumed, in the attempts that follow.
func TestAPauseLetsNothingStart(t *testing.T) {
	t.Parallel()
	for name, scope := range map[string]dag.PauseScope{"everything": dag.PauseEverything, "pool": dag.PausePool, "tree": dag.PauseTree} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newLimited(t)
			ctx, s, worker := t.Context(), h.s, h.worker
			sub := treeOf(&dag.Task{ID: "root", Name: "r", Executor: "e"}, &dag.Task{ID: "a", Name: "a", Executor: "e", ParentRef: "root"},
				&dag.Task{ID: "b", Name: "b", Executor: "e", ParentRef: "root", Dependencies: []dag.Dependency{{Ref: "a"}}})
			out, err := s.Submit(ctx, dag.DefaultNamespaceKey, sub)
			if err != nil || len(out.Effects.Publish) != 2 {
				t.Fatal(out, err)
			}
			root, a := out.Effects.Publish[0], out.Effects.Publish[1]
			claim := func(w *Work) dag.Verdict {
				t.Helper()
				verdicts, _, err := s.Claim(ctx, []dag.Claim{{Task: w.Key, Attempt: w.Attempt, Worker: worker, Facts: w.Facts()}})
				if err != nil {
					t.Fatal(err)
				}
				return verdicts[0]
			}
			if claim(a) != dag.Yes {
				t.Fatal("nobody may start the first task")
			}
			p := pauseOf(t, s, Pause{Scope: scope, Name: "e", Tree: out.Tree})
			unsettled, err := s.UnsettledPauses(ctx, p.ID)
			if err != nil || len(unsettled) != 1 || unsettled[0].ID != p.ID {
				t.Fatal(unsettled, err)
			}
			if n := recallAll(t, s, unsettled[0].Of()); scope != dag.PauseTree && n != 1 {
				t.Errorf("%d tasks wait that were called back, want 1", n)
			}
			if claim(root) != dag.No {
				t.Error("what was called back may start")
			}
			res := dag.Result{Task: a.Key, Attempt: a.Attempt, Worker: worker, Outcome: dag.OutcomeCompleted, Value: []byte("1"), Offer: true, Facts: a.Facts()}
			_, eff, err := s.Settle(ctx, []dag.Result{res}, func(int32, dag.Priority, int32) bool { return true })
			if err != nil || len(eff.Handed)+len(eff.Publish) > 0 {
				t.Fatalf("what was unlocked: %+v, %v", eff, err)
			}
			for _, knows := range []bool{false, true} {
				if work := takeAll(t, s, knows); len(work) > 0 {
					t.Errorf("%d tasks were dispatched (knows of the pause: %v)", len(work), knows)
				}
			}
			if found, err := s.AuditTree(ctx, out.Tree, AuditOptions{}); err != nil || len(found) > 0 {
				t.Errorf("the auditor: %+v, %v", found, err)
			}
			if err := s.DeletePause(ctx, &Pause{Scope: scope, Name: "e", Tree: out.Tree}); err != nil {
				t.Fatal(err)
			}
			work := takeAll(t, s, false)
			if len(work) != 2 {
				t.Fatalf("%d tasks go on, want 2", len(work))
			}
			for _, w := range work {
				if want := map[dag.Key]int32{out.Tree.Key(0): 2, out.Tree.Key(2): 1}[w.Key]; w.Attempt != want || claim(w) != dag.Yes {
					t.Errorf("task %d has attempt %d, want %d, which may start", w.Key.Index(), w.Attempt, want)
				}
			}
			if found, err := s.AuditTree(ctx, out.Tree, AuditOptions{}); err != nil || len(found) > 0 {
				t.Errorf("the auditor: %+v, %v", found, err)
			}
		})
	}
}

// TestNothingStartsBesideAPause: submissions, dispatches and hand-overs that are under way when something is paused either come before, so that they are called
// back, or see it.
func TestNothingStartsBesideAPause(t *testing.T) {
	t.Parallel()
	h := newLimited(t)
	ctx, s := t.Context(), h.s
	room := func(int32, dag.Priority, int32) bool { return true }
	for round := range 8 {
		stop, cancel := context.WithCancel(ctx)
		var together sync.WaitGroup
		together.Go(func() { // chains, each handed over
			for n := 0; stop.Err() == nil; n++ {
				id := fmt.Sprintf("c%d.%d", round, n)
				sub := treeOf(&dag.Task{ID: id, Name: "a", Executor: "e"}, &dag.Task{ID: id + "b", Name: "b", Executor: "e", ParentRef: id, Dependencies: []dag.Dependency{{Ref: id}}})
				out, err := s.Submit(ctx, dag.DefaultNamespaceKey, sub)
				if err != nil {
					t.Error(err)
					return
				}
				for _, w := range out.Effects.Publish {
					verdicts, _, err := s.Claim(ctx, []dag.Claim{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Facts: w.Facts()}})
					if err != nil || verdicts[0] != dag.Yes {
						continue
					}
					if _, _, err := s.Settle(ctx, []dag.Result{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: []byte("1"), Offer: true, Facts: w.Facts()}}, room); err != nil {
						t.Error(err)
					}
				}
			}
		})
		together.Go(func() {
			for stop.Err() == nil {
				lanes, _ := h.other.Backlog(ctx)
				for _, l := range lanes {
					_, _ = dispatchPlainly(ctx, h.other, l, 3)
				}
			}
		})
		time.Sleep(30 * time.Millisecond)
		p := pauseOf(t, s, Pause{Scope: dag.PauseEverything})
		if err := s.RecallAll(ctx, Held{Pause: p.ID}, func(*Effects) {}); err != nil {
			t.Fatal(err)
		}
		var before, after int
		started := "select (select count(*) from task where started_at is not null) + (select count(*) from published p, task t where t.key >= p.first and t.key < p.first + p.n and t.attempt = p.attempt and t.state = $1)"
		if err := s.pool.QueryRow(ctx, started, dag.Ready).Scan(&before); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Millisecond)
		if err := s.pool.QueryRow(ctx, started, dag.Ready).Scan(&after); err != nil || after != before {
			t.Errorf("round %d: %d tasks were published or have started, %d a moment later: %v", round, before, after, err)
		}
		cancel()
		together.Wait()
		if err := s.DeletePause(ctx, &Pause{Scope: dag.PauseEverything}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestALimitOfAPoolIsHeld: what runs is counted, what was published is called back, and no more start than there is room for; each end gives a place back.
func TestALimitOfAPoolIsHeld(t *testing.T) {
	t.Parallel()
	h := newLimited(t)
	ctx, s := t.Context(), h.s
	tasks := []*dag.Task{{ID: "root", Name: "r"}}
	for i := range 8 {
		tasks = append(tasks, &dag.Task{ID: fmt.Sprint("t", i), Name: "t", ParentRef: "root", Executor: "e"})
	}
	out, err := s.Submit(ctx, dag.DefaultNamespaceKey, treeOf(tasks...))
	if err != nil || len(out.Effects.Publish) != 8 {
		t.Fatal(out, err)
	}
	running := map[dag.Key]*Work{}
	start := func(work []*Work) {
		t.Helper()
		for _, w := range work {
			verdicts, _, err := s.Claim(ctx, []dag.Claim{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Facts: w.Facts()}})
			if err != nil || verdicts[0] != dag.Yes {
				t.Fatal(verdicts, err)
			}
			running[w.Key] = w
		}
	}
	start(out.Effects.Publish[:3])
	two := int32(2)
	rule := dag.LimitRule{Kind: dag.KindPool, Key: "e", Max: &two, SetBy: "ops"}
	if _, err := s.SetLimitRule(ctx, dag.DefaultNamespaceKey, &rule, RuleChange{}); err != nil || rule.Counted {
		t.Fatal(rule, err)
	}
	if work := takeAll(t, s, true); len(work) > 0 {
		t.Errorf("%d are dispatched before all is counted", len(work))
	}
	called := 0
	if any, err := s.CountLimits(ctx, func(eff *Effects) { called += len(eff.Waiting) }); err != nil || !any || called == 0 {
		t.Fatal(any, called, err)
	}
	if any, err := s.CountLimits(ctx, nil); err != nil || any {
		t.Fatal("counted again", any, err)
	}
	ended := 0
	for len(running) > 0 || ended < 8 {
		var held int
		if err := s.pool.QueryRow(ctx, "select count(*) from hold where kind = 4").Scan(&held); err != nil || held != len(running) {
			t.Fatalf("%d run, %d are held: %v", len(running), held, err)
		}
		if work := takeAll(t, s, false); len(work) > 0 {
			t.Errorf("%d are dispatched by who knows of no limit", len(work))
		}
		work := takeAll(t, s, true)
		if want := min(max(0, 2-len(running)), 8-ended-len(running)); len(work) != want {
			t.Fatalf("%d run, %d have ended, %d are dispatched; want %d", len(running), ended, len(work), want)
		}
		start(work)
		for k, w := range running {
			res := dag.Result{Task: k, Attempt: w.Attempt, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: []byte("1"), Facts: w.Facts()}
			_, eff, err := s.Settle(ctx, []dag.Result{res}, nil)
			if err != nil || len(eff.Freed) != 1 || eff.Freed[0].Kind != dag.KindPool {
				t.Fatalf("what was given back: %+v, %v", eff, err)
			}
			delete(running, k)
			ended++
			break
		}
		if found, err := s.AuditTree(ctx, out.Tree, AuditOptions{}); err != nil || len(found) > 0 {
			t.Fatalf("the auditor: %+v, %v", found, err)
		}
	}
}
