package coordinator_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestCallersSteerOneTree: several callers execute and cancel a tree and its parts at the same time, through two coordinators,
// while it runs. Each gets an answer that can be true, and the rules hold afterwards.
func TestCallersSteerOneTree(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 1})
	seed := rand.Uint64()
	t.Log("seed", seed)
	outcomes := make([]int, 5)
	for round := range 12 {
		id := func(name string) string { return fmt.Sprintf("s%d-%s", round, name) }
		names := []string{id("root"), id("a"), id("b"), id("c"), id("d")}
		c.Submit(coordinator.SubmitOptions{Hold: round%2 == 0}, noop(names[0], "", names[2]), noop(names[1], names[0]), noop(names[2], names[0], names[1]),
			noop(names[3], names[0], names[2]), sleeper(names[4], names[0], `{"seconds":0.02}`))
		var callers sync.WaitGroup
		var mu sync.Mutex
		for n := range 6 {
			rng := rand.New(rand.NewPCG(seed, uint64(round*10+n)))
			callers.Go(func() {
				svc := c.Coordinators[n%2].P
				for range 5 {
					target := names[rng.IntN(len(names))*rng.IntN(2)]
					if rng.IntN(2) == 0 {
						got, err := svc.Cancel(t.Context(), target, coordinator.CancelOptions{})
						if err != nil || got.Outcome == coordinator.AlreadyEnded && (got.Status == dag.StatusPending || got.Status == dag.StatusInProgress) {
							t.Errorf("cancel %s: %+v, %v", target, got, err)
						}
						continue
					}
					got, err := svc.Execute(t.Context(), target, coordinator.ExecuteOptions{Force: rng.IntN(3) == 0, RerunCancelled: rng.IntN(2) == 0, RerunDependencies: rng.IntN(4) == 0})
					switch {
					case err == nil:
						mu.Lock()
						outcomes[got.Outcome]++
						mu.Unlock()
					case !errors.Is(err, coordinator.ErrConflict): // else a cancelled attempt has not stopped yet
						t.Errorf("execute %s: %v", target, err)
					}
				}
			})
		}
		callers.Wait()
		if _, err := c.Service().Cancel(t.Context(), names[0], coordinator.CancelOptions{}); err != nil {
			t.Error(err)
		}
		c.Settled(names[0])
		for v, err := range c.Service().Verify(t.Context(), names[0]) {
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("round %d: %+v", round, *v)
		}
		if t.Failed() {
			return
		}
	}
	for _, o := range []coordinator.ExecuteOutcome{coordinator.Started, coordinator.AlreadyRunning, coordinator.WasCancelled} {
		if outcomes[o] == 0 {
			t.Errorf("no execution had the outcome %d", o)
		}
	}
}
