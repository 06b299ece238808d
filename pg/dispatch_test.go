package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/dag"
)

// TestLostMessageIsFoundWhileItsLaneIsBusy: a run counts from when it was published, however often it was looked at, so
// that its messages are missed as soon as all that its lane holds is younger.
func TestLostMessageIsFoundWhileItsLaneIsBusy(t *testing.T) {
	s, _ := openStore(t)
	if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(&dag.Task{ID: "a", Name: "a", Executor: "e"})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "update published set at = now() - interval '1 minute', sent = now() - interval '1 minute'"); err != nil {
		t.Fatal(err)
	}
	for _, look := range []struct {
		fact   string
		oldest time.Time
		known  bool
		again  int
	}{
		{"NATS is away", time.Time{}, false, 0},
		{"something older lies there", time.Now().Add(-2 * time.Minute), true, 0},
		{"all that lies there is younger", time.Now().Add(-30 * time.Second), true, 1},
		{"it was published again just now", time.Now().Add(-30 * time.Second), true, 0},
		{"nothing lies there", time.Time{}, true, 1},
	} {
		again, looked, err := s.ReconcilePublished(t.Context(), 0, 10, func(dag.Lane) (time.Time, bool) { return look.oldest, look.known })
		if err != nil || looked != 1 || len(again) != look.again {
			t.Errorf("%s: %d of %d published again, %v; want %d of 1", look.fact, len(again), looked, err, look.again)
		}
	}
}

// takeReady dispatches from a lane where one share waits at most.
func takeReady(ctx context.Context, s *Store, lane dag.Lane, n int, shared bool) ([]*Work, error) {
	out, err := s.Dispatch(ctx, lane, n, shared, nil)
	if err == nil && out.Several {
		err = errors.New("several shares wait")
	}
	return out.Work, err
}

// waitingTree is a root and its children, all of which wait for room.
func waitingTree(id string, size int) Submission {
	tasks := make([]*dag.Task, size)
	for n := range tasks {
		tasks[n] = &dag.Task{ID: fmt.Sprintf("%s.%d", id, n), Name: "a", Executor: "e"}
		if n > 0 {
			tasks[n].ParentRef = tasks[0].ID
		}
	}
	sub := treeOf(tasks...)
	sub.Room = nil
	return sub
}

// TestAHugeTreeSharesItsLane: calls that share give each tree as much, and each tree's tasks keep their order; the others
// give what got ready first. Every task is given once.
func TestAHugeTreeSharesItsLane(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	sizes := map[dag.TreeKey]int{}
	var trees []dag.TreeKey
	for i, size := range []int{10_000, 30, 7} { // the first one is of three runs
		out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, waitingTree(fmt.Sprint(i), size))
		if err != nil {
			t.Fatal(err)
		}
		trees, sizes[out.Tree] = append(trees, out.Tree), size
	}
	lanes, err := s.Backlog(t.Context())
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	given := map[dag.TreeKey]int{}
	take := func(n int, shared bool) map[dag.TreeKey]int {
		work, err := takeReady(t.Context(), s, lanes[0], n, shared)
		if err != nil {
			t.Fatal(err)
		}
		took := map[dag.TreeKey]int{}
		for _, w := range work {
			tree := w.Key.Tree()
			if w.Key.Index() != given[tree] {
				t.Fatalf("task %d of a tree comes after %d of them", w.Key.Index(), given[tree])
			}
			given[tree]++
			took[tree]++
		}
		return took
	}
	for _, step := range []struct {
		n      int
		shared bool
		want   [3]int // of each tree
	}{
		{5, false, [3]int{5, 0, 0}},
		{12, true, [3]int{4, 4, 4}},
		{12, true, [3]int{4, 4, 3}}, // the third one has no more
		{12, true, [3]int{6, 6, 0}},
		{5000, false, [3]int{5000, 0, 0}}, // beyond its first run
		{100, true, [3]int{50, 16, 0}},
		{100, true, [3]int{100, 0, 0}},
		{100_000, true, [3]int{10_000 - 5 - 4 - 4 - 6 - 5000 - 50 - 100, 0, 0}},
		{100, true, [3]int{}},
	} {
		took := take(step.n, step.shared)
		if got := [3]int{took[trees[0]], took[trees[1]], took[trees[2]]}; got != step.want {
			t.Errorf("of %d, shared %t: %v, want %v", step.n, step.shared, got, step.want)
		}
	}
	for tree, n := range sizes {
		if given[tree] != n {
			t.Errorf("%d of %d tasks of a tree were given", given[tree], n)
		}
	}
}

// TestTwoWhoDispatchAtOnce: whatever several take from one lane at once, each task is given once.
func TestTwoWhoDispatchAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	const size = 600
	for i := range 3 {
		if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, waitingTree(fmt.Sprint(i), size)); err != nil {
			t.Fatal(err)
		}
	}
	lanes, err := s.Backlog(t.Context())
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	var mu sync.Mutex
	given := map[dag.Key]int{}
	total := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(given)
	}
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for calls := 0; total() < 3*size && calls < 10_000; calls++ {
				work, err := takeReady(t.Context(), s, lanes[0], 3, calls%2 == 0)
				if err != nil {
					return err
				}
				mu.Lock()
				for _, w := range work {
					given[w.Key]++
				}
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(given) != 3*size {
		t.Errorf("%d of %d tasks were given", len(given), 3*size)
	}
	for k, n := range given {
		if n != 1 {
			t.Fatalf("task %d was given %d times", k.Index(), n)
		}
	}
	var left, published int
	if err := s.pool.QueryRow(t.Context(), "select (select count(*) from ready), (select sum(n) from published)").Scan(&left, &published); err != nil {
		t.Fatal(err)
	}
	if left != 0 || published != 3*size {
		t.Errorf("%d runs are left and %d tasks published, want all", left, published)
	}
}

// TestASlotAtATimeIsShared: where one task at a time is taken, every tree gets its turn.
func TestASlotAtATimeIsShared(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	// 1000 tasks of one tree and one of another, as far as the queue knows.
	if _, err := s.pool.Exec(t.Context(), `insert into ready (pool, priority, first, n, attempt)
		values (1, 2, 7::bigint << 24, 1000, 1), (1, 2, 8::bigint << 24, 1, 1)`); err != nil {
		t.Fatal(err)
	}
	for calls := 1; ; calls++ {
		if _, err := takeReady(t.Context(), s, dag.Lane{Pool: 1, Priority: dag.Normal}, 1, true); err != nil {
			t.Fatal(err)
		}
		var waits bool
		if err := s.pool.QueryRow(t.Context(), "select exists (select from ready where first = 8::bigint << 24)").Scan(&waits); err != nil {
			t.Fatal(err)
		}
		if !waits {
			return
		}
		if calls == 100 { // each is a throw of a coin
			t.Fatal("the other tree never gets its turn")
		}
	}
}

// TestWhatWasInterruptedGoesFirst: tasks that had their turn are dispatched ahead of what waits, in their order; what fails queues up.
func TestWhatWasInterruptedGoesFirst(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, waitingTree("t", 12))
	if err != nil {
		t.Fatal(err)
	}
	lanes, err := h.s.Backlog(t.Context())
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	take := func(n int) (got []int) {
		t.Helper()
		work, err := takeReady(t.Context(), h.s, lanes[0], n, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range work {
			if w.Attempt == 1 {
				h.waiting = append(h.waiting, w)
			}
			got = append(got, w.Key.Index())
		}
		return got
	}
	first := take(6)
	var claims []dag.Claim
	for _, w := range h.waiting {
		claims = append(claims, h.claim(w))
	}
	if _, _, err := h.s.Claim(t.Context(), claims); err != nil {
		t.Fatal(err)
	}
	settle := func(of []int, outcome dag.Outcome) {
		t.Helper()
		var results []dag.Result
		for _, i := range of {
			results = append(results, dag.Result{Task: out.Tree.Key(i), Attempt: 1, Worker: h.worker, Outcome: outcome, Unstarted: outcome == dag.OutcomeReturned})
		}
		if _, _, err := h.s.Settle(t.Context(), results, func(int32, dag.Priority, int32) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	settle(first[4:5], dag.OutcomeCompleted)
	settle([]int{first[3], first[1]}, dag.OutcomeReturned)
	settle([]int{first[0]}, dag.OutcomeReturned)
	if _, err := h.s.TakeBack(t.Context(), h.worker, []dag.Key{out.Tree.Key(first[2]), out.Tree.Key(first[5])}, true, nil); err != nil {
		t.Fatal(err)
	}
	// Ahead of all that wait, in the order in which they were interrupted.
	want := []int{first[1], first[3], first[0], first[2], first[5]}
	if got := take(5); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := take(100); len(got) != 6 || !slices.IsSorted(got) {
		t.Errorf("the others are %v", got)
	}
}

// TestResultsOfManyDependencies: what a task with many dependencies starts from is what is looked up one by one, whether they
// lie close together, and are read by a sweep, or far apart.
func TestResultsOfManyDependencies(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	const size = 2000
	order := rand.Perm(size)
	for _, c := range []struct {
		name  string
		n     int // dependencies
		span  int // among so many tasks
		sweep bool
	}{
		{"close", MaxInlineDeps + 1, 400, true},
		{"just close enough", 300, 1200, true},
		{"too far apart", 300, 1201, false},
		{"few", MaxInlineDeps, 400, false},
	} {
		id := func(i int) string { return fmt.Sprintf("%s %d", c.name, i) }
		tasks := make([]*dag.Task, size)
		for i := range tasks {
			tasks[i] = &dag.Task{ID: id(i), Name: "a", Executor: "e", ParentRef: id(0)}
		}
		tasks[0].ParentRef = ""
		last := tasks[size-1]
		refs := []int{c.span, 1}
		for _, i := range order {
			if i > 1 && i < c.span && len(refs) < c.n {
				refs = append(refs, i)
			}
		}
		for _, i := range refs {
			last.Dependencies = append(last.Dependencies, dag.Dependency{Ref: id(i), Optional: i%5 == 0})
		}
		out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(tasks...))
		if err != nil {
			t.Fatal(err)
		}
		first, k := out.Tree.Key(0), out.Tree.Key(size-1)
		// Two of three completed, each in its second attempt at most, and some without a result.
		if _, err := s.pool.Exec(t.Context(), `
			with a as (insert into attempt (task, number, outcome, counted, finished_at, result)
				select key, n, 1, true, now(), case when key % 7 <> 0 then json_build_object('of', key, 'attempt', n) end
				from task cross join generate_series(1, 2) n where key between $1 and $2)
			update task set attempt = 1 + key % 2, state = case when key % 3 <> 0 then 6 else 7 end where key between $1 and $2`, first, k-1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.pool.Exec(t.Context(), "update task set attempt = 1, state = 4 where key = $1", k); err != nil {
			t.Fatal(err)
		}
		sw, err := s.sweepOf(t.Context(), &Work{Key: k, Deps: int32(len(last.Dependencies))})
		if err != nil || (sw != nil) != c.sweep {
			t.Fatalf("%s: %d dependencies are read by a sweep: %v (%v), want %v", c.name, len(last.Dependencies), sw != nil, err, c.sweep)
		}
		rows, err := s.pool.Query(t.Context(), sql("LoadDependencyResults"), []dag.Key{k}, dag.MaxTreeTasks)
		if err != nil {
			t.Fatal(err)
		}
		var want []dag.DependencyResult
		bytes := 0
		if err := eachRow(rows, func(v *values) {
			v.key()
			r := dag.DependencyResult{Ref: v.text(), Skipped: v.boolean(), Result: v.json()}
			v.bytea() // nothing is sealed
			want, bytes = append(want, r), bytes+len(r.Result)
		}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Work(t.Context(), k, 1, bytes)
		if err != nil || !reflect.DeepEqual(got.Results, want) {
			t.Errorf("%s: %d results, %v, not the same as %d looked up one by one", c.name, len(got.Results), err, len(want))
		}
		if _, err := s.Work(t.Context(), k, 1, bytes-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: one byte too many: %v, want %v", c.name, err, ErrTooLarge)
		}
	}
}

// TestDependenciesOfATaskThatIsGone: Postgres may have forgotten a task since it was looked at, by a failover.
func TestDependenciesOfATaskThatIsGone(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	if _, err := s.sweepOf(t.Context(), &Work{Key: dag.TreeKey(7).Key(0), Deps: MaxInlineDeps + 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want %v", err, ErrNotFound)
	}
}

// TestWhatMayBeClaimedAhead: whatever way a task takes to NATS, its work says whether it may be claimed before it has a slot.
func TestWhatMayBeClaimedAhead(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	tree := func(id string) Submission {
		return treeOf(&dag.Task{ID: id, Name: "root"}, &dag.Task{ID: id + ".plain", Name: "p", Executor: "e", ParentRef: id},
			&dag.Task{ID: id + ".once", Name: "o", Executor: "e", ParentRef: id, OnLost: dag.FailLost},
			&dag.Task{ID: id + ".next", Name: "n", Executor: "e", ParentRef: id, Dependencies: []dag.Dependency{{Ref: id + ".plain"}}},
			&dag.Task{ID: id + ".last", Name: "l", Executor: "e", ParentRef: id, OnLost: dag.FailLost, Dependencies: []dag.Dependency{{Ref: id + ".plain"}}})
	}
	allRoom := func(int32, dag.Priority, int32) bool { return true }
	for id, room := range map[string]Room{"at once": allRoom, "later": nil} {
		sub := tree(id)
		sub.Room = room
		out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
		if err != nil {
			t.Fatal(err)
		}
		work := out.Effects.Publish
		if room == nil {
			lanes, err := h.s.Backlog(t.Context())
			if err != nil || len(lanes) != 1 || len(work) > 0 {
				t.Fatal(lanes, work, err)
			}
			if work, err = takeReady(t.Context(), h.s, lanes[0], 10, false); err != nil {
				t.Fatal(err)
			}
		}
		check := func(how string, work []*Work, want map[int]bool) {
			t.Helper()
			got := map[int]bool{}
			for _, w := range work {
				got[w.Key.Index()] = w.MayBeClaimedAhead()
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s, %s: got %v, want %v", id, how, got, want)
			}
		}
		check("first", work, map[int]bool{1: true, 2: false})
		if _, err := h.s.pool.Exec(t.Context(), "update task set flags = flags & ~$1::integer", int(dag.FlagOnce)); err != nil {
			t.Fatal(err)
		}
		once := work[slices.IndexFunc(work, func(w *Work) bool { return w.Key.Index() == 2 })]
		check("stored by version 0.3", []*Work{queued(t, h.other, once)[once.Key]}, map[int]bool{2: false})
		plain := work[slices.IndexFunc(work, func(w *Work) bool { return w.Key.Index() == 1 })]
		if verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{{Task: plain.Key, Attempt: 1, Worker: h.worker}}); err != nil || verdicts[0] != dag.Yes {
			t.Fatal(verdicts, err)
		}
		_, eff, err := h.s.Settle(t.Context(), []dag.Result{{Task: plain.Key, Attempt: 1, Worker: h.worker, Outcome: dag.OutcomeReturned}}, allRoom)
		if err != nil {
			t.Fatal(err)
		}
		check("handed back", eff.Publish, map[int]bool{1: false})
		if verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{{Task: plain.Key, Attempt: 2, Worker: h.worker}}); err != nil || verdicts[0] != dag.Yes {
			t.Fatal(verdicts, err)
		}
		if _, eff, err = h.s.Settle(t.Context(), []dag.Result{{Task: plain.Key, Attempt: 2, Worker: h.worker, Outcome: dag.OutcomeCompleted}}, allRoom); err != nil {
			t.Fatal(err)
		}
		check("unlocked", eff.Publish, map[int]bool{3: true, 4: false})
	}
}
