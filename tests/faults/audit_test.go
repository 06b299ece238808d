package faults

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// TestAuditorFindsNothingUnderHealthyLoad: while random trees run, are cancelled and run again on three coordinators and
// two workers, everything that is stored is verified over and over, and no rule is ever found broken.
func TestAuditorFindsNothingUnderHealthyLoad(t *testing.T) {
	t.Parallel()
	lasts := 10 * time.Second
	if full() {
		lasts = time.Hour
	}
	auditUnderLoad(t, pgtest.Database(t), lasts)
}

// TestAuditorFindsNothingThroughAPooler: the same when the coordinators share a few connections of a PgBouncer.
func TestAuditorFindsNothingThroughAPooler(t *testing.T) {
	t.Parallel()
	auditUnderLoad(t, pgtest.Bouncer(t, pgtest.Database(t), pgtest.BouncerOptions{Size: 8}), 5*time.Second)
}

func auditUnderLoad(t *testing.T, url string, lasts time.Duration) {
	t.Helper()
	seed := seedOf(t)
	nats := startNATS(t)
	s := Settings{Postgres: url, Dir: t.TempDir(), Lease: 10 * time.Second, Republish: time.Second, Concurrency: 12}
	if err := pg.Migrate(t.Context(), s.Postgres); err != nil {
		t.Fatal(err)
	}
	var services []coordinator.Service
	for i := range 3 {
		s.Role, s.Name, s.NATS = CoordinatorRole, fmt.Sprintf("coordinator-%d", i), nats.CoordinatorURL()
		services = append(services, startPart(t, s).Coordinator)
	}
	for i := range 2 {
		s.Role, s.Name = WorkerRole, fmt.Sprintf("worker-%d", i)
		s.NATS = nats.WorkerURL(s.Name)
		eventually(t, "worker has a lease", startPart(t, s).Worker.Ready)
	}

	end := time.Now().Add(lasts)
	var next, trees, passes atomic.Int64
	var parties sync.WaitGroup
	for range 6 {
		parties.Go(func() {
			for !t.Failed() && time.Now().Before(end) {
				n := int(next.Add(1)) - 1
				l := newLife(seed, n, 60)
				if err := l.run(t.Context(), services, s.Dir); err != nil {
					t.Logf("tree %d (%s) of seed %d: %v", n, l.story, seed, err) // outcomes are judged by another test
				}
				trees.Add(1)
				if n%3 == 0 { // what failed runs again, to the same end
					rng := rand.New(rand.NewPCG(seed, uint64(n)+1))
					if _, err := services[rng.IntN(3)].Execute(t.Context(), l.tree.Tasks[0].ID, coordinator.ExecuteOptions{Force: n%6 == 0}); err != nil {
						t.Logf("run tree %d again: %v", n, err)
					}
				}
			}
		})
	}
	parties.Go(func() {
		for !t.Failed() && time.Now().Before(end) {
			for v, err := range services[passes.Load()%3].Verify(t.Context(), "") {
				if err != nil {
					t.Errorf("verify: %v", err)
					break
				}
				t.Errorf("%s, tree %q, task %q: %s", v.Kind, v.TreeID, v.TaskID, v.Text)
			}
			passes.Add(1)
		}
	})
	parties.Wait()
	t.Logf("%d trees, %d passes", trees.Load(), passes.Load())
	if passes.Load() == 0 || trees.Load() == 0 {
		t.Error("nothing was verified")
	}
}
