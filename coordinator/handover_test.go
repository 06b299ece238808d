package coordinator_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/tests/cluster"
	"github.com/taskgrove/taskgrove/tests/hostile"
)

// TestAChainStaysWithItsWorker: on an idle cluster only the first task of a chain goes through the queue; each other one
// comes to the worker with the receipt of the one before.
func TestAChainStaysWithItsWorker(t *testing.T) {
	t.Parallel()
	const steps = 30
	c := cluster.Start(t, cluster.Options{Concurrency: 1})
	tasks := []*dag.Task{noop("s0", fmt.Sprintf("s%d", steps-1))}
	for i := 1; i < steps; i++ {
		parent := fmt.Sprintf("s%d", steps-1)
		if i == steps-1 {
			parent = ""
		}
		tasks = append(tasks, noop(fmt.Sprintf("s%d", i), parent, fmt.Sprintf("s%d", i-1)))
	}
	out := c.Submit(coordinator.SubmitOptions{}, tasks...)
	if st := c.Settled(out.TreeID); st.Completed != steps || st.Running != 0 {
		t.Fatalf("got %+v", *st)
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var queued, attempts int
	if err := conn.QueryRow(t.Context(), "select (select sum(n) from published), (select count(*) from attempt)").Scan(&queued, &attempts); err != nil {
		t.Fatal(err)
	}
	if queued != 1 || attempts != steps {
		t.Errorf("%d of %d tasks went through the queue, in %d attempts", queued, steps, attempts)
	}
}

// byHand is a worker whose every message the test sends itself.
type byHand struct {
	*testing.T
	w *hostile.Worker
}

func (h *byHand) beat(edit func(*workerv1.Beat)) *workerv1.BeatReply {
	h.Helper()
	reply, err := h.w.Beat(h.Context(), edit)
	if err != nil || reply.Error != "" {
		h.Fatalf("beat: %v, %v", reply, err)
	}
	return reply
}

// take takes an attempt of this number and claims it.
func (h *byHand) take(number uint32) *workerv1.Work {
	h.Helper()
	work, err := h.w.Take(h.Context())
	if err != nil || work.Attempt.Number != number {
		h.Fatalf("took %v, %v; want attempt %d", work, err, number)
	}
	if got, err := h.w.Claim(h.Context(), hostile.GrantOf(work)); err != nil || got[0] != workerv1.Verdict_VERDICT_YES {
		h.Fatalf("claim: %v, %v", got, err)
	}
	return work
}

func (h *byHand) report(r *workerv1.Result) {
	h.Helper()
	if err := h.w.Report(h.Context(), r); err != nil {
		h.Fatal(err)
	}
}

// TestALostHandoverGoesBackWithTheNextBeat: a worker that still waits for a receipt hears what was handed over with it,
// hands that back, and the task is offered again, uncounted.
func TestALostHandoverGoesBackWithTheNextBeat(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Pools: []string{"noop_executor"}})
	w, err := hostile.Connect(t.Context(), c.NATS.WorkerURL("deaf"), "deaf", "own") // one that never listens to news
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Conn.Close)
	worker := &byHand{t, w}
	worker.beat(nil)
	first, second := noop("lost1", "lost2"), noop("lost2", "", "lost1")
	first.Pool, second.Pool = "own", "own"
	out := c.Submit(coordinator.SubmitOptions{}, first, second)

	work := worker.take(1)
	result := hostile.ResultOf(work, `1`)
	result.Offer = true
	worker.report(result)
	var missed []*workerv1.Grant
	c.Eventually("the lost handover is named", func() error {
		missed = worker.beat(func(b *workerv1.Beat) { b.Reported = []*workerv1.Attempt{work.Attempt} }).Missed
		if len(missed) != 1 {
			return fmt.Errorf("missed: %v", missed)
		}
		return nil
	})
	if again := worker.beat(func(b *workerv1.Beat) {
		b.Reported, b.Running = []*workerv1.Attempt{work.Attempt}, []*workerv1.Attempt{missed[0].Attempt}
	}).Missed; len(again) != 0 {
		t.Errorf("what the worker lists is named as missed: %v", again)
	}
	worker.report(&workerv1.Result{Attempt: missed[0].Attempt, Token: missed[0].Token, End: &workerv1.Result_Returned{Returned: &workerv1.Returned{}}})
	worker.report(hostile.ResultOf(worker.take(2), `2`))
	if st := c.Settled(out.TreeID); st.Completed != 2 || st.Running != 0 {
		t.Errorf("got %+v", *st)
	}
}
