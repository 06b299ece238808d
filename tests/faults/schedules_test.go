package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// TestKilledWhileFiring: wherever the coordinator dies, each instant has one run, each run one tree, which is kept as its schedule says, and runs that begin with their ends are one each.
func TestKilledWhileFiring(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	conn, err := pgx.Connect(t.Context(), s.base.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	tree := fmt.Sprintf(`{"name":"run","pool":%q,"schemas":{"method":"sleep_executor"},"inputs":{"seconds":0.05}}`, Pools[0])
	const runs = 3
	for n, point := range []string{"coordinator.after-schedule-decision", "coordinator.after-fire-claim", "coordinator.before-fire-submit", "coordinator.after-fire-submit",
		"coordinator.after-submit-commit", "coordinator.after-settle-commit", "coordinator.after-fire-ends"} {
		victim := s.start(CoordinatorRole, point+"=kill")
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		id := fmt.Sprint("s", n)
		for _, document := range []string{
			fmt.Sprintf(`{"id":%q,"every":1,"max_runs":%d,"overlap":"allow","coalesce":false,"retention":"30d","tree":%s}`, id, runs, tree),
			fmt.Sprintf(`{"id":"after %s","on":{"schedule":%q},"tree":%s}`, id, id, tree),
		} {
			spec, faults := scheduledoc.Decode([]byte(document))
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			if _, err := s.front.CreateSchedule(t.Context(), *spec); err != nil {
				t.Fatal(err)
			}
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		for _, of := range []string{id, "after " + id} {
			eventually(t, point+": runs of "+of, func() error {
				page, err := s.front.ScheduleRuns(t.Context(), coordinator.ScheduleRunFilter{ID: of})
				if err != nil {
					return err
				}
				trees, instants := map[string]bool{}, map[time.Time]bool{}
				for _, r := range page.Items {
					if r.Status != "completed" {
						return fmt.Errorf("the run of %s is %s (%s)", r.FireTime.Format(time.TimeOnly), r.Status, r.Reason)
					}
					trees[r.TreeID], instants[r.FireTime.UTC()] = true, true
				}
				if len(page.Items) > runs || len(trees) != len(page.Items) || len(instants) != len(page.Items) {
					t.Fatalf("%s: %d runs of %d instants have %d trees", of, len(page.Items), len(instants), len(trees))
				}
				if len(page.Items) < runs {
					return fmt.Errorf("there are %d runs", len(page.Items))
				}
				return nil
			})
		}
		var trees, kept int
		if err := conn.QueryRow(t.Context(), "select count(*), count(k.retention_s) filter (where k.retention_s = 30 * 86400) from tree left join keeping k on k.tree = tree.key where fire is not null").
			Scan(&trees, &kept); err != nil || trees != 2*runs*(n+1) || kept != trees/2 {
			t.Fatalf("%s: %d trees of runs, of which %d are kept as their schedule says, %v; want %d, and half of them", point, trees, kept, err, 2*runs*(n+1))
		}
	}
}
