package pg

import (
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// checkReady checks since when tasks say that they were ready: as long as they wait for others they say nothing, and what starts was ready before. In trees that
// run once, none was ready before all that it depends on had ended.
func (h *twoStores) checkReady() {
	h.t.Helper()
	var waiting, ready, late, early int
	if err := h.s.pool.QueryRow(h.t.Context(), `select count(*) filter (where t.state in (0, 1, 2) and t.ready_at is not null),
		count(*) filter (where t.state in (3, 4) and t.ready_at is null),
		count(*) filter (where t.ready_at > coalesce(t.started_at, a.started_at)),
		count(*) filter (where t.state in (3, 4, 6) and exists (select from edge e join task d on d.key = e.dependency join attempt b on b.task = d.key and b.number = d.attempt
			where e.dependent = t.key and b.finished_at > t.ready_at))
		from task t left join attempt a on a.task = t.key and a.number = t.attempt`).Scan(&waiting, &ready, &late, &early); err != nil {
		h.t.Fatal(err)
	}
	if !h.plain {
		early = 0
	}
	if waiting+ready+late+early > 0 {
		h.t.Errorf("%d tasks that wait say when they were ready; %d that are ready, or run, don't; %d started before, and what %d depend on ended after it", waiting, ready, late, early)
	}
}

// TestReadyAt goes through the ways in which a task gets ready.
func TestReadyAt(t *testing.T) {
	t.Parallel()
	h := newTwoStores(t, 1)
	retried := &dag.Task{ID: "first", Name: "first", Executor: "e", ParentRef: "last", Retry: dag.RetryPolicy{MaxAttempts: 3, InitialDelay: time.Hour}}
	out, err := h.s.Submit(t.Context(), dag.DefaultNamespaceKey, treeOf(&dag.Task{ID: "last", Name: "last", Executor: "e", Dependencies: []dag.Dependency{{Ref: "first"}}}, retried))
	if err != nil {
		t.Fatal(err)
	}
	shown := func(id string) *Shown {
		t.Helper()
		got, err := h.other.Task(t.Context(), dag.DefaultNamespaceKey, id)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := shown("first")
	if first.ReadyAt == nil || !first.ReadyAt.Equal(first.CreatedAt) || shown("last").ReadyAt != nil {
		t.Errorf("submitted: ready at %v, created at %v; what depends on it at %v", first.ReadyAt, first.CreatedAt, shown("last").ReadyAt)
	}
	run := func(w *Work, outcome dag.Outcome) {
		t.Helper()
		if verdicts, _, err := h.s.Claim(t.Context(), []dag.Claim{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Facts: w.Facts()}}); err != nil || verdicts[0] != dag.Yes {
			t.Fatal(verdicts, err)
		}
		_, eff, err := h.s.Settle(t.Context(), []dag.Result{{Task: w.Key, Attempt: w.Attempt, Worker: h.worker, Outcome: outcome, Value: []byte(`1`), Error: "e", Offer: true, Facts: w.Facts()}},
			func(int32, dag.Priority, int32) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		h.waiting = eff.Publish
		for _, handed := range eff.Handed {
			h.running = append(h.running, handed.Work)
		}
	}
	run(out.Effects.Publish[0], dag.OutcomeFailed)
	if got := shown("first"); got.State != dag.Delayed || got.ReadyAt != nil {
		t.Errorf("a retry is %s, ready at %v", got.State, got.ReadyAt)
	}
	if _, err := h.s.pool.Exec(t.Context(), "update timer set at = now() where task = $1", first.Key); err != nil {
		t.Fatal(err)
	}
	eff, _, err := h.s.DueTimers(t.Context(), 10, func(int32, dag.Priority, int32) bool { return true })
	if err != nil || len(eff.Publish) != 1 {
		t.Fatal(eff, err)
	}
	again := shown("first")
	if again.State != dag.Ready || again.ReadyAt == nil || !again.ReadyAt.After(*first.ReadyAt) {
		t.Errorf("when the time of the retry has come it is %s, ready at %v", again.State, again.ReadyAt)
	}
	run(eff.Publish[0], dag.OutcomeCompleted)
	if got := shown("last"); got.State != dag.Running || got.ReadyAt == nil || !got.ReadyAt.Equal(*got.StartedAt) || got.ReadyAt.Before(*shown("first").FinishedAt) {
		t.Errorf("handed over: %s, ready at %v, started at %v, after %v", got.State, got.ReadyAt, got.StartedAt, shown("first").FinishedAt)
	}
	if got := shown("first"); !got.ReadyAt.Equal(*again.ReadyAt) {
		t.Errorf("the end changes it: %v, was %v", got.ReadyAt, again.ReadyAt)
	}
	h.settle(h.s, h.running)
	h.checkReady()
	again2, err := h.s.Execute(t.Context(), first.Key, dag.ExecutionOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := shown("first"); again2.Effects == nil || got.State != dag.Ready || !got.ReadyAt.After(*again.ReadyAt) {
		t.Errorf("run again: %s, ready at %v", got.State, got.ReadyAt)
	}
	h.checkReady()
}
