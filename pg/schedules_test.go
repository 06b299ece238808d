package pg

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// scheduled is a store with a schedule of every minute, which began an hour ago.
type scheduled struct {
	*Store
	t    *testing.T
	of   *Schedule
	late int            // runs that were marked
	told []TreeSequence // of their trees
}

func newScheduled(t *testing.T) *scheduled {
	t.Helper()
	s, _ := openStore(t)
	h := &scheduled{Store: s, t: t}
	h.of = h.create("nightly", nil, 0)
	return h
}

func (h *scheduled) create(id string, trigger *int64, ends dag.FireEnds) *Schedule {
	h.t.Helper()
	at := time.Now().Add(-time.Hour)
	of := &Schedule{ID: id, UserID: "ann", Spec: []byte(`{"cron":"* * * * *"}`), Body: []byte(`{"tree":[{"name":"secret"}]}`), CreatedBy: "ann", DecidedAt: at, NextAt: &at, Trigger: trigger, TriggerEnds: ends}
	if trigger != nil {
		of.NextAt = nil
	}
	if err := h.CreateSchedule(h.t.Context(), of); err != nil {
		h.t.Fatal(err)
	}
	return of
}

// decide has what is due decided by f, once.
func (h *scheduled) decide(f func(now time.Time, of *Schedule, open []Fire) ScheduleDecision) (n int) {
	h.t.Helper()
	out, err := h.DecideSchedules(h.t.Context(), 100, func(facts *ScheduleFacts) (ScheduleDecision, error) { return f(facts.Now, facts.Of, facts.Open), nil })
	if err != nil {
		h.t.Fatal(err)
	}
	h.late, h.told = h.late+out.Late, append(h.told, out.Trees...)
	return out.N
}

// fire has the next run made due, which every caller at once decides to be that of the same instant.
func fireAt(instant time.Time) func(time.Time, *Schedule, []Fire) ScheduleDecision {
	return func(now time.Time, of *Schedule, open []Fire) ScheduleDecision {
		return ScheduleDecision{New: []Fire{{Kind: dag.FireInstant, Instant: instant, State: dag.FireDue}}, Decided: now, Counted: of.Counted + 1}
	}
}

// begin stores the tree of a run: a group, which ends at once.
func (h *scheduled) begin(key int64) (*Submitted, error) {
	sub := treeOf(&dag.Task{Name: "root"})
	sub.Fire = key
	return h.Submit(h.t.Context(), dag.DefaultNamespaceKey, sub)
}

func (h *scheduled) end() {
	h.t.Helper()
	for more := true; more; {
		var err error
		if _, more, err = h.Followups(h.t.Context(), nil); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *scheduled) states(of *Schedule) (all []dag.FireState) {
	h.t.Helper()
	fires, err := h.Fires(h.t.Context(), of.Key, nil, 100)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range fires {
		all = append(all, f.State)
	}
	return all
}

func (h *scheduled) mustBe(of *Schedule, want ...dag.FireState) {
	h.t.Helper()
	if got := h.states(of); !slices.Equal(got, want) {
		h.t.Fatalf("runs of %s are %v, want %v", of.ID, got, want)
	}
}

// TestARunHasOneTree: whoever decides, and however many store its tree, there is one; its end is written down, and the schedule looks what is next.
func TestARunHasOneTree(t *testing.T) {
	h := newScheduled(t)
	instant := time.Now().Truncate(time.Minute)
	if n := h.decide(fireAt(instant)); n != 1 {
		t.Fatalf("decided %d schedules", n)
	}
	if n := h.decide(fireAt(instant)); n != 0 {
		t.Fatal("there is nothing to decide any more")
	}
	claimed, err := h.ClaimFires(t.Context(), 10)
	if err != nil || len(claimed) != 1 || claimed[0].Of.ID != "nightly" || string(claimed[0].Of.Body) != string(h.of.Body) || !claimed[0].Instant.Equal(instant) {
		t.Fatalf("%+v %v", claimed, err)
	}
	if again, err := h.ClaimFires(t.Context(), 10); len(again) != 0 || err != nil {
		t.Fatal("it is another's", again, err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var ids []string
	for range 8 {
		wg.Go(func() {
			out, err := h.begin(claimed[0].Key)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				ids = append(ids, out.RootID)
			} else if !errors.Is(err, ErrFired) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Fatalf("%d trees", len(ids))
	}
	h.mustBe(h.of, dag.FireRunning)
	var trees int
	if err := h.pool.QueryRow(t.Context(), "select count(*) from tree").Scan(&trees); err != nil || trees != 1 {
		t.Fatal(trees, err)
	}
	h.end()
	h.decide(func(time.Time, *Schedule, []Fire) ScheduleDecision {
		t.Error("nobody has written down the end")
		return ScheduleDecision{}
	})
	if n, more, err := h.EndFires(t.Context()); n != 1 || more || err != nil {
		t.Fatal(n, more, err)
	}
	h.mustBe(h.of, dag.FireCompleted)
	if n := h.decide(func(now time.Time, _ *Schedule, open []Fire) ScheduleDecision {
		if len(open) > 0 {
			t.Errorf("%v are open", open)
		}
		return ScheduleDecision{Decided: now}
	}); n != 1 {
		t.Error("the schedule did not look what is next")
	}
}

// TestAnInstantIsDecidedOnce, also where two decide it, one after the other.
func TestAnInstantIsDecidedOnce(t *testing.T) {
	h := newScheduled(t)
	instant := time.Now().Truncate(time.Minute)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			for range 10 {
				h.decide(func(now time.Time, of *Schedule, open []Fire) ScheduleDecision {
					d := fireAt(instant)(now, of, open)
					d.Next = &now // at once again
					return d
				})
			}
		})
	}
	wg.Wait()
	h.mustBe(h.of, dag.FireDue)
}

// TestARunIsOpenUntilItsTreeHasEnded: not until somebody has written that down.
func TestARunIsOpenUntilItsTreeHasEnded(t *testing.T) {
	h := newScheduled(t)
	h.decide(func(now time.Time, of *Schedule, open []Fire) ScheduleDecision {
		d := fireAt(now.Truncate(time.Minute))(now, of, open)
		d.Next = &now
		return d
	})
	claimed, err := h.ClaimFires(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.begin(claimed[0].Key); err != nil {
		t.Fatal(err)
	}
	open := func() (n int) {
		h.decide(func(now time.Time, _ *Schedule, open []Fire) ScheduleDecision {
			n = len(open)
			return ScheduleDecision{Decided: now, Next: &now}
		})
		return n
	}
	if n := open(); n != 1 {
		t.Errorf("%d are open, and it runs", n)
	}
	h.end()
	h.mustBe(h.of, dag.FireRunning)
	if n := open(); n != 0 {
		t.Errorf("%d are open, and it has ended", n)
	}
}

// TestARunWithoutATree: the reason is written down; later attempts change nothing.
func TestARunWithoutATree(t *testing.T) {
	h := newScheduled(t)
	h.decide(fireAt(time.Now().Truncate(time.Minute)))
	claimed, err := h.ClaimFires(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.RefuseFire(t.Context(), claimed[0].Key, dag.FireFailed, "the tree is invalid"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.begin(claimed[0].Key); !errors.Is(err, ErrFired) {
		t.Error(err)
	}
	h.mustBe(h.of, dag.FireFailed)
	fires, err := h.Fires(t.Context(), h.of.Key, nil, 10)
	if err != nil || fires[0].Reason != "the tree is invalid" || fires[0].EndedAt == nil {
		t.Errorf("%+v %v", fires[0], err)
	}
}

// TestARefusedRunBeginsRunsOfOthers if it has failed; one that is skipped is none.
func TestARefusedRunBeginsRunsOfOthers(t *testing.T) {
	for state, want := range map[dag.FireState][]dag.FireState{dag.FireFailed: {dag.FireQueued}, dag.FireSkipped: nil} {
		h := newScheduled(t)
		failed := h.create("failed", &h.of.Key, 1<<dag.FireFailed)
		completed := h.create("completed", &h.of.Key, 1<<dag.FireCompleted)
		h.decide(func(now time.Time, of *Schedule, open []Fire) ScheduleDecision {
			if of.ID != h.of.ID {
				return ScheduleDecision{Decided: now}
			}
			return fireAt(now.Truncate(time.Minute))(now, of, open)
		})
		claimed, err := h.ClaimFires(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a coordinator that does it again
			if err := h.RefuseFire(t.Context(), claimed[0].Key, state, "so"); err != nil {
				t.Fatal(err)
			}
		}
		h.mustBe(h.of, state)
		h.mustBe(failed, want...)
		h.mustBe(completed)
	}
}

// TestChangesCountRuns that they decide.
func TestChangesCountRuns(t *testing.T) {
	h := newScheduled(t)
	if _, _, err := h.ChangeSchedule(t.Context(), dag.DefaultNamespaceKey, "nightly", "ann", Fire{}, func(f *ScheduleFacts) (ScheduleDecision, error) {
		f.Of.Counted = 7
		return ScheduleDecision{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if of, err := h.Schedule(t.Context(), dag.DefaultNamespaceKey, "nightly"); err != nil || of.Counted != 7 {
		t.Errorf("%+v %v", of, err)
	}
}

// TestAnEndBeginsRunsOfOthers: once for each run and end, at its instant; and of a deletion, too, the run has ended.
func TestAnEndBeginsRunsOfOthers(t *testing.T) {
	h := newScheduled(t)
	after := h.create("after", &h.of.Key, 1<<dag.FireCompleted)
	failed := h.create("failed", &h.of.Key, 1<<dag.FireFailed|1<<dag.FireCancelled)
	instant := time.Now().Truncate(time.Minute)
	h.decide(func(now time.Time, of *Schedule, open []Fire) ScheduleDecision {
		if of.ID != h.of.ID { // all are looked at once, as they are new
			return ScheduleDecision{Decided: now}
		}
		return fireAt(instant)(now, of, open)
	})
	claimed, err := h.ClaimFires(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.begin(claimed[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	h.end()
	for range 2 { // the end is told twice
		if _, err := h.pool.Exec(t.Context(), "insert into followup (kind, task) values ($1, $2) on conflict do nothing", FollowupFire, out.Tree.Key(0)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.EndFires(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.mustBe(failed)
	h.mustBe(after, dag.FireQueued)
	fires, err := h.Fires(t.Context(), after.Key, nil, 10)
	if err != nil || !fires[0].Instant.Equal(instant) || fires[0].Kind != dag.FireEvent {
		t.Errorf("%+v %v", fires[0], err)
	}
	seen := map[string]int{}
	h.decide(func(now time.Time, of *Schedule, open []Fire) ScheduleDecision {
		seen[of.ID] = len(open)
		return ScheduleDecision{Decided: now}
	})
	if seen["after"] != 1 || len(seen) != 2 {
		t.Errorf("looked what is next: %v", seen)
	}
	if by, err := h.DeleteSchedule(t.Context(), dag.DefaultNamespaceKey, "nightly", 0); !errors.Is(err, ErrTaken) || by != "after" {
		t.Errorf("%q %v", by, err)
	}
}

// TestARunIsToldToEnd: one that is due has no tree any more, whoever is about to store it, and its schedule looks what is next; of one that has got a tree since the decision was made,
// the tree is cancelled.
func TestARunIsToldToEnd(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{false, true} {
		h := newScheduled(t)
		h.decide(fireAt(time.Now().Truncate(time.Minute)))
		claimed, err := h.ClaimFires(t.Context(), 1)
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		key := claimed[0].Key
		sub := treeOf(&dag.Task{Name: "root", Executor: "p"})
		sub.Fire = key
		if _, err := h.pool.Exec(t.Context(), "update schedule set next_at = now()"); err != nil {
			t.Fatal(err)
		}
		var out *Submitted
		h.decide(func(now time.Time, _ *Schedule, open []Fire) ScheduleDecision {
			if len(open) != 1 || open[0].Tree != 0 {
				t.Errorf("%+v are open", open)
			}
			if begun {
				if out, err = h.Submit(t.Context(), dag.DefaultNamespaceKey, sub); err != nil {
					t.Error(err)
				}
			}
			return ScheduleDecision{Stop: []int64{key}, Decided: now}
		})
		if !begun {
			h.mustBe(h.of, dag.FireCancelled)
			if _, err := h.Submit(t.Context(), dag.DefaultNamespaceKey, sub); !errors.Is(err, ErrFired) {
				t.Error(err)
			}
			if n := h.decide(func(now time.Time, _ *Schedule, _ []Fire) ScheduleDecision { return ScheduleDecision{Decided: now} }); n != 1 {
				t.Error("nobody looks what is next")
			}
			continue
		}
		h.mustBe(h.of, dag.FireRunning)
		var cancelled bool
		if err := h.pool.QueryRow(t.Context(), "select cancelled_at is not null from tree where key = $1", out.Tree).Scan(&cancelled); err != nil || !cancelled {
			t.Error("its tree goes on", err)
		}
	}
}

// TestARunThatIsCancelledWithoutATreeBeginsRunsOfOthers, also of such as are decided at the same time.
func TestARunThatIsCancelledWithoutATreeBeginsRunsOfOthers(t *testing.T) {
	t.Parallel()
	h := newScheduled(t)
	cancelled, completed := h.create("cancelled", &h.of.Key, 1<<dag.FireCancelled), h.create("completed", &h.of.Key, 1<<dag.FireCompleted)
	decide := func(f func(time.Time, *Schedule, []Fire) ScheduleDecision) int {
		t.Helper()
		return h.decide(func(now time.Time, of *Schedule, open []Fire) ScheduleDecision {
			if of.ID != h.of.ID {
				return ScheduleDecision{Decided: now}
			}
			return f(now, of, open)
		})
	}
	decide(fireAt(time.Now().Truncate(time.Minute)))
	claimed, err := h.ClaimFires(t.Context(), 1)
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	for range 2 { // a coordinator that does it again
		if _, err := h.pool.Exec(t.Context(), "update schedule set next_at = now()"); err != nil {
			t.Fatal(err)
		}
		decide(func(now time.Time, _ *Schedule, _ []Fire) ScheduleDecision {
			return ScheduleDecision{Stop: []int64{claimed[0].Key}, Decided: now}
		})
		h.mustBe(h.of, dag.FireCancelled)
		h.mustBe(cancelled, dag.FireQueued)
		h.mustBe(completed)
	}
	if _, err := h.pool.Exec(t.Context(), "delete from fire where kind = 4; update fire set state = 2; update schedule set next_at = now()"); err != nil {
		t.Fatal(err)
	}
	decide(func(now time.Time, _ *Schedule, _ []Fire) ScheduleDecision {
		return ScheduleDecision{Stop: []int64{claimed[0].Key}, Decided: now}
	})
	if n := decide(func(now time.Time, _ *Schedule, _ []Fire) ScheduleDecision { return ScheduleDecision{Decided: now} }); n != 2 {
		t.Errorf("%d look what is next, want the schedule and the one that begins with its end", n)
	}
}

// TestADeletedTreeEndsItsRun.
func TestADeletedTreeEndsItsRun(t *testing.T) {
	h := newScheduled(t)
	h.decide(fireAt(time.Now().Truncate(time.Minute)))
	claimed, err := h.ClaimFires(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	sub := treeOf(&dag.Task{Name: "root", Executor: "p"})
	sub.Fire = claimed[0].Key
	out, err := h.Submit(t.Context(), dag.DefaultNamespaceKey, sub)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Delete(t.Context(), out.Tree.Key(0), DeleteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	h.mustBe(h.of, dag.FireCancelled)
}

// TestChangesOfSchedules: each raises the revision; what is asked for twice by the same key is one run.
func TestChangesOfSchedules(t *testing.T) {
	h := newScheduled(t)
	var first *Fire
	for n := range 2 {
		of, run, err := h.ChangeSchedule(t.Context(), dag.DefaultNamespaceKey, "nightly", "bob", Fire{Kind: dag.FireTrigger, Cause: "k"}, func(facts *ScheduleFacts) (ScheduleDecision, error) {
			of := facts.Of
			if n > 0 || string(of.Body) != string(h.of.Body) {
				t.Errorf("%d: %s", n, of.Body)
			}
			of.PausedAt, of.PausedBy, of.PauseReason = &facts.Now, "bob", "holiday"
			return ScheduleDecision{New: []Fire{{Kind: dag.FireTrigger, Instant: facts.Now, Cause: "k", State: dag.FireDue, Parameters: []byte(`{"day":"x"}`)}}}, nil
		})
		if err != nil || run == nil || first != nil && run.Key != first.Key {
			t.Fatal(of, run, err)
		}
		first = run
		got, err := h.Schedule(t.Context(), dag.DefaultNamespaceKey, "nightly")
		if err != nil || got.Revision != 2 || got.PauseReason != "holiday" || got.UpdatedBy != "bob" || string(got.Body) != string(h.of.Body) {
			t.Errorf("%+v %v", got, err)
		}
	}
	h.mustBe(h.of, dag.FireDue)
	if claimed, err := h.ClaimFires(t.Context(), 10); err != nil || len(claimed) != 1 || string(claimed[0].Parameters) != `{"day":"x"}` {
		t.Error(claimed, err)
	}
	if _, _, err := h.ChangeSchedule(t.Context(), dag.DefaultNamespaceKey, "none", "bob", Fire{}, nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := h.CreateSchedule(t.Context(), &Schedule{ID: "nightly", Spec: []byte("{}"), CreatedBy: "a"}); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}
	for i := range 3 {
		h.create(fmt.Sprint("s", i), nil, 0)
	}
	list, err := h.Schedules(t.Context(), dag.DefaultNamespaceKey, "nightly", "ann", 2)
	if err != nil || len(list) != 2 || list[0].ID != "s0" || list[0].Body != nil {
		t.Error(list, err)
	}
	if _, err := h.DeleteSchedule(t.Context(), dag.DefaultNamespaceKey, "nightly", 0); err != nil {
		t.Error(err)
	}
	h.mustBe(h.of)
}

// TestABackfill: its runs are apart from the others, and each instant is one, also where somebody asks for it again.
func TestABackfill(t *testing.T) {
	h := newScheduled(t)
	from := time.Now().Add(-time.Hour).Truncate(time.Minute)
	keys := map[int64]bool{}
	for range 2 {
		_, _, err := h.ChangeSchedule(t.Context(), dag.DefaultNamespaceKey, "nightly", "bob", Fire{}, func(facts *ScheduleFacts) (ScheduleDecision, error) {
			facts.Of.NextAt = &facts.Now
			return ScheduleDecision{Backfill: &Backfill{From: from, To: from.Add(time.Hour), Concurrent: 2, Parameters: []byte(`{"day":"y"}`)}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	step := func() {
		out, err := h.DecideSchedules(t.Context(), 10, func(facts *ScheduleFacts) (d ScheduleDecision, err error) {
			d.Decided, d.Next = facts.Now, &facts.Now
			for _, b := range facts.Backfills {
				keys[b.Key] = true
				at := from
				if b.Decided != nil {
					at = b.Decided.Add(time.Minute)
				}
				d.New = append(d.New, Fire{Kind: dag.FireBackfill, Instant: at, Cause: fmt.Sprint(b.Key), Backfill: b.Key, State: dag.FireDue})
				d.Backfills = append(d.Backfills, Backfill{Key: b.Key, Decided: &at, Ended: !at.Equal(from)})
			}
			return d, nil
		})
		if err != nil || out.N != 1 {
			t.Fatal(out.N, err)
		}
	}
	step()
	step()
	step() // both are at their ends
	if len(keys) != 2 {
		t.Error(keys)
	}
	h.mustBe(h.of, dag.FireDue, dag.FireDue, dag.FireDue, dag.FireDue)
	claimed, err := h.ClaimFires(t.Context(), 10)
	if err != nil || len(claimed) != 4 || string(claimed[3].Parameters) != `{"day":"y"}` {
		t.Error(claimed, err)
	}
}

// TestAuditOfSchedules: what is forgotten of schedules is found, and nothing else is.
func TestAuditOfSchedules(t *testing.T) {
	t.Parallel()
	h := newScheduled(t)
	ctx := t.Context()
	do := func(statement string, args ...any) {
		t.Helper()
		if _, err := h.pool.Exec(ctx, statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	kinds := func() (out []string) {
		t.Helper()
		found, err := h.AuditRest(ctx, AuditOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range found {
			out = append(out, v.Kind)
		}
		slices.Sort(out)
		return out
	}
	if got := kinds(); !slices.Equal(got, []string{"schedule_overdue"}) { // it began an hour ago
		t.Errorf("got %q", got)
	}
	instants := []time.Time{time.Now().Add(-4 * time.Minute).Truncate(time.Minute), time.Now().Add(-3 * time.Minute).Truncate(time.Minute), time.Now().Add(-2 * time.Minute).Truncate(time.Minute),
		time.Now().Add(-time.Minute).Truncate(time.Minute)}
	h.decide(func(now time.Time, _ *Schedule, _ []Fire) (d ScheduleDecision) {
		for _, at := range instants {
			d.New = append(d.New, Fire{Kind: dag.FireInstant, Instant: at, State: dag.FireDue})
		}
		d.Decided = now
		return d
	})
	due, err := h.ClaimFires(ctx, 10)
	if err != nil || len(due) != len(instants) {
		t.Fatal(due, err)
	}
	for _, f := range due[1:] {
		if _, err := h.begin(f.Key); err != nil {
			t.Fatal(err)
		}
	}
	if got := kinds(); len(got) > 0 { // all of it is young
		t.Errorf("got %q", got)
	}
	do("update fire set started_at = started_at - interval '1 hour'")
	if got := kinds(); !slices.Equal(got, []string{"run_overdue"}) {
		t.Errorf("got %q", got)
	}
	do("delete from followup where task = (select root from tree where fire = $1)", due[1].Key)
	do("update tree set finished_at = now() - interval '1 hour' where fire = $1", due[1].Key)
	do("update fire set tree = -1 where key = $1", due[2].Key)
	do("update tree set fire = -1 where fire = $1", due[3].Key)
	if got := kinds(); !slices.Equal(got, []string{"run_not_ended", "run_overdue", "run_without_tree", "tree_of_another_run"}) {
		t.Errorf("got %q", got)
	}
}

// TestRunsAreForgottenAfterAYear, unless they are open.
func TestRunsAreForgottenAfterAYear(t *testing.T) {
	t.Parallel()
	h := newScheduled(t)
	ctx := t.Context()
	at := time.Now().Truncate(time.Minute)
	h.decide(func(now time.Time, _ *Schedule, _ []Fire) ScheduleDecision {
		return ScheduleDecision{Decided: now, New: []Fire{
			{Kind: dag.FireInstant, Instant: at.Add(-2 * time.Minute), State: dag.FireMissed}, {Kind: dag.FireInstant, Instant: at.Add(-time.Minute), State: dag.FireSkipped},
			{Kind: dag.FireInstant, Instant: at, State: dag.FireDue}}}
	})
	for _, c := range []struct {
		age  string
		left int
	}{{"365 days", 3}, {"367 days", 1}} {
		if _, err := h.pool.Exec(ctx, "update fire set decided_at = now() - $1::text::interval", c.age); err != nil {
			t.Fatal(err)
		}
		if more, err := h.ForgetFires(ctx); err != nil || more {
			t.Fatal(more, err)
		}
		left, err := h.Fires(ctx, h.of.Key, nil, 10)
		if err != nil || len(left) != c.left {
			t.Errorf("after %s: %d runs, %v", c.age, len(left), err)
		}
	}
}

// TestRetentionOfSchedulesNeedsALevel: nothing is stored of one while a coordinator lives that would not heed it.
func TestRetentionOfSchedulesNeedsALevel(t *testing.T) {
	t.Parallel()
	h := newScheduled(t)
	ctx := t.Context()
	must(t, announce(ctx, h.Store, "old", dag.KeptRunsLevel-1))
	kept := func() error {
		return h.CreateSchedule(ctx, &Schedule{ID: "kept", Spec: []byte("{}"), CreatedBy: "a", Level: dag.KeptRunsLevel})
	}
	change := func() error {
		_, _, err := h.ChangeSchedule(ctx, dag.DefaultNamespaceKey, "nightly", "bob", Fire{}, func(f *ScheduleFacts) (ScheduleDecision, error) {
			f.Of.Spec, f.Of.Level = []byte(`{"retention":"30d"}`), dag.KeptRunsLevel
			return ScheduleDecision{}, nil
		})
		return err
	}
	for name, f := range map[string]func() error{"make": kept, "change": change} {
		if err := f(); !refusedForLevel(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if of, err := h.Schedule(ctx, dag.DefaultNamespaceKey, "nightly"); err != nil || of.Revision != 1 || countRows(t, h.Store, "schedule") != 1 {
		t.Errorf("something is stored: %+v %v", of, err)
	}
	must(t, h.LeaveCoordinator(ctx, "old"))
	if err := errors.Join(kept(), change()); err != nil {
		t.Error(err)
	}
}
