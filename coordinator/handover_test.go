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
	ask := func(edit func(*workerv1.Beat)) *workerv1.BeatReply {
		t.Helper()
		reply, err := w.Beat(t.Context(), edit)
		if err != nil || reply.Error != "" {
			t.Fatalf("beat: %v, %v", reply, err)
		}
		return reply
	}
	take := func(number uint32) *workerv1.Work {
		t.Helper()
		work, err := w.Take(t.Context())
		if err != nil || work.Attempt.Number != number {
			t.Fatalf("took %v, %v; want attempt %d", work, err, number)
		}
		if got, err := w.Claim(t.Context(), hostile.GrantOf(work)); err != nil || got[0] != workerv1.Verdict_VERDICT_YES {
			t.Fatalf("claim: %v, %v", got, err)
		}
		return work
	}
	report := func(r *workerv1.Result) {
		t.Helper()
		if err := w.Report(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	ask(nil)
	first, second := noop("lost1", "lost2"), noop("lost2", "", "lost1")
	first.Pool, second.Pool = "own", "own"
	out := c.Submit(coordinator.SubmitOptions{}, first, second)

	work := take(1)
	result := hostile.ResultOf(work, `1`)
	result.Offer = true
	report(result)
	var missed []*workerv1.Grant
	c.Eventually("the lost handover is named", func() error {
		missed = ask(func(b *workerv1.Beat) { b.Reported = []*workerv1.Attempt{work.Attempt} }).Missed
		if len(missed) != 1 {
			return fmt.Errorf("missed: %v", missed)
		}
		return nil
	})
	if again := ask(func(b *workerv1.Beat) {
		b.Reported, b.Running = []*workerv1.Attempt{work.Attempt}, []*workerv1.Attempt{missed[0].Attempt}
	}).Missed; len(again) != 0 {
		t.Errorf("what the worker lists is named as missed: %v", again)
	}
	report(&workerv1.Result{Attempt: missed[0].Attempt, Token: missed[0].Token, End: &workerv1.Result_Returned{Returned: &workerv1.Returned{}}})
	report(hostile.ResultOf(take(2), `2`))
	if st := c.Settled(out.TreeID); st.Completed != 2 || st.Running != 0 {
		t.Errorf("got %+v", *st)
	}
}
