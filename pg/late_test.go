package pg

import (
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// fires has a run of the minute fired, and gives its key.
func (h *scheduled) fires() int64 {
	h.t.Helper()
	h.decide(fireAt(time.Now().Truncate(time.Minute)))
	claimed, err := h.ClaimFires(h.t.Context(), 1)
	if err != nil || len(claimed) != 1 {
		h.t.Fatal(claimed, err)
	}
	return claimed[0].Key
}

// lateNow has a decision say that a run is late; during is done between what it reads and what it writes.
func (h *scheduled) lateNow(key int64, during func()) {
	h.t.Helper()
	if _, err := h.pool.Exec(h.t.Context(), "update schedule set next_at = now()"); err != nil {
		h.t.Fatal(err)
	}
	h.decide(func(now time.Time, _ *Schedule, _ []Fire) ScheduleDecision {
		if during != nil {
			during()
		}
		return ScheduleDecision{Late: []int64{key}, Decided: now}
	})
}

// lateEvents counts the events of a tree that say that it is late, and says what the last one of all is.
func (h *scheduled) lateEvents(tree dag.TreeKey) (n int, last dag.EventType) {
	h.t.Helper()
	of, events, err := h.Events(h.t.Context(), tree, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	for i, e := range events {
		if e.Sequence != int64(i+1) {
			h.t.Errorf("event %d is number %d", i+1, e.Sequence)
		}
		if last = e.Type; e.Type == dag.EventLate {
			if n++; e.Task != 0 || e.Attempt != 0 || e.At.IsZero() {
				h.t.Errorf("it is %+v", e)
			}
		}
	}
	if int64(len(events)) != of.Sequence {
		h.t.Errorf("there are %d events, and the tree has had %d", len(events), of.Sequence)
	}
	return n, last
}

// TestALateRunSaysSoOnce: the tree of a run has one event of that, whoever decides, and whether it is there or comes later; a run that has ended is not late.
func TestALateRunSaysSoOnce(t *testing.T) {
	t.Parallel()
	h := newScheduled(t)
	begin := func(key int64) *Submitted {
		t.Helper()
		sub := treeOf(&dag.Task{Name: "root", Executor: "p"})
		sub.Fire = key
		out, err := h.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	cancel := func(out *Submitted) {
		t.Helper()
		if _, _, err := h.Delete(t.Context(), out.Tree.Key(0), DeleteOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.pool.Exec(t.Context(), "delete from fire"); err != nil {
			t.Fatal(err)
		}
	}
	marked := func(want bool, key int64) {
		t.Helper()
		var late bool
		if err := h.pool.QueryRow(t.Context(), "select late from fire where key = $1", key).Scan(&late); err != nil || late != want {
			t.Errorf("late: %t, %v", late, err)
		}
	}

	key := h.fires()
	out := begin(key)
	for range 3 {
		h.lateNow(key, nil)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, _ = h.DecideSchedules(t.Context(), 10, func(f *ScheduleFacts) (ScheduleDecision, error) {
				return ScheduleDecision{Late: []int64{key}, Decided: f.Now, Next: &f.Now}, nil
			})
		})
	}
	wg.Wait()
	if n, last := h.lateEvents(out.Tree); n != 1 || last != dag.EventLate || h.late != 1 || len(h.told) != 1 || h.told[0].Tree != out.Tree || h.told[0].Sequence != 2 {
		t.Errorf("a run with a tree: %d events, the last is %d; %d were late, %+v", n, last, h.late, h.told)
	}
	marked(true, key)
	cancel(out)

	key = h.fires()
	h.lateNow(key, nil)
	h.lateNow(key, nil)
	if h.late != 2 || len(h.told) != 1 {
		t.Errorf("a run without a tree: %d were late, %+v", h.late, h.told)
	}
	out = begin(key)
	if n, last := h.lateEvents(out.Tree); n != 1 || last != dag.EventLate {
		t.Errorf("a run whose tree comes later: %d events, the last is %d", n, last)
	}
	h.lateNow(key, nil)
	if n, _ := h.lateEvents(out.Tree); n != 1 || h.late != 2 {
		t.Errorf("it is late again: %d events", n)
	}
	cancel(out)

	key = h.fires()
	h.lateNow(key, func() { out = begin(key) })
	if n, _ := h.lateEvents(out.Tree); n != 1 || h.late != 3 {
		t.Errorf("a run that gets its tree meanwhile: %d events", n)
	}
	cancel(out)

	key = h.fires()
	out = begin(key)
	h.lateNow(key, func() {
		if _, err := h.CancelTree(t.Context(), out.Tree, ""); err != nil {
			t.Fatal(err)
		}
		h.end()
	})
	if n, last := h.lateEvents(out.Tree); n != 0 || last != dag.EventFinal || h.late != 3 {
		t.Errorf("a run that ends meanwhile: %d events, the last is %d; %d were late", n, last, h.late)
	}
	marked(false, key)
}

// TestALateTreeSaysSoOnce: a tree that has not ended when it is due says so once, also one that was held; one that has ended in time does not, and one that nobody executes neither.
func TestALateTreeSaysSoOnce(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	h := &scheduled{Store: s, t: t}
	submit := func(due *dag.Due, hold bool) dag.TreeKey {
		t.Helper()
		root := &dag.Task{Name: "root", Executor: "p", Due: due}
		sub := treeOf(root)
		sub.Hold = hold
		out, err := h.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
		if err != nil {
			t.Fatal(err)
		}
		return out.Tree
	}
	timers := func() (late int) {
		t.Helper()
		for {
			eff, n, err := h.DueTimers(t.Context(), 100, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				return late
			}
			if late += eff.Late; len(eff.Trees) != eff.Late {
				t.Errorf("%d trees are late, and %+v are told", eff.Late, eff.Trees)
			}
		}
	}
	past := &dag.Due{At: time.Date(2020, 1, 2, 6, 0, 0, 0, time.UTC)}
	late, held, later, never := submit(past, false), submit(past, true), submit(&dag.Due{After: time.Hour}, false), submit(nil, false)
	if n := timers(); n != 1 {
		t.Errorf("%d trees are late, want the one that is due", n)
	}
	if _, err := h.pool.Exec(t.Context(), "insert into timer (at, task, attempt, kind) select now(), root, 1, 7 from tree"); err != nil { // again
		t.Fatal(err)
	}
	if n := timers(); n != 2 { // the two others that are executed
		t.Errorf("%d more are late", n)
	}
	for tree, want := range map[dag.TreeKey]int{late: 1, held: 0, later: 1, never: 1} {
		if n, _ := h.lateEvents(tree); n != want {
			t.Errorf("tree %d: %d events, want %d", tree, n, want)
		}
	}
	shown, err := h.Tree(t.Context(), late)
	if err != nil || shown.DueAt == nil || !shown.DueAt.Equal(past.At) || shown.LateAt == nil {
		t.Errorf("it is shown as due at %v, late at %v: %v", shown.DueAt, shown.LateAt, err)
	}
	if shown, err := h.Tree(t.Context(), later); err != nil || shown.DueAt == nil || shown.DueAt.Sub(shown.CreatedAt) != time.Hour {
		t.Errorf("%v after its creation: %v", shown.DueAt, err)
	}
	ended := submit(&dag.Due{After: time.Hour}, false)
	if _, err := h.CancelTree(t.Context(), ended, ""); err != nil {
		t.Fatal(err)
	}
	h.end()
	if _, err := h.pool.Exec(t.Context(), "update timer set at = now()"); err != nil {
		t.Fatal(err)
	}
	if n := timers(); n != 0 {
		t.Error("a tree that has ended is late")
	}
	if n, last := h.lateEvents(ended); n != 0 || last != dag.EventFinal {
		t.Errorf("a tree that has ended: %d events, the last is %d", n, last)
	}
}
