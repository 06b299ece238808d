package coordinator

import (
	"context"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/pg"
)

// Kubernetes takes the pods of a Deployment away that cost the least. One coordinator at a time, the oldest, says what each worker's pod costs: nothing while it is
// idle, and the more the more it has in hand. Coordinators do not know of each other whether they may: if the oldest may not, none does.

const (
	podCostsEvery  = 5 * time.Second
	podCostsAtOnce = 8   // calls
	podCostsMost   = 200 // calls in one round; the others come in the next
)

// PodCost says what it costs to take a pod away.
type PodCost func(ctx context.Context, pod string, cost int) error

// runPodCosts says what pods cost, if there is anybody to tell.
func (c *Coordinator) runPodCosts(ctx context.Context) error {
	if c.cfg.PodCost == nil {
		<-ctx.Done()
		return nil
	}
	told := map[string]int{}
	for sleep(ctx, podCostsEvery) {
		list, err := c.store.LiveCoordinators(ctx)
		if err == nil && (len(list) == 0 || list[0].Instance != c.instance) {
			clear(told) // another one's turn
			continue
		}
		var workers []pg.LiveWorker
		if err == nil {
			workers, err = c.store.LiveWorkers(ctx)
		}
		if err == nil {
			err = c.tellPodCosts(ctx, workers, told)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("Kubernetes could not be told which pods are idle; it is tried again", "error", err)
		}
	}
	return nil
}

// tellPodCosts tells of the pods whose cost is not what was told before. The error is one of them; such pods are told of again in the next round.
func (c *Coordinator) tellPodCosts(ctx context.Context, workers []pg.LiveWorker, told map[string]int) error {
	costs := podCosts(workers)
	for pod := range told {
		if _, lives := costs[pod]; !lives {
			delete(told, pod)
		}
	}
	var g errgroup.Group
	var mu sync.Mutex // of told, while calls are under way
	g.SetLimit(podCostsAtOnce)
	calls := 0
	for pod, cost := range costs {
		mu.Lock()
		was, known := told[pod]
		mu.Unlock()
		if known && was == cost || calls == podCostsMost {
			continue
		}
		calls++
		g.Go(func() error {
			err := c.cfg.PodCost(ctx, pod, cost)
			mu.Lock()
			defer mu.Unlock()
			if err != nil { // it may have come through all the same
				delete(told, pod)
			} else {
				told[pod] = cost
			}
			return err
		})
	}
	return g.Wait()
}

// podCosts are the costs of the pods of workers that take work: with twice as much in hand a pod costs one more, so that few changes need to be told.
func podCosts(workers []pg.LiveWorker) map[string]int {
	costs := map[string]int{}
	for _, w := range workers {
		pod := w.ID
		if _, member, grouped := strings.Cut(w.ID, "."); grouped {
			pod = member
		}
		if w.State == pg.WorkerAlive && isPod(pod) {
			costs[pod] += bits.Len(uint(len(w.Attempts)))
		}
	}
	return costs
}

// isPod reports whether a pod may have this name: it gets into a path.
func isPod(name string) bool {
	return name != "" && len(name) <= 253 && !slices.ContainsFunc([]byte(name), func(c byte) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
}
