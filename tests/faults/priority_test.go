package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// TestUrgentTaskStartsNext: with the only slot busy and 10 000 low tasks waiting, an urgent task is the next to start, or
// the next but as many as the worker had taken already.
func TestUrgentTaskStartsNext(t *testing.T) {
	t.Parallel()
	const low, slots = 10_000, 1
	nats := startNATS(t)
	s := Settings{Postgres: pgtest.Database(t), NATS: nats.CoordinatorURL(), Role: CoordinatorRole, Name: "coordinator", Dir: t.TempDir(),
		Lease: 10 * time.Second, Republish: 15 * time.Second, Concurrency: slots}
	if err := pg.Migrate(t.Context(), s.Postgres); err != nil {
		t.Fatal(err)
	}
	c := startPart(t, s).Coordinator
	s.Role, s.Name = WorkerRole, "worker"
	s.NATS = nats.WorkerURL(s.Name)
	worker := startPart(t, s).Worker
	eventually(t, "worker has a lease", worker.Ready)

	submit := func(tasks ...*dag.Task) {
		t.Helper()
		if _, err := c.Submit(t.Context(), coordinator.SubmitOptions{}, each(tasks)); err != nil {
			t.Fatal(err)
		}
	}
	task := func(id string, p dag.Priority, script oracle.Script) *dag.Task {
		inputs, _ := json.Marshal(map[string]any{oracle.ScriptKey: script})
		return &dag.Task{ID: id, Name: id, ParentRef: "busy", Priority: p, Executor: ScriptedID, Pool: Pools[0], Inputs: inputs}
	}
	busy := task("busy", dag.Low, oracle.Script{Gate: true})
	busy.ParentRef = ""
	submit(busy)
	started := func(id string) func() error {
		return func() error {
			runs, err := ReadJournal(s.JournalFile())
			if err == nil && len(runs[id]) == 0 {
				err = fmt.Errorf("%s has not started", id)
			}
			return err
		}
	}
	eventually(t, "the worker is busy", started("busy"))

	crowd := []*dag.Task{task("crowd", dag.Low, oracle.Script{})}
	crowd[0].ParentRef = ""
	for i := range low - 1 {
		crowd = append(crowd, task(fmt.Sprintf("low-%d", i), dag.Low, oracle.Script{}))
		crowd[i+1].ParentRef = "crowd"
	}
	submit(crowd...)
	eventually(t, "low tasks wait in NATS and in Postgres", func() error {
		pools, err := c.Pools(t.Context())
		if err != nil {
			return err
		}
		for _, p := range pools {
			if p.Name == Pools[0] && p.Queued > 0 && p.Ready+p.Queued >= low-slots {
				return nil
			}
		}
		return fmt.Errorf("%+v", pools)
	})
	urgent := task("urgent", dag.Urgent, oracle.Script{})
	urgent.ParentRef = ""
	submit(urgent)
	eventually(t, "the urgent task lies in NATS", func() error {
		task, err := c.Task(t.Context(), "urgent")
		if err == nil && task.State != dag.Ready {
			err = fmt.Errorf("it is %s", task.State)
		}
		return err
	})
	taken := worker.Stats().InHand - 1
	if err := os.WriteFile(gateFile(s.Dir, "busy"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the urgent task runs", started("urgent"))
	runs, err := ReadJournal(s.JournalFile())
	if err != nil {
		t.Fatal(err)
	}
	before := 0
	for id, r := range runs {
		if id != "busy" && id != "urgent" && r[0].Start < runs["urgent"][0].Start {
			before++
		}
	}
	t.Logf("%d low tasks started before the urgent one; the worker had taken %d", before, taken)
	if before > taken {
		t.Errorf("%d low tasks started before the urgent one, want at most the %d that the worker had taken", before, taken)
	}
	if _, err := c.Cancel(t.Context(), "crowd", coordinator.CancelOptions{}); err != nil {
		t.Error(err)
	}
}
