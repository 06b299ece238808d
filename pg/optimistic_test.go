package pg

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// states are those of a chain of two, with their attempts.
func (h *twoStores) states(tree dag.TreeKey) string {
	h.t.Helper()
	var first, second dag.State
	var n, m int
	if err := h.s.pool.QueryRow(h.t.Context(), "select a.state, a.attempt, b.state, b.attempt from task a, task b where a.key = $1 and b.key = $2", tree.Key(1), tree.Key(0)).
		Scan(&first, &n, &second, &m); err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprintf("%s %d, %s %d", first, n, second, m)
}

// TestAWrongAssumptionIsForgotten: the row is read, and known from then on.
func TestAWrongAssumptionIsForgotten(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	tasks := []*dag.Task{{ID: "last", Name: "last", Executor: "e"}}
	for i := range 4 {
		id := fmt.Sprint("t", i)
		tasks = append(tasks, &dag.Task{ID: id, Name: id, Executor: "e", ParentRef: "last"})
		tasks[0].Dependencies = append(tasks[0].Dependencies, dag.Dependency{Ref: id})
	}
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(tasks...))
	if err != nil {
		t.Fatal(err)
	}
	work := out.Effects.Publish
	for _, step := range []struct {
		by             *Store
		tried, refused int64 // by h.s, in all
	}{{h.other, 0, 0}, {h.s, 1, 1}, {h.s, 2, 1}, {h.s, 3, 1}} {
		w := work[0]
		work = work[1:]
		if _, err := h.s.pool.Exec(t.Context(), "update task set state = 4, worker = $2, started_at = now() where key = $1", w.Key, h.worker); err != nil {
			t.Fatal(err)
		}
		h.s.settles = caution{}
		if _, _, err := step.by.Settle(t.Context(), []dag.Result{{Task: w.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Facts: w.Facts()}}, nil); err != nil {
			t.Fatal(err)
		}
		if tried, refused := h.s.OptimisticTransactions(); tried != step.tried || refused != step.refused {
			t.Fatalf("%d tried, %d refused; want %d and %d", tried, refused, step.tried, step.refused)
		}
	}
	if got := h.states(out.Tree); got != "completed 1, ready 1" {
		t.Error(got)
	}
}

// TestAWrongAssumptionIsNotRepeated: a dependent that turned out not to wait is not assumed to.
func TestAWrongAssumptionIsNotRepeated(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	last := &dag.Task{ID: "last", Name: "last", Executor: "e", Dependencies: []dag.Dependency{{Ref: "a"}, {Ref: "b"}}}
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(last, &dag.Task{ID: "a", Name: "a", Executor: "e", ParentRef: "last"}, &dag.Task{ID: "b", Name: "b", Executor: "e", ParentRef: "last"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.other.Cancel(t.Context(), []dag.Key{out.Tree.Key(0)}, "no", nil); err != nil {
		t.Fatal(err)
	}
	for _, w := range out.Effects.Publish {
		if _, err := h.s.pool.Exec(t.Context(), "update task set state = 4, worker = $2, started_at = now() where key = $1", w.Key, h.worker); err != nil {
			t.Fatal(err)
		}
		h.s.settles = caution{}
		if _, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: w.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Facts: w.Facts()}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if tried, refused := h.s.OptimisticTransactions(); tried != 1 || refused != 1 {
		t.Errorf("%d tried, %d refused; want the first of both results", tried, refused)
	}
}

// TestWhatIsNotAssumed: a result that ApplyOptimistic can't write is not tried.
func TestWhatIsNotAssumed(t *testing.T) {
	t.Parallel()
	for _, r := range []dag.Result{
		{Outcome: dag.OutcomeFailed, Permanent: true, Error: "no"},
		{Outcome: dag.OutcomeReturned},
		{Outcome: dag.OutcomeCompleted, Detail: "what it said"},
		{Outcome: dag.OutcomeCompleted, Value: fmt.Appendf(nil, "%q", strings.Repeat("x", largeResult))},
	} {
		h := newTwoStores(t, 1)
		first := h.begin("t")
		before, _ := h.s.OptimisticTransactions()
		r.Task, r.Attempt, r.Worker, r.Facts = first.Key, 1, h.worker, first.Facts()
		if _, _, err := h.s.Settle(t.Context(), []dag.Result{r}, nil); err != nil {
			t.Fatal(err)
		}
		var outcome dag.Outcome
		if err := h.s.pool.QueryRow(t.Context(), "select outcome from attempt where task = $1 and number = 1", first.Key).Scan(&outcome); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
		if tried, _ := h.s.OptimisticTransactions(); tried != before || outcome != r.Outcome {
			t.Errorf("%s: %d were tried; on record is %s", r.Outcome, tried-before, outcome)
		}
	}
}

// TestPoliciesAreRead: what a task with a time, a timeout or no executor does when it is unlocked, handed over or claimed.
func TestPoliciesAreRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		task     dag.Task // as it is when it is unlocked
		unlocked dag.State
		timers   int // then, and when it was claimed
	}{
		"nothing of the kind":    {dag.Task{Executor: "e"}, dag.Running, 0},
		"a time":                 {dag.Task{Executor: "e", NotBefore: time.Now().Add(time.Hour)}, dag.Delayed, 1},
		"a time to start within": {dag.Task{Executor: "e", ScheduleToStart: time.Hour}, dag.Running, 1},
		"a timeout":              {dag.Task{Executor: "e", Timeout: time.Hour}, dag.Running, 1},
		"no executor":            {dag.Task{}, dag.Completed, 0},
		"an executor unknown":    {dag.Task{Executor: "what"}, dag.Failed, 0},
	} {
		for _, large := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, large: %t", name, large), func(t *testing.T) {
				h := newTwoStores(t, 1)
				task := tc.task
				task.ID, task.Name, task.Dependencies = "last", "last", []dag.Dependency{{Ref: "a"}, {Ref: "b"}}
				sub := treeOf(&task, &dag.Task{ID: "a", Name: "a", Executor: "e", ParentRef: "last"}, &dag.Task{ID: "b", Name: "b", Executor: "e", ParentRef: "last"})
				sub.Known = func(id string) bool { return id == "e" }
				submit := h.s.submissions.submit
				if large { // as if it were
					submit = h.s.submissions.submitLarge
				}
				out, err := submit(t.Context(), sub)
				if err != nil {
					t.Fatal(err)
				}
				for _, w := range out.Effects.Publish {
					facts := w.Facts()
					if _, _, err := h.s.Claim(t.Context(), []dag.Claim{{Task: w.Key, Attempt: 1, Worker: h.worker, Facts: facts}}); err != nil {
						t.Fatal(err)
					}
					if _, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: w.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Offer: true, Facts: facts}}, sub.Room); err != nil {
						t.Fatal(err)
					}
				}
				var state dag.State
				var timers int
				if err := h.s.pool.QueryRow(t.Context(), "select state, (select count(*) from timer) from task where key = $1", out.Tree.Key(0)).Scan(&state, &timers); err != nil {
					t.Fatal(err)
				}
				if state != tc.unlocked || timers != tc.timers {
					t.Errorf("it is %s with %d timers, want %s with %d", state, timers, tc.unlocked, tc.timers)
				}
				tried, refused := h.s.OptimisticTransactions()
				want := int64(2)                             // the claims
				if !large && name != "an executor unknown" { // that has no pool
					want++ // the first result: the task waits on
				}
				if name == "nothing of the kind" {
					want++ // the second result; after the first it is known that one waits
				}
				if tried != want || refused > 0 {
					t.Errorf("%d transactions did not read, %d of them were refused; want %d, and none", tried, refused, want)
				}
			})
		}
	}
}

// TestAClaimReadsItsTimeout: the claim of a task with a timeout is read; its completion needs no policy.
func TestAClaimReadsItsTimeout(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(&dag.Task{ID: "a", Name: "a", Executor: "e", Timeout: time.Hour}))
	if err != nil {
		t.Fatal(err)
	}
	w := out.Effects.Publish[0]
	if verdicts, eff, err := h.s.Claim(t.Context(), []dag.Claim{{Task: w.Key, Attempt: 1, Worker: h.worker, Facts: w.Facts()}}); err != nil || verdicts[0] != dag.Yes || len(eff.Timers) != 1 {
		t.Errorf("the claim of a task with a timeout: %v, %+v, %v", verdicts, eff, err)
	}
	if _, _, err := h.s.Settle(t.Context(), []dag.Result{{Task: w.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Facts: w.Facts()}}, nil); err != nil {
		t.Fatal(err)
	}
	if tried, refused := h.s.OptimisticTransactions(); tried != 1 || refused != 0 {
		t.Errorf("%d transactions did not read, %d of them were refused; want the completion", tried, refused)
	}
}

// TestARefusalPreparesNothingAnew: what pgx would forget of a batch that failed is prepared for good.
func TestARefusalPreparesNothingAnew(t *testing.T) {
	t.Parallel()
	_, url := openStore(t)
	s, err := Open(t.Context(), Config{URL: url, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	sealIfAsked(t, s)
	t.Cleanup(s.Close)
	var worker dag.WorkerKey
	if err := s.pool.QueryRow(t.Context(), `insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts)
		values ('i', 'w', '', '', '{}', 1, 1, now() + interval '1 hour', '{}') returning key`).Scan(&worker); err != nil {
		t.Fatal(err)
	}
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(&dag.Task{ID: "a", Name: "a", Executor: "e"}))
	if err != nil {
		t.Fatal(err)
	}
	w := out.Effects.Publish[0]
	prepared := func() (at []time.Time) {
		t.Helper()
		rows, err := s.pool.Query(t.Context(), "select prepare_time from pg_prepared_statements where statement = any ($1) order by 1",
			[]string{sql("RequireLiveWorkers"), sql("ApplyOptimistic"), sql("RequireTrees")})
		if err != nil {
			t.Fatal(err)
		}
		if at, err = pgx.CollectRows(rows, pgx.RowTo[time.Time]); err != nil {
			t.Fatal(err)
		}
		return at
	}
	claim := func(f dag.Facts) {
		t.Helper()
		if verdicts, _, err := s.Claim(t.Context(), []dag.Claim{{Task: w.Key, Attempt: 1, Worker: worker, Facts: f}}); err != nil || verdicts[0] != dag.Yes {
			t.Fatal(verdicts, err)
		}
	}
	facts := w.Facts()
	claim(facts)
	before := prepared()
	s.claims = caution{}
	claim(facts) // it runs already
	s.claims = caution{}
	claim(facts)
	if tried, refused := s.OptimisticTransactions(); tried != 3 || refused != 2 {
		t.Fatalf("%d tried, %d refused", tried, refused)
	}
	if after := prepared(); len(before) != 3 || !slices.EqualFunc(before, after, time.Time.Equal) {
		t.Errorf("prepared at %v, then at %v", before, after)
	}
}

// TestTreesOfAssumptionsAreInUse: and what is remembered of large ones is bounded.
func TestTreesOfAssumptionsAreInUse(t *testing.T) {
	k := newResidentTrees()
	tree := dag.TreeKey(1)
	resident := &residentTree{lastExecution: 1, unlocks: []int32{0, 1}, dependents: []dag.Dependent{{Key: tree.Key(1)}}}
	k.add(tree, resident)
	for i := range 3*maxWaiting + 1 {
		row := dag.NewDecision(time.Time{}, nil).Add(dag.Row{Key: tree.Key(1 + i), State: dag.Waiting, Pool: 1, Attempt: 1, Remaining: 2}, false)
		k.each([]*dag.Row{row, row}, (*residentTree).remember)
		if n := len(resident.waiting); n == 0 || n > maxWaiting {
			t.Fatalf("%d tasks are remembered", n)
		}
		if w := resident.waiting[row.Key]; w.remaining != 2 {
			t.Fatalf("the last one is not: %+v", w)
		}
	}
	resident.used = time.Now().Add(-time.Hour)
	row := dag.NewDecision(time.Time{}, nil).Add(dag.Row{Key: tree.Key(1), State: dag.Waiting, Pool: 1, Attempt: 1, Remaining: 2}, false)
	resident.remember(row)
	result := dag.Result{Task: tree.Key(0), Attempt: 1, Worker: 1, Outcome: dag.OutcomeCompleted, Facts: dag.FactsOf(1, dag.FlagDependents, 0, 1)}
	if _, ok := k.assume(dag.NewOptimistic(), []dag.Result{result}); !ok || time.Since(resident.used) > time.Minute {
		t.Errorf("assumed: %t, used %s ago", ok, time.Since(resident.used))
	}
}
