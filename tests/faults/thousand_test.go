package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// killedFiring are the places where coordinators are killed while schedules fire.
var killedFiring = []string{"coordinator.after-schedule-decision", "coordinator.after-fire-claim", "coordinator.before-fire-submit", "coordinator.after-fire-submit",
	"coordinator.after-submit-commit", "coordinator.after-fire-ends"}

// TestAThousandInstants: five coordinators, which are killed while they fire and started again, and 1000 instants of 20 schedules, some of them past when the first coordinator
// comes: each has one run, each run one tree, and none is missed within the grace. It is 160 instants of 8 schedules, unless TASKGROVE_FULL=1.
func TestAThousandInstants(t *testing.T) {
	t.Parallel()
	const coordinators = 5
	schedules, instants, past, kills := 8, 20, 15, coordinators // so many are killed, and those that are started before
	if full() {
		schedules, instants, past, kills = 20, 50, 35, 3*coordinators
	}
	s := newSharedSite(t)
	s.launch(WorkerRole, "") // which is ready once a coordinator is there
	tree := fmt.Sprintf(`{"name":"run","pool":%q,"schemas":{"method":"noop_executor"}}`, Pools[0])
	began := time.Now().Truncate(time.Second).Add(-time.Duration(past) * time.Second)
	for n := range schedules {
		spec, faults := scheduledoc.Decode(fmt.Appendf(nil, `{"id":"s%d","every":1,"start_at":%q,"max_runs":%d,"overlap":"allow","coalesce":false,"misfire_grace":"24h","tree":%s}`,
			n, began.UTC().Format(time.RFC3339), instants, tree))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if _, err := s.front.CreateSchedule(t.Context(), *spec); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(into any, statement string, args ...any) error {
		return s.db(func(c *pgx.Conn) error { return c.QueryRow(t.Context(), statement, args...).Scan(into) })
	}
	// As if the coordinators had gone away right after they had stored the schedules.
	var changed int
	if err := ask(&changed, "with c as (update schedule set decided_at = $1, next_at = $1 returning 1) select count(*) from c", began.Add(-time.Millisecond)); err != nil || changed != schedules {
		t.Fatal(changed, err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	killed := 0
	parts := make([]*Process, coordinators)
	for i := range coordinators { // launched here: the site is the test's
		parts[i] = s.launch(CoordinatorRole, fmt.Sprintf("%s=kill@%d", killedFiring[i%len(killedFiring)], 1+rand.IntN(3)))
	}
	for i := range coordinators {
		wg.Go(func() {
			p := parts[i]
			for {
				select {
				case <-done:
					p.Kill()
					return
				case <-p.Ended():
				}
				mu.Lock()
				killed++
				point := fmt.Sprintf("%s=kill@%d", killedFiring[rand.IntN(len(killedFiring))], 1+rand.IntN(4))
				if killed >= kills { // enough: what is left must come to its end
					point = ""
				}
				next, err := StartProcess(s.settings(CoordinatorRole), point)
				mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				p = next
			}
		})
	}
	defer func() { close(done); wg.Wait() }()
	eventually(t, "all instants have runs that completed", func() error {
		var completed, all int
		if err := ask(&completed, "select count(*) from fire where state = 4"); err != nil {
			return err
		}
		if err := ask(&all, "select count(*) from fire"); err != nil {
			return err
		}
		if all > schedules*instants {
			t.Fatalf("there are %d runs", all)
		}
		if completed < schedules*instants {
			return fmt.Errorf("%d of %d runs have completed", completed, all)
		}
		return nil
	})
	for what, statement := range map[string]string{
		"runs of the right instants": fmt.Sprintf("select count(*) from fire where kind = 1 and n = 1 and instant in (select $1::timestamptz + i * interval '1 second' from generate_series(0, %d) i)", instants-1),
		"instants":                   "select count(*) from (select distinct schedule, instant from fire where instant >= $1) x",
		"trees":                      "select count(*) from tree where fire is not null and created_at >= $1",
		"runs that have a tree":      "select count(distinct tree.key) from fire join tree on tree.key = fire.tree and tree.fire = fire.key where fire.instant >= $1",
	} {
		var n int
		if err := ask(&n, statement, began); err != nil || n != schedules*instants {
			t.Errorf("%s: %d, %v; want %d", what, n, err, schedules*instants)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if killed == 0 {
		t.Error("no coordinator was killed")
	}
	t.Logf("%d instants, %d coordinators were killed", schedules*instants, killed)
}

// TestDecisionsHaveNoClock: what becomes of instants is decided by Postgres's clock. Nothing on the way reads the machine's, so that clocks that are apart make no difference.
func TestDecisionsHaveNoClock(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"dag/schedule.go", "dag/schedule_due.go", "coordinator/schedules_run.go", "coordinator/schedules_tree.go", "pg/schedules.go", "internal/cron/next.go", "internal/cron/every.go"} {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "time.Now") || strings.Contains(string(text), "time.Since") {
			t.Errorf("%s reads the machine's clock", file)
		}
	}
}
