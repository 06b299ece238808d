package pg

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestLimitRulesAreStored: one for each key, pool and user, at most [dag.MaxLimitRules]; one of a pool keeps its number.
func TestLimitRulesAreStored(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	n := func(n int32) *int32 { return &n }
	set := func(r dag.LimitRule) *dag.LimitRule {
		t.Helper()
		before, err := s.SetLimitRule(ctx, 3, &r, RuleChange{})
		if err != nil || r.SetAt.IsZero() {
			t.Fatalf("%+v: %v", r, err)
		}
		return before
	}
	if before := set(dag.LimitRule{Kind: dag.KindLimit, Key: "k", Max: n(5), SetBy: "amy", Reason: "why", Counted: true}); before != nil {
		t.Errorf("before: %+v", before)
	}
	if before := set(dag.LimitRule{Kind: dag.KindLimit, Key: "k", Max: n(0), SetBy: "bob", Counted: true}); before == nil || *before.Max != 5 || before.SetBy != "amy" || before.Reason != "why" {
		t.Errorf("before: %+v", before)
	}
	set(dag.LimitRule{Kind: dag.KindRate, Key: "k", Max: n(100), Per: time.Minute, Burst: 3, Counted: true})
	set(dag.LimitRule{Kind: dag.KindPool, Key: "p", Max: n(2)})
	set(dag.LimitRule{Kind: dag.KindUser, Key: "u", Max: n(3), Waiting: n(4)})
	for _, user := range []string{"u", "v", "w"} {
		if err := s.SetShareWeight(ctx, 3, user, 2.5); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetShareWeight(ctx, 3, "w", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(ctx, `insert into hold (task, ord, attempt, namespace, kind, key, cost, id) select i, 0, 1, 3, 1, case when i < 4 then 'k' else 'other' end, 2, i from generate_series(1, 5) i`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(ctx, `insert into waiter (namespace, kind, key, priority, id, task, attempt, n, cost, pool, share) select 3, kind, 'lock' || kind, 2, i, i, 1, 1, 1, 1, 0 from generate_series(1, 3) i, generate_series(2, 3) kind`); err != nil {
		t.Fatal(err)
	}
	list := func(namespace dag.NamespaceKey, step int, pools, all bool) (out []string) {
		t.Helper()
		var kind dag.LimitKind
		var key string
		for {
			page, err := s.LimitRules(ctx, namespace, kind, key, step, pools, all)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				kind, key = r.Kind, r.Key
				line := fmt.Sprintf("%d %s held %d waiters %d by %q", r.Kind, r.Key, r.Held, r.Waiters, r.SetBy)
				if r.Max != nil {
					line += fmt.Sprint(" max ", *r.Max, r.Per, r.Burst, r.Counted)
				}
				if r.Weight != 1 {
					line += fmt.Sprint(" weight ", r.Weight)
				}
				out = append(out, line)
			}
			if len(page) < step {
				return out
			}
		}
	}
	keys := []string{`1 k held 6 waiters 0 by "bob" max 0 0s 0 true`}
	others := []string{`1 other held 4 waiters 0 by ""`, `2 lock2 held 0 waiters 3 by ""`}
	rate, lock3 := []string{`3 k held 0 waiters 0 by "" max 100 1m0s 3 true`}, []string{`3 lock3 held 0 waiters 3 by ""`}
	pool, users := []string{`4 p held 0 waiters 0 by "" max 2 0s 0 false`}, []string{`5 u held 0 waiters 0 by "" max 3 0s 0 false weight 2.5`, `5 v held 0 waiters 0 by "" weight 2.5`}
	for _, step := range []int{1, 2, 3, 100} {
		for _, tt := range []struct {
			namespace  dag.NamespaceKey
			pools, all bool
			want       [][]string
		}{
			{3, false, false, [][]string{keys, rate, users}},
			{3, true, false, [][]string{keys, rate, pool, users}},
			{3, true, true, [][]string{keys, others, rate, lock3, pool, users}},
			{4, false, true, nil},
			{0, true, true, [][]string{pool}},
		} {
			var want []string
			for _, part := range tt.want {
				want = append(want, part...)
			}
			if got := list(tt.namespace, step, tt.pools, tt.all); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Errorf("namespace %d, pools %v, all %v, %d at once: got\n%q\nwant\n%q", tt.namespace, tt.pools, tt.all, step, got, want)
			}
		}
	}
	if _, err := s.pool.Exec(ctx, "insert into limit_rule (namespace, kind, key, max, set_by) select 9, 1, 'k' || i, 1, 'x' from generate_series(1, $1) i", dag.MaxLimitRules-4); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetLimitRule(ctx, 3, &dag.LimitRule{Kind: dag.KindLimit, Key: "more", Max: n(1)}, RuleChange{}); !errors.Is(err, ErrTooManyLimits) {
		t.Errorf("one too many: %v", err)
	}
	set(dag.LimitRule{Kind: dag.KindLimit, Key: "k", Max: n(9), Counted: true})
	var idBefore, idAfter int32
	_ = s.pool.QueryRow(ctx, "select pool from limit_rule where kind = 4").Scan(&idBefore)
	_, _ = s.pool.Exec(ctx, "update pool set changed_at = now() - interval '2 days'")
	if err := s.RemovePools(ctx, []string{"p"}, time.Hour, func(context.Context, []string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.pool.QueryRow(ctx, "select id from pool where name = 'p'").Scan(&idAfter); err != nil || idBefore != idAfter || idBefore == 0 {
		t.Errorf("the pool had the number %d, has %d: %v", idBefore, idAfter, err)
	}
	if err := s.DeleteLimitRule(ctx, 3, dag.KindPool, "p", 0); err != nil {
		t.Error(err)
	}
	if err := s.DeleteLimitRule(ctx, 4, dag.KindLimit, "k", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("of another namespace: %v", err)
	}
	if err := s.DeleteLimitRule(ctx, 3, dag.KindPool, "p", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}

// TestPausesAreStored: the first pause of a thing stays; trees' are shown in their namespace, or to their owner, only.
func TestPausesAreStored(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	ctx := t.Context()
	tree := func(id, user string) dag.TreeKey {
		sub := treeOf(&dag.Task{ID: id, Name: id, Executor: "e"})
		sub.UserID = user
		out, err := s.Submit(ctx, dag.DefaultNamespaceKey, sub)
		if err != nil {
			t.Fatal(err)
		}
		return out.Tree
	}
	amys, bobs := tree("amys", "amy"), tree("bobs", "bob")
	for _, p := range []Pause{{Scope: dag.PausePool, Name: "p", SetBy: "ops", Reason: "maintenance"}, {Scope: dag.PauseTree, Tree: amys}, {Scope: dag.PauseTree, Tree: bobs}, {Scope: dag.PauseEverything}} {
		first := p
		if err := s.SetPause(ctx, &first); err != nil || first.SetAt.IsZero() || first.ID == 0 {
			t.Fatalf("%+v: %v", first, err)
		}
		p.SetBy, p.Reason = "another", "other"
		if err := s.SetPause(ctx, &p); err != nil || p != first {
			t.Errorf("again: %+v, %v; want %+v", p, err, first)
		}
	}
	list := func(namespace dag.NamespaceKey, owner string, step int) (out []string) {
		for after := int64(0); ; {
			page, err := s.Pauses(ctx, namespace, owner, after, step)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				after = p.ID
				out = append(out, fmt.Sprintf("%d %s", p.Scope, p.Name))
			}
			if len(page) < step {
				return out
			}
		}
	}
	for _, step := range []int{1, 100} {
		if got := fmt.Sprint(list(0, "", step)); got != "[2 p 3 amys 3 bobs 1 ]" {
			t.Errorf("all: %s", got)
		}
		if got := fmt.Sprint(list(0, "amy", step)); got != "[2 p 3 amys 1 ]" {
			t.Errorf("of amy: %s", got)
		}
		if got := fmt.Sprint(list(7, "", step)); got != "[2 p 1 ]" {
			t.Errorf("of another namespace: %s", got)
		}
	}
	paused := func(k dag.TreeKey) (is bool) {
		_ = s.pool.QueryRow(ctx, "select paused_at is not null from tree where key = $1", k).Scan(&is)
		return is
	}
	if !paused(amys) {
		t.Error("the tree does not know that it is paused")
	}
	for _, p := range []Pause{{Scope: dag.PausePool, Name: "p"}, {Scope: dag.PauseTree, Tree: amys}, {Scope: dag.PauseEverything}} {
		if err := s.DeletePause(ctx, &p); err != nil {
			t.Error(err)
		}
		if err := s.DeletePause(ctx, &p); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v again: %v", p, err)
		}
	}
	if paused(amys) || !paused(bobs) {
		t.Error("a tree is paused that is not, or the other way round")
	}
	if err := s.SetPause(ctx, &Pause{Scope: dag.PauseTree, Tree: 1 << 30}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a tree that is gone: %v", err)
	}
	if _, err := s.pool.Exec(ctx, "insert into pause (scope, tree, set_by) select 3, 1000000 + i, 'x' from generate_series(1, $1) i", dag.MaxPauses-1); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPause(ctx, &Pause{Scope: dag.PauseEverything}); !errors.Is(err, ErrTooManyPauses) {
		t.Errorf("one too many: %v", err)
	}
}
