package pg

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestForbiddenTasksEndOnce: claims of a task that its pool has come to forbid come twice, at two coordinators at once, with facts of another pool,
// and are cut off before they commit: the task has failed once, its dependent is told, and nothing ever started. So it is with the results of one
// that has started early.
func TestForbiddenTasksEndOnce(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	ctx := t.Context()
	submit := func(id string, repeatable bool) (tree dag.TreeKey, w *Work) {
		t.Helper()
		out, err := h.s.Submit(ctx, dag.DefaultNamespaceKey, treeOf(
			&dag.Task{ID: id + "root", Name: "r", Executor: "e", Dependencies: []dag.Dependency{{Ref: id}}},
			&dag.Task{ID: id, Name: id, ParentRef: id + "root", Executor: "e", Repeatable: repeatable}))
		if err != nil || len(out.Effects.Publish) != 1 {
			t.Fatal(out, err)
		}
		return out.Tree, out.Effects.Publish[0]
	}
	plainTree, plain := submit("plain", false)
	earlyTree, early := submit("early", true)
	rules := dag.PoolRules{"e": {Pool: "e", Executors: []string{"f"}}, "z": {Pool: "z"}}
	for _, s := range []*Store{h.s, h.other} {
		if err := s.RefreshPools(ctx); err != nil {
			t.Fatal(err)
		}
		s.SetPoolRules(rules)
	}
	claim := dag.Claim{Task: plain.Key, Attempt: 1, Worker: h.worker, Facts: plain.Facts()}
	cut, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := h.s.Claim(cut, []dag.Claim{claim}); err == nil {
		t.Error("a claim that was cut off has an answer")
	}
	if got := h.states(plainTree); got != "ready 1, waiting 1" {
		t.Errorf("after a claim that was cut off: %s", got)
	}
	lying := claim
	lying.Facts = dag.FactsOf(1, plain.Flags, plain.Priority, plain.Pool+1000)
	tried, _ := h.s.OptimisticTransactions()
	var together sync.WaitGroup
	for i := range 6 {
		together.Go(func() {
			one := claim
			if i%3 == 1 {
				one = lying
			}
			if verdicts, _, err := []*Store{h.s, h.other}[i%2].Claim(ctx, []dag.Claim{one}); err != nil || verdicts[0] != dag.No {
				t.Errorf("claim %d: %v, %v", i, verdicts, err)
			}
			res := dag.Result{Task: early.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Value: []byte(`1`), Early: true}
			if _, _, err := []*Store{h.s, h.other}[i%2].Settle(ctx, []dag.Result{res}, nil); err != nil {
				t.Errorf("result %d: %v", i, err)
			}
		})
	}
	together.Wait()
	if again, _ := h.s.OptimisticTransactions(); again != tried {
		t.Errorf("%d claims of the pool were tried without reading", again-tried)
	}
	for _, tree := range []dag.TreeKey{plainTree, earlyTree} {
		if got := h.states(tree); got != "failed 1, waiting 1" && got != "failed 1, blocked 1" { // the followup may tell it
			t.Errorf("got %s", got)
		}
		var attempts int
		var text string
		var started, result bool
		if err := h.s.pool.QueryRow(ctx, "select count(*), min(error), bool_or(started_at is not null), bool_or(result is not null) from attempt where task = $1", tree.Key(1)).
			Scan(&attempts, &text, &started, &result); err != nil {
			t.Fatal(err)
		}
		if want := `pool "e" does not allow this task: it takes no tasks of executor "e"`; attempts != 1 || text != want || started || result {
			t.Errorf("%d attempts, started %v, result %v: %s", attempts, started, result, text)
		}
	}
	for _, s := range []*Store{h.s, h.other} { // without a rule of its pool nothing is looked at
		s.SetPoolRules(dag.PoolRules{"z": {Pool: "z"}})
	}
	_, free := submit("free", false)
	if verdicts, _, err := h.s.Claim(ctx, []dag.Claim{{Task: free.Key, Attempt: 1, Worker: h.worker, Facts: free.Facts()}}); err != nil || verdicts[0] != dag.Yes {
		t.Errorf("a pool without a rule: %v, %v", verdicts, err)
	}
	if again, _ := h.s.OptimisticTransactions(); again != tried+1 {
		t.Errorf("%d claims were tried without reading, want 1", again-tried)
	}
}

// TestPoolRulesAreStored: one for each pool, at most [dag.MaxPoolRules].
func TestPoolRulesAreStored(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	if _, err := s.pool.Exec(ctx, "insert into pool_rule select 'p' || i, '{}', '{}', '{}', '{}' from generate_series(1, $1) i", dag.MaxPoolRules-1); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPoolRule(ctx, &dag.PoolRule{Pool: "x", Secrets: []string{"a", "b*"}}); err != nil {
		t.Errorf("the last one: %v", err)
	}
	if err := s.SetPoolRule(ctx, &dag.PoolRule{Pool: "y"}); err != ErrTooManyRules {
		t.Errorf("one too many: got %v", err)
	}
	if err := s.SetPoolRule(ctx, &dag.PoolRule{Pool: "x", Secrets: []string{"c"}}); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	list, err := s.PoolRules(ctx)
	if err != nil || len(list) != dag.MaxPoolRules || fmt.Sprint(*list[len(list)-1]) != "{x [] [] [] [c]}" {
		t.Errorf("got %d rules, %v", len(list), err)
	}
	if err := s.DeletePoolRule(ctx, "x"); err != nil {
		t.Error(err)
	}
	if err := s.DeletePoolRule(ctx, "x"); err == nil {
		t.Error("it was deleted twice")
	}
}
