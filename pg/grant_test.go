package pg

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// limitedTree is a held tree of a root and as many tasks, each with what it asks for; the root waits for them.
type limitedTree struct {
	*Store
	t      *testing.T
	tree   dag.TreeKey
	pool   int32
	worker dag.WorkerKey
}

func newLimitedTree(t *testing.T, asks ...*dag.Limiting) *limitedTree {
	t.Helper()
	s, _ := openStore(t)
	root := &dag.Task{ID: "root", Name: "root", Executor: "p"}
	tasks := []*dag.Task{root}
	for i := range asks {
		id := fmt.Sprint("t", i)
		tasks = append(tasks, &dag.Task{ID: id, Name: id, Executor: "p", ParentRef: "root"})
		root.Dependencies = append(root.Dependencies, dag.Dependency{Ref: id, Optional: true})
	}
	sub := treeOf(tasks...)
	sub.Hold = true
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	l := &limitedTree{Store: s, t: t, tree: out.Tree}
	for i, ask := range asks {
		l.ask(i+1, ask)
	}
	if err := s.pool.QueryRow(t.Context(), "select id from pool where name = 'p'").Scan(&l.pool); err != nil {
		t.Fatal(err)
	}
	l.worker = l.register("w")
	return l
}

func (l *limitedTree) register(id string) dag.WorkerKey {
	l.t.Helper()
	keys, err := l.ExtendLeases(l.t.Context(), []Beat{{Instance: id, ID: id, Build: "1.0", Level: dag.LimitsLevel, State: WorkerAlive, Number: 1, Pools: map[string]int{"p": 1}}}, time.Hour)
	if err != nil || keys[id] == 0 {
		l.t.Fatal(keys, err)
	}
	return keys[id]
}

// ask stores what a held task asks for.
func (l *limitedTree) ask(index int, ask *dag.Limiting) {
	l.t.Helper()
	if ask == nil {
		return
	}
	for _, text := range []string{"update spec set limits = $2 where key = $1", "update task set flags = flags | $2 where key = $1"} {
		arg := any(ask.Stored())
		if text[7] == 't' {
			arg = int32(dag.FlagLimited)
		}
		if _, err := l.conns().Exec(l.t.Context(), text, l.tree.Key(index), arg); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *limitedTree) conns() *connections { return l.Store.pool }

func (l *limitedTree) execute() *Effects {
	l.t.Helper()
	out, err := l.Execute(l.t.Context(), l.tree.Key(0), dag.ExecutionOptions{})
	if err != nil || out.Status != ExecutionStarted {
		l.t.Fatal(out, err)
	}
	return out.Effects
}

// roundOf looks at so many tasks of each line, all of one pool.
func roundOf(keys []dag.LimitKey, heads int, pool int32, room int) GrantRound {
	r := GrantRound{Pools: []int32{pool}, Room: map[int32]int{pool: room}}
	for _, k := range keys {
		r.Add(k, heads)
	}
	return r
}

// grant grants from the lines of some keys, as far as there is room for so many.
func (l *limitedTree) grant(room int, keys ...dag.LimitKey) GrantResult {
	l.t.Helper()
	for {
		out, err := l.Grant(l.t.Context(), roundOf(keys, GrantHeads, l.pool, room))
		if GrantRefused(err) {
			continue
		}
		if err != nil {
			l.t.Fatal(err)
		}
		return out
	}
}

// load gives what a round has granted.
func (l *limitedTree) load(out *GrantResult) []*Work {
	l.t.Helper()
	work, err := l.GrantedWork(l.t.Context(), out)
	if err != nil {
		l.t.Fatal(err)
	}
	return work
}

// grantAll grants from all lines, and gives the indexes of the tasks.
func (l *limitedTree) grantAll(room int) (indexes []int) {
	l.t.Helper()
	keys, err := l.LinesAfter(l.t.Context(), dag.LimitKey{}, MaxGrantKeys)
	if err != nil {
		l.t.Fatal(err)
	}
	if len(keys) == 0 {
		return nil
	}
	out := l.grant(room, keys...)
	for _, w := range l.load(&out) {
		indexes = append(indexes, w.Key.Index())
	}
	return indexes
}

func (l *limitedTree) attempt(index int) (n int32) {
	l.t.Helper()
	if err := l.conns().QueryRow(l.t.Context(), "select attempt from task where key = $1", l.tree.Key(index)).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

func (l *limitedTree) claim(index int) bool {
	l.t.Helper()
	v, _, err := l.Claim(l.t.Context(), []dag.Claim{{Task: l.tree.Key(index), Attempt: l.attempt(index), Worker: l.worker}})
	if err != nil {
		l.t.Fatal(err)
	}
	return v[0] == dag.Yes
}

func (l *limitedTree) settle(index int, outcome dag.Outcome) *Effects {
	l.t.Helper()
	_, eff, err := l.Settle(l.t.Context(), []dag.Result{{Task: l.tree.Key(index), Attempt: l.attempt(index), Worker: l.worker, Outcome: outcome, Error: "x"}}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return eff
}

func (l *limitedTree) count(query string, args ...any) (n int) {
	l.t.Helper()
	if err := l.conns().QueryRow(l.t.Context(), query, args...).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

func limitOf(key string, most int32) *dag.Limiting {
	return &dag.Limiting{Limits: []dag.Limit{{Key: key, Max: most}}}
}

// TestALimitHoldsBack: as many are granted as may hold the key, in their order; the next one when one has ended, and its result says so.
func TestALimitHoldsBack(t *testing.T) {
	t.Parallel()
	ask := limitOf("k", 2)
	l := newLimitedTree(t, ask, ask, ask, ask)
	eff := l.execute()
	k := dag.LimitKey{Namespace: dag.DefaultNamespaceKey, Kind: dag.KindLimit, Key: "k"}
	if len(eff.Keys) != 1 || eff.Keys[0] != k || len(eff.Waiting) != 0 {
		t.Fatalf("an execution asks for %v, and %d stretches wait; want %v", eff.Keys, len(eff.Waiting), k)
	}
	if got := l.grantAll(10); fmt.Sprint(got) != "[1 2]" {
		t.Fatalf("granted %v, want [1 2]", got)
	}
	if got := l.grantAll(10); len(got) != 0 {
		t.Fatalf("granted %v though all of it is held", got)
	}
	if !l.claim(1) {
		t.Fatal("a granted task can't be claimed")
	}
	if eff := l.settle(1, dag.OutcomeCompleted); len(eff.Freed) != 1 || eff.Freed[0] != k {
		t.Fatalf("a result gives %v back, want %v", eff.Freed, k)
	}
	if got := l.grantAll(10); fmt.Sprint(got) != "[3]" {
		t.Fatalf("granted %v, want the next one", got)
	}
	auditLimits(t, l)
}

// TestLocksHaveTokens: a lock is held by one, until its attempt ends in whichever way; each holder gets a token that is greater than those before, also by
// way of another key.
func TestLocksHaveTokens(t *testing.T) {
	t.Parallel()
	a, b := &dag.Limiting{Lock: &dag.Lock{Key: "a"}}, &dag.Limiting{Lock: &dag.Lock{Key: "b"}}
	l := newLimitedTree(t, a, b, a, a)
	l.execute()
	keys := []dag.LimitKey{{Namespace: dag.DefaultNamespaceKey, Kind: dag.KindLock, Key: "a"}, {Namespace: dag.DefaultNamespaceKey, Kind: dag.KindLock, Key: "b"}}
	last := int64(0)
	held := map[int]int64{}
	take := func(want ...int) {
		t.Helper()
		out := l.grant(10, keys...)
		got := l.load(&out)
		if len(got) != len(want) {
			t.Fatalf("%d tasks get their locks, want %v", len(got), want)
		}
		for i, w := range got {
			if w.Key.Index() != want[i] || w.Lock == nil || w.Lock.Token <= last {
				t.Fatalf("task %d got the lock %v after token %d, want task %d", w.Key.Index(), w.Lock, last, want[i])
			}
			last = w.Lock.Token
			held[want[i]] = last
		}
	}
	take(1, 2)
	again, _, err := l.ReconcilePublished(t.Context(), -time.Hour, 10, func(dag.Lane) (time.Time, bool) { return time.Time{}, true })
	if err != nil || len(again) != 2 || again[0].Lock == nil || again[0].Lock.Token != held[1] {
		t.Fatalf("published again: %d attempts, %v; want 2 with the same tokens", len(again), err)
	}
	l.claim(1)
	take()
	l.settle(1, dag.OutcomeReturned) // goes ahead of those that came later
	take(1)
	if _, err := l.TakeBack(t.Context(), l.worker, []dag.Key{l.tree.Key(1)}, true, nil); err != nil {
		t.Fatal(err)
	}
	take()
	l.claim(1)
	old := l.attempt(1)
	if _, err := l.TakeBack(t.Context(), l.worker, []dag.Key{l.tree.Key(1)}, true, nil); err != nil {
		t.Fatal(err)
	}
	changed, _, err := l.Settle(t.Context(), []dag.Result{{Task: l.tree.Key(1), Attempt: old, Worker: l.worker, Outcome: dag.OutcomeCompleted}}, nil)
	if err != nil || changed[0] {
		t.Fatalf("a holder whose lease has ended settles: %v, %v", changed, err)
	}
	take(1)
	l.claim(1)
	l.settle(1, dag.OutcomeCompleted)
	take(3)
	if _, _, err := l.Cancel(t.Context(), []dag.Key{l.tree.Key(3)}, "enough", nil); err != nil {
		t.Fatal(err)
	}
	take(4)
	auditLimits(t, l)
}

// TestContention: a task that does not wait for its lock ends as it says, and one whose lock does not come in time; neither has an attempt that began.
func TestContention(t *testing.T) {
	t.Parallel()
	ask := func(on dag.OnContention, wait time.Duration) *dag.Limiting {
		return &dag.Limiting{Lock: &dag.Lock{Key: "k", OnContention: on, WaitTimeout: wait}}
	}
	l := newLimitedTree(t, ask(0, 0), ask(dag.FailOnContention, 0), ask(dag.SkipOnContention, 0), ask(0, time.Millisecond), ask(0, time.Hour))
	l.execute()
	out := l.grant(10, dag.LimitKey{Namespace: dag.DefaultNamespaceKey, Kind: dag.KindLock, Key: "k"})
	if got := l.load(&out); len(got) != 1 || len(out.Contended) != 2 {
		t.Fatalf("%d tasks get the lock and %d do not wait for it, want 1 and 2", len(got), len(out.Contended))
	}
	if _, err := l.Store.Contend(t.Context(), out.Contended, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond)
	if _, n, err := l.DueTimers(t.Context(), 10, nil); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	for i, want := range []string{"ready", "failed lock_contended", "skipped", "failed lock_timeout", "ready"} {
		var state dag.State
		var kind string
		var started *time.Time
		if err := l.conns().QueryRow(t.Context(), "select t.state, coalesce(a.kind, ''), a.started_at from task t left join attempt a on a.task = t.key and a.number = t.attempt where t.key = $1", l.tree.Key(i+1)).
			Scan(&state, &kind, &started); err != nil {
			t.Fatal(err)
		}
		got := state.String()
		if kind != "" {
			got += " " + kind
		}
		if got != want || started != nil {
			t.Errorf("task %d: %s, started at %v; want %s", i+1, got, started, want)
		}
	}
	auditLimits(t, l)
}

// TestARecallKeepsThePlace: a granted attempt that nobody has claimed gives back what it holds, its message starts nothing any more, and its task is the first
// in its line again.
func TestARecallKeepsThePlace(t *testing.T) {
	t.Parallel()
	ask := limitOf("k", 1)
	l := newLimitedTree(t, ask, ask, nil)
	l.execute()
	if got := l.grantAll(10); fmt.Sprint(got) != "[1]" {
		t.Fatalf("granted %v, want [1]", got)
	}
	if _, err := l.conns().Exec(t.Context(), "insert into timer (at, task, attempt, kind) values (now() + interval '1 hour', $1, 1, $2)", l.tree.Key(1), dag.TimerScheduleToStart); err != nil {
		t.Fatal(err)
	}
	n, eff, err := l.Recall(t.Context(), []ReadyAttempt{{l.tree.Key(1), 1}, {l.tree.Key(3), 1}, {l.tree.Key(2), 7}}, "for a test", nil)
	if err != nil || n != 2 || len(eff.Keys) != 1 || len(eff.Freed) != 1 {
		t.Fatalf("took back %d attempts, %v (%v), want 2", n, err, eff)
	}
	var of int32
	if err := l.conns().QueryRow(t.Context(), "select attempt from timer where task = $1 and kind = $2", l.tree.Key(1), dag.TimerScheduleToStart).Scan(&of); err != nil || of != 2 {
		t.Fatalf("its time to start is that of attempt %d, %v; want the one that goes on with it", of, err)
	}
	if v, _, err := l.Claim(t.Context(), []dag.Claim{{Task: l.tree.Key(1), Attempt: 1, Worker: l.worker}}); err != nil || v[0] != dag.No {
		t.Fatalf("its old message is answered %v, %v", v, err)
	}
	auditLimits(t, l)
	if got := l.grantAll(10); fmt.Sprint(got) != "[1]" {
		t.Fatalf("granted %v, want [1]", got)
	}
	if idle, _, err := l.GrantedAndIdle(t.Context(), 0, 0, 10); err != nil || len(idle) != 0 {
		t.Fatalf("%v are idle though a worker lives, %v", idle, err)
	}
	if _, err := l.conns().Exec(t.Context(), "update worker set lease_until = now() - interval '1 minute'"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond)
	if idle, next, err := l.GrantedAndIdle(t.Context(), 0, 0, 10); err != nil || len(idle) != 1 || idle[0] != (ReadyAttempt{l.tree.Key(1), 2}) || next == 0 {
		t.Fatalf("%v are idle, then from %d on, %v; want the granted one", idle, next, err)
	}
}

// TestHeldIsAtMostTheMax plays random histories of one tree: whatever happens, no key is held above its max, each ready task is in one place,
// and nothing is held or waits once all has ended.
func TestHeldIsAtMostTheMax(t *testing.T) {
	t.Parallel()
	const tasks = 20
	r := rand.New(rand.NewPCG(1, 2))
	asks := make([]*dag.Limiting, tasks)
	for i := range asks {
		ask := &dag.Limiting{}
		for k := range 3 {
			if r.IntN(2) == 0 {
				ask.Limits = append(ask.Limits, dag.Limit{Key: fmt.Sprint("k", k), Max: int32(3 + r.IntN(2)), Cost: int32(1 + r.IntN(3))})
			}
		}
		if r.IntN(3) == 0 {
			ask.Lock = &dag.Lock{Key: fmt.Sprint("k", r.IntN(2)), OnContention: dag.OnContention(r.IntN(8) / 6 * r.IntN(3))}
		}
		if r.IntN(3) == 0 {
			ask.Rates = []dag.Rate{{Key: "r", Per: time.Second, Max: 500, Burst: 2}}
		}
		if ask.Stored() != nil {
			asks[i] = ask
		}
	}
	l := newLimitedTree(t, asks...)
	l.execute()
	var done int
	for step := 0; ; step++ {
		if step == 4000 {
			rows, _ := l.conns().pool.Query(t.Context(), "select format('%s state %s attempt %s flags %s holds %s waits %s', key & 1023, state, attempt, flags, (select json_agg(h) from hold h where h.task = task.key), (select json_agg(w) from waiter w where w.task = task.key)) from task where state not in (5, 6, 7, 8, 9)")
			left, err := pgx.CollectRows(rows, pgx.RowTo[string])
			t.Log(err)
			t.Fatalf("%d tasks are left after %d steps: %s", tasks-done, step, strings.Join(left, "\n"))
		}
		if over := l.count("select count(*) from (select from hold where kind in (1, 2) group by namespace, kind, key having sum(cost) > max(max)) o"); over > 0 {
			t.Fatalf("%d keys are held above their max before step %d", over, step) // each step is one transaction: nothing happens in between
		}
		if step%40 == 0 {
			auditLimits(t, l)
			if done = l.count("select count(*) from task where state in (5, 6, 7, 8, 9)"); done == tasks+1 {
				break
			}
		}
		i := r.IntN(tasks + 1)
		switch n := r.IntN(20); {
		case n < 8:
			l.grantAll(1 + r.IntN(4))
			if c := l.contended(); len(c) > 0 {
				if _, err := l.Store.Contend(t.Context(), c, nil); err != nil {
					t.Fatal(err)
				}
			}
		case n < 13:
			if l.count("select count(*) from published where first <= $1 and first + n > $1 and attempt = $2", l.tree.Key(i), l.attempt(i)) > 0 {
				l.claim(i)
			}
		case n < 16:
			l.settle(i, dag.OutcomeCompleted)
		case n == 16:
			l.settle(i, dag.OutcomeReturned)
		case n == 17:
			if _, _, err := l.Recall(t.Context(), []ReadyAttempt{{l.tree.Key(i), l.attempt(i)}}, "test", nil); err != nil {
				t.Fatal(err)
			}
		case n == 18 && r.IntN(4) == 0:
			if _, err := l.TakeBack(t.Context(), l.worker, []dag.Key{l.tree.Key(i)}, true, nil); err != nil {
				t.Fatal(err)
			}
		case n == 19 && r.IntN(10) == 0:
			if _, _, err := l.Cancel(t.Context(), []dag.Key{l.tree.Key(i)}, "test", nil); err != nil {
				t.Fatal(err)
			}
		case n == 19:
			if _, err := takeReady(t.Context(), l.Store, dag.Lane{Pool: l.pool}, 5, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if held, waits := l.count("select count(*) from hold"), l.count("select count(*) from waiter"); held+waits > 0 {
		t.Errorf("all has ended, and %d places are held and %d waited for", held, waits)
	}
}

// contended are those that a round without room finds.
func (l *limitedTree) contended() []*dag.Waiter {
	l.t.Helper()
	keys, err := l.LinesAfter(l.t.Context(), dag.LimitKey{}, MaxGrantKeys)
	if err != nil || len(keys) == 0 {
		return nil
	}
	return l.grant(0, keys...).Contended
}

// auditLimits fails the test for each violation.
func auditLimits(t *testing.T, l *limitedTree) {
	t.Helper()
	auditSays(t, l.Store)
	found, err := l.AuditRest(t.Context(), AuditOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Errorf("%s: task %d: %s", v.Kind, v.Task, v.Text)
	}
}

// TestNobodyIsGrantedPastTheUnknown: a task that is the first of one line and stands far back in another is granted nothing while those before it there are not at hand,
// as one of them may lack room.
func TestNobodyIsGrantedPastTheUnknown(t *testing.T) {
	limit := func(cost int32) dag.Limit { return dag.Limit{Key: "l", Max: 4, Cost: cost} }
	behind := func(lock string) *dag.Limiting {
		return &dag.Limiting{Limits: []dag.Limit{limit(1)}, Lock: &dag.Lock{Key: lock}}
	}
	asks := []*dag.Limiting{{Limits: []dag.Limit{limit(1)}}, {Lock: &dag.Lock{Key: "a"}}} // these two hold
	for range GrantHeads {
		asks = append(asks, behind("a"))
	}
	last := &dag.Limiting{Limits: []dag.Limit{limit(4)}}
	l := newLimitedTree(t, append(asks, last, behind("b"))...) // and these wait in this order
	l.execute()
	for _, index := range l.grantAll(2) {
		if index > 2 {
			t.Fatalf("task %d was granted first", index)
		}
	}
	out, err := l.Grant(t.Context(), roundOf([]dag.LimitKey{{Namespace: dag.DefaultNamespaceKey, Kind: dag.KindLock, Key: "b"}}, 2, l.pool, 9))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range l.load(&out) {
		t.Errorf("task %d was granted past task %d, which lacks room", w.Key.Index(), GrantHeads+3)
	}
}

// TestLimitsOfPoolsBindThoseInOtherLines: a task that is looked at only as it stands before another one, in a line that nobody asked about, is held back by the limit of
// its pool, too.
func TestLimitsOfPoolsBindThoseInOtherLines(t *testing.T) {
	t.Parallel()
	rate := []dag.Rate{{Key: "r", Per: time.Second, Max: 100}}
	l := newLimitedTree(t, &dag.Limiting{Rates: rate}, &dag.Limiting{Lock: &dag.Lock{Key: "l"}, Rates: rate})
	l.execute()
	none := int32(0)
	rule := dag.LimitRule{Kind: dag.KindPool, Key: "full", Max: &none, SetBy: "op"}
	if _, err := l.SetLimitRule(t.Context(), dag.DefaultNamespaceKey, &rule, RuleChange{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.CountLimits(t.Context(), func(*Effects) {}); err != nil {
		t.Fatal(err)
	}
	var full int32
	if err := l.conns().QueryRow(t.Context(), "select id from pool where name = 'full'").Scan(&full); err != nil {
		t.Fatal(err)
	}
	if _, err := l.conns().Exec(t.Context(), "update waiter set pool = $2 where task = $1", l.tree.Key(1), full); err != nil {
		t.Fatal(err)
	}
	round := roundOf([]dag.LimitKey{{Namespace: dag.DefaultNamespaceKey, Kind: dag.KindLock, Key: "l"}}, 9, l.pool, 9)
	round.Pools, round.Room[full] = append(round.Pools, full), 9
	out, err := l.Grant(t.Context(), round)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.load(&out); len(got) != 1 || got[0].Key.Index() != 2 {
		t.Fatalf("%d tasks are granted, want the one whose pool has no limit", len(got))
	}
}

// TestDeletedTasksLeaveTheirLines: who is deleted holds nothing and waits for nothing any more, and those behind are told.
func TestDeletedTasksLeaveTheirLines(t *testing.T) {
	t.Parallel()
	ask := limitOf("k", 1)
	l := newLimitedTree(t, ask, ask, ask)
	l.execute()
	if got := l.grantAll(10); fmt.Sprint(got) != "[1]" {
		t.Fatalf("granted %v, want [1]", got)
	}
	n, eff, err := l.Delete(t.Context(), l.tree.Key(1), DeleteOptions{Force: true})
	if err != nil || n != 1 || len(eff.Freed) != 1 {
		t.Fatalf("deleted %d tasks, %v (%v)", n, err, eff)
	}
	if got := l.grantAll(10); fmt.Sprint(got) != "[2]" {
		t.Fatalf("granted %v after the deletion, want [2]", got)
	}
	auditLimits(t, l)
	if _, _, err = l.Delete(t.Context(), l.tree.Key(0), DeleteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if held, waits := l.count("select count(*) from hold"), l.count("select count(*) from waiter"); held+waits > 0 {
		t.Errorf("the tree is deleted, and %d places are held and %d waited for", held, waits)
	}
}
