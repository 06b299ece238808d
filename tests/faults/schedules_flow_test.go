package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// TestKilledWhileFiringFlows: wherever the coordinator dies, each instant has one run of the flow, with the tree of the instant, and each that can't start is told so, once.
func TestKilledWhileFiringFlows(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	conn, err := pgx.Connect(t.Context(), s.base.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	flow := func(needed string) {
		t.Helper()
		text := fmt.Sprintf("flow: {id: night, pool: %s, parameters: {%s: {required: true}}}\njobs: [{id: a, steps: [{id: s, type: sleep_executor, inputs: {seconds: 0.05, at: '{{schedule.fire_time}}'}}]}]\n", Pools[0], needed)
		if _, err := s.front.ApplyFlow(t.Context(), coordinator.FlowSpec{Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	const runs = 3
	for n, point := range []string{"coordinator.after-fire-claim", "coordinator.before-fire-submit", "coordinator.after-fire-submit", "coordinator.after-submit-commit", "coordinator.after-fire-refusal"} {
		id, refused := fmt.Sprint("f", n), point == "coordinator.after-fire-refusal"
		flow("day")
		victim := s.start(CoordinatorRole, point+"=kill")
		if err := spare.Stop(); err != nil {
			t.Error(err)
		}
		spec, faults := scheduledoc.Decode(fmt.Appendf(nil, `{"id":%q,"every":1,"max_runs":%d,"overlap":"allow","coalesce":false,"flow":{"id":"night","params":{"day":"{{schedule.local_date}}"}}}`, id, runs))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if _, err := s.front.CreateSchedule(t.Context(), *spec); err != nil {
			t.Fatal(err)
		}
		if refused {
			flow("night")
		}
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		eventually(t, point+": runs of "+id, func() error {
			page, err := s.front.ScheduleRuns(t.Context(), coordinator.ScheduleRunFilter{ID: id})
			if err != nil {
				return err
			}
			ids, instants := map[string]bool{}, map[time.Time]bool{}
			for _, r := range page.Items {
				if r.Status != "completed" && !(refused && r.Status == coordinator.FailedToStart) {
					return fmt.Errorf("the run of %s is %s (%s)", r.FireTime.Format(time.TimeOnly), r.Status, r.Reason)
				}
				ids[r.FlowID+"/"+r.RunID], instants[r.FireTime.UTC()] = true, true
			}
			if len(page.Items) > runs || !refused && len(ids) != len(page.Items) || len(instants) != len(page.Items) {
				t.Fatalf("%d runs of %d instants are %d of the flow", len(page.Items), len(instants), len(ids))
			}
			if len(page.Items) < runs {
				return fmt.Errorf("there are %d runs", len(page.Items))
			}
			return nil
		})
		var rows, own, begun int
		if err := conn.QueryRow(t.Context(), `select count(*), count(*) filter (where f.key is not null), (select count(*) from fire where schedule = (select key from schedule where id = $1) and tree is not null)
			from flow_run r left join fire f on f.tree = r.tree and f.run_id = r.run_id and f.instant = r.fire_time and f.flow_version = r.version where r.schedule_id = $1`, id).Scan(&rows, &own, &begun); err != nil || rows != own || rows != begun || !refused && rows != runs {
			t.Fatalf("%s: %d runs of the flow, of which %d are those of %d instants, %v", point, rows, own, begun, err)
		}
	}
}
