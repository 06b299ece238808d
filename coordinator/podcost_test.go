package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// TestPodCosts: an idle pod costs less than a busy one; what has not changed is not told again, unless the call failed, nor what is gone, and nobody is told of what is
// no pod.
func TestPodCosts(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var fail error
	got := map[string]int{}
	c := &Coordinator{engine: &engine{cfg: Config{PodCost: func(_ context.Context, pod string, cost int) error {
		mu.Lock()
		defer mu.Unlock()
		got[pod] = cost
		return fail
	}}}}
	worker := func(id string, state pg.WorkerState, n int) pg.LiveWorker {
		return pg.LiveWorker{ID: id, State: state, Attempts: make([]dag.Key, n)}
	}
	told := map[string]int{}
	away := errors.New("away")
	for _, step := range []struct {
		fact    string
		workers []pg.LiveWorker
		fail    error
		want    map[string]int
	}{
		{"all are told of", []pg.LiveWorker{worker("http.http-1", pg.WorkerAlive, 0), worker("http.http-2", pg.WorkerAlive, 1), worker("bare", pg.WorkerAlive, 8)}, nil, map[string]int{"http-1": 0, "http-2": 1, "bare": 4}},
		{"nothing has changed", []pg.LiveWorker{worker("http.http-1", pg.WorkerAlive, 0), worker("http.http-2", pg.WorkerAlive, 1), worker("bare", pg.WorkerAlive, 15)}, nil, nil},
		{"one is busier, one idle", []pg.LiveWorker{worker("http.http-1", pg.WorkerAlive, 2), worker("http.http-2", pg.WorkerAlive, 0), worker("bare", pg.WorkerAlive, 9)}, nil, map[string]int{"http-1": 2, "http-2": 0}},
		{"the API is away", []pg.LiveWorker{worker("http.http-1", pg.WorkerAlive, 0), worker("http.http-2", pg.WorkerAlive, 0)}, away, map[string]int{"http-1": 0}},
		{"it is away still", []pg.LiveWorker{worker("http.http-1", pg.WorkerAlive, 0), worker("http.http-2", pg.WorkerAlive, 0)}, away, map[string]int{"http-1": 0}},
		{"it is back, and is told again", []pg.LiveWorker{worker("http.http-1", pg.WorkerAlive, 0), worker("http.http-2", pg.WorkerAlive, 0)}, nil, map[string]int{"http-1": 0}},
		{"once", []pg.LiveWorker{worker("http.http-1", pg.WorkerAlive, 0), worker("http.http-2", pg.WorkerAlive, 0)}, nil, nil},
		{"one that drains goes anyway", []pg.LiveWorker{worker("http.http-1", pg.WorkerAlive, 4), worker("http.http-2", pg.WorkerDraining, 3)}, nil, map[string]int{"http-1": 3}},
		{"no pods", []pg.LiveWorker{worker("a/b", pg.WorkerAlive, 1), worker("g.Up", pg.WorkerAlive, 1), worker("g.", pg.WorkerAlive, 1), worker("g.x?y", pg.WorkerAlive, 1)}, nil, nil},
	} {
		clear(got)
		fail = step.fail
		if err := c.tellPodCosts(t.Context(), step.workers, told); !errors.Is(err, step.fail) {
			t.Errorf("%s: %v", step.fact, err)
		}
		if !maps.Equal(got, step.want) {
			t.Errorf("%s: got %v, want %v", step.fact, got, step.want)
		}
	}
	var many []pg.LiveWorker
	for i := range 3 * podCostsMost {
		many = append(many, worker(fmt.Sprintf("g.p-%d", i), pg.WorkerAlive, 1))
	}
	for round := 1; round <= 3; round++ {
		clear(got)
		if err := c.tellPodCosts(t.Context(), many, told); err != nil || len(got) != podCostsMost || len(told) != round*podCostsMost {
			t.Errorf("round %d: %d calls, %d told, %v", round, len(got), len(told), err)
		}
	}
}
