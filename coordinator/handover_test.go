package coordinator_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/testcluster"
)

// TestAChainStaysWithItsWorker: on an idle cluster only the first task of a chain goes through the queue; each other one
// comes to the worker with the receipt of the one before.
func TestAChainStaysWithItsWorker(t *testing.T) {
	const steps = 30
	c := testcluster.Start(t, testcluster.Options{Concurrency: 1})
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
