package pg

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

var (
	large = dag.Used{Model: "large", Currency: "USD", Calls: 2, Prompt: 100, Completion: 20, Cached: 50, CostNanos: 1500}
	local = dag.Used{Model: "local", Calls: 1, Prompt: 7, Completion: 3, Unpriced: 1}
	euros = dag.Used{Model: "large", Currency: "EUR", Calls: 1, Prompt: 5, CostNanos: 9}
)

// everywhere has room for all.
func everywhere(int32, dag.Priority, int32) bool { return true }

// used is what a task's attempts used, as the store tells it.
func (h *twoStores) used(k dag.Key) string {
	h.t.Helper()
	list, err := h.s.Attempts(h.t.Context(), k)
	if err != nil {
		h.t.Fatal(err)
	}
	out := ""
	for _, a := range list {
		out += fmt.Sprintf("%d %s %v; ", a.Number, a.Outcome, a.Used)
	}
	return out
}

// TestUsageIsStoredWithTheEnd: on either path, whatever the end, and once, however often the result comes.
func TestUsageIsStoredWithTheEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		outcome    dag.Outcome
		optimistic bool
		cancelled  bool
	}{
		"completed, and nothing is read": {outcome: dag.OutcomeCompleted, optimistic: true},
		"completed":                      {outcome: dag.OutcomeCompleted},
		"failed":                         {outcome: dag.OutcomeFailed},
		"timed out":                      {outcome: dag.OutcomeTimedOut},
		"handed back":                    {outcome: dag.OutcomeReturned},
		"cancelled":                      {outcome: dag.OutcomeCancelled, cancelled: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTwoStores(t, 1)
			first := h.begin("t")
			if tt.cancelled {
				if done, _, err := h.s.Cancel(t.Context(), []dag.Key{first.Key}, "not needed", nil); err != nil || !done[first.Key] {
					t.Fatal(done, err)
				}
			}
			res := dag.Result{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: tt.outcome, Value: []byte(`1`), Used: []dag.Used{large, local}}
			if tt.optimistic {
				res.Facts = first.Facts()
			}
			for i, s := range []*Store{h.s, h.other, h.s} {
				changed, _, err := s.Settle(t.Context(), []dag.Result{res}, nil)
				if err != nil || changed[0] != (i == 0) {
					t.Fatal(i, changed, err)
				}
			}
			if tried, refused := h.s.OptimisticTransactions(); tt.optimistic && tried-refused < 1 {
				t.Errorf("the rows were read: %d tried, %d refused", tried, refused)
			}
			if got, want := h.used(first.Key), fmt.Sprintf("1 %s [%v %v]; ", tt.outcome, large, local); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			h.wantNoViolations(first.Key.Tree())
		})
	}
}

func (h *twoStores) wantNoViolations(tree dag.TreeKey) {
	h.t.Helper()
	if found, err := h.s.AuditTree(h.t.Context(), tree, AuditOptions{}); err != nil || len(found) > 0 {
		h.t.Errorf("violations: %v, %v", found, err)
	}
}

// TestALostAttemptHasNoUsage: what comes of it later is refused, with its usage.
func TestALostAttemptHasNoUsage(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	first := h.begin("t")
	if _, err := h.s.TakeBack(t.Context(), h.worker, []dag.Key{first.Key}, true, nil); err != nil {
		t.Fatal(err)
	}
	late := dag.Result{Task: first.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeCompleted, Facts: first.Facts(), Used: []dag.Used{large}}
	if changed, _, err := h.s.Settle(t.Context(), []dag.Result{late}, nil); err != nil || changed[0] {
		t.Fatal(changed, err)
	}
	if got := h.used(first.Key); got != "1 lost []; " {
		t.Errorf("got %s", got)
	}
	h.wantNoViolations(first.Key.Tree())
}

// TestALaterAttemptKnowsWhatWasSpent: by the attempts before it in its run, and by no others, however it is sent.
func TestALaterAttemptKnowsWhatWasSpent(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	sub, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(&dag.Task{ID: "t", Name: "t", Executor: "e"}))
	if err != nil {
		t.Fatal(err)
	}
	w := sub.Effects.Publish[0]
	end := func(outcome dag.Outcome, room Room, used ...dag.Used) *Work {
		t.Helper()
		changed, eff, err := h.s.Settle(t.Context(), []dag.Result{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Outcome: outcome, Used: used}}, room)
		if err != nil || !changed[0] {
			t.Fatal(changed, err)
		}
		i := slices.IndexFunc(eff.Publish, func(p *Work) bool { return p.Key == w.Key })
		if i < 0 {
			work, err := takeReady(t.Context(), h.s, w.Lane(), 10, false)
			if i = slices.IndexFunc(work, func(p *Work) bool { return p.Key == w.Key }); err != nil || i < 0 {
				return nil
			}
			return work[i]
		}
		return eff.Publish[i]
	}
	claim := func() {
		t.Helper()
		if verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{h.claim(w)}); err != nil || verdicts[0] != dag.Yes {
			t.Fatal(verdicts, err)
		}
	}
	want := func(fact string, spent ...dag.Used) {
		t.Helper()
		by := func(a, b dag.Used) int { return int(a.Prompt - b.Prompt) }
		slices.SortFunc(w.Spent, by)
		if !slices.Equal(w.Spent, spent) {
			t.Errorf("%s: got %v, want %v", fact, w.Spent, spent)
		}
	}
	want("the first attempt")
	claim()
	w = end(dag.OutcomeReturned, everywhere, large, local)
	inUSD, unpriced := large, local
	inUSD.Model, unpriced.Model = "", ""
	want("published at once", unpriced, inUSD)
	claim()
	w = end(dag.OutcomeReturned, nil, large)
	inUSD.Calls, inUSD.Prompt, inUSD.Completion, inUSD.Cached, inUSD.CostNanos = 4, 200, 40, 100, 3000
	want("dispatched", unpriced, inUSD)
	claim()
	end(dag.OutcomeCompleted, nil, euros)
	if out, err := h.s.Execute(t.Context(), w.Key, dag.ExecutionOptions{Force: true}); err != nil || out.Status != ExecutionStarted {
		t.Fatal(out, err)
	}
	work, err := takeReady(t.Context(), h.s, w.Lane(), 10, false)
	if i := slices.IndexFunc(work, func(p *Work) bool { return p.Key == w.Key }); err == nil && i >= 0 {
		w = work[i]
	} else {
		t.Fatal(work, err)
	}
	if w.Attempt != 4 {
		t.Fatalf("attempt %d", w.Attempt)
	}
	want("another run")
	shown, err := h.s.Task(t.Context(), dag.DefaultNamespaceKey, "t")
	if err != nil || len(shown.Used) != 3 {
		t.Errorf("of all attempts: %v, %v", shown.Used, err)
	}
}

// fillUsage stores usage of trees of several owners, as if it was recorded at other times.
func fillUsage(t *testing.T, s *Store) {
	t.Helper()
	for _, statement := range []string{
		`insert into tree (key, root, root_id, name, user_id, tasks, leaves, held, unfinished) select k, k << 24, 'tree-' || k, 'n', nullif(u, ''), 1, 1, 0, 0
			from (values (1, 'ann'), (2, 'bob'), (3, '')) v(k, u)`,
		`insert into model_usage select tree.key << 24, a, m, case m when 'm2' then '' else 'USD' end, user_id, '2026-03-01'::timestamptz + (a - 1) * interval '1 day',
			1, 10 * tree.key, 1, 0, 5, case m when 'm2' then 1 else 0 end from tree, generate_series(1, 2) a, unnest(array['m1', 'm2']) m`,
	} {
		if _, err := s.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUsageIsSummedUp(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	fillUsage(t, s)
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		f    UsageFilter
		want string
	}{
		{UsageFilter{By: UsageByUser}, "=60+60 ann=20+20 bob=40+40"},
		{UsageFilter{By: UsageByTree}, "tree-3=60+60 tree-2=40+40 tree-1=20+20"},
		{UsageFilter{By: UsageByModel}, "m1=120 m2=120"},
		{UsageFilter{By: UsageByDay}, "2026-03-01=60+60 2026-03-02=60+60"},
		{UsageFilter{By: UsageByDay, Since: day(2)}, "2026-03-02=60+60"},
		{UsageFilter{By: UsageByDay, Until: day(2)}, "2026-03-01=60+60"},
		{UsageFilter{By: UsageByTree, UserID: "bob", Since: day(2), Model: "m2"}, "tree-2=20"},
		{UsageFilter{By: UsageByModel, Tree: 1}, "m1=20 m2=20"},
		{UsageFilter{By: UsageByModel, Tree: 1, Since: day(3)}, ""},
		{UsageFilter{By: UsageByUser, UserID: "nobody"}, ""},
	} {
		for _, limit := range []int{1, 2, 100} {
			got, f := "", tt.f
			for f.Limit = limit; ; {
				page, err := s.Usage(t.Context(), dag.DefaultNamespaceKey, f)
				if err != nil || len(page) > limit {
					t.Fatal(len(page), err)
				}
				for _, g := range page {
					text := ""
					for _, u := range g.Used {
						if text != "" {
							text += "+"
						}
						text += fmt.Sprint(u.Prompt)
					}
					got += g.Name + "=" + text + " "
				}
				if len(page) == 0 {
					break
				}
				f.After = &page[len(page)-1].Key
			}
			if got = strings.TrimSpace(got); got != tt.want {
				t.Errorf("%+v, by %d: got %q, want %q", tt.f, limit, got, tt.want)
			}
		}
	}
	if _, err := s.Usage(t.Context(), dag.DefaultNamespaceKey, UsageFilter{By: UsageByUser, Limit: 10, Most: 11}); !errors.Is(err, ErrTooMuchUsage) {
		t.Errorf("12 rows where 11 are summed up: %v", err)
	}
	if _, err := s.Usage(t.Context(), dag.DefaultNamespaceKey, UsageFilter{By: UsageByUser, Limit: 10, Most: 12}); err != nil {
		t.Error(err)
	}
}

// TestSumsOfUsageStayAtTheLargestNumber: a worker may say what it likes.
func TestSumsOfUsageStayAtTheLargestNumber(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	fillUsage(t, s)
	if _, err := s.pool.Exec(t.Context(), "update model_usage set prompt = 9223372036854775807"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Usage(t.Context(), dag.DefaultNamespaceKey, UsageFilter{By: UsageByDay, Limit: 10})
	if err != nil || got[0].Used[0].Prompt != math.MaxInt64 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, used, err := s.TreeWithUsage(t.Context(), 1); err != nil || used[0].Prompt != math.MaxInt64 {
		t.Errorf("got %v, %v", used, err)
	}
}

// TestManyModelsAreToldTogether: of a tree's models those with the most tokens are told one by one.
func TestManyModelsAreToldTogether(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	fillUsage(t, s)
	if _, err := s.pool.Exec(t.Context(), "insert into model_usage select 1 << 24, i, 'x' || i, 'USD', 'ann', now(), 1, i, 0, 0, 0, 0 from generate_series(101, 1100) i"); err != nil {
		t.Fatal(err)
	}
	_, used, err := s.TreeWithUsage(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	calls := int64(0)
	for _, u := range used {
		calls += u.Calls
	}
	if first := used[0].Model; len(used) > 2*modelsShown || first != "others" && first != "x1100" || calls != 1004 {
		t.Errorf("%d models, the first is %s, %d calls", len(used), first, calls)
	}
}

// TestUsageGoesWithItsTree: also that of a tree which a coordinator deleted that did not know of usage.
func TestUsageGoesWithItsTree(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	fillUsage(t, s)
	for _, statement := range []string{
		"update tree set finished_at = now() - interval '1 day' where key = 1",
		"delete from tree where key = 2",
	} {
		if _, err := s.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Expire(t.Context(), time.Hour, 10); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if err := s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	var trees []int64
	if err := s.pool.QueryRow(t.Context(), "select array_agg(distinct task >> 24) from model_usage").Scan(&trees); err != nil || !slices.Equal(trees, []int64{3}) {
		t.Errorf("usage of the trees %v is left, %v", trees, err)
	}
}
