package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// wants is what a task of a random history asks for.
type wants struct {
	user, value, version, executor string
	age                            time.Duration
	fresh, key                     bool
}

// tells is what tells equal tasks.
func (w wants) tells() string {
	return fmt.Sprint(w.user, " ", w.value, " ", w.version, " ", w.executor, " ", w.key)
}

// TestCachesAtRandom: many users run tasks with few values at the same time, through two coordinators, while tasks fail and are tried again, entries get old, trees are deleted,
// and tasks run again. Whatever ended without a run has what an equal task of the same user gave, which had ended before and was young enough; and no result is there that no run gave.
func TestCachesAtRandom(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	c := newCaching(t, cluster.Options{Coordinators: 2, Workers: 2})
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	asked := map[string]wants{}
	gave := map[string]map[string]bool{} // results of runs, by what tells their tasks
	older := map[string]time.Duration{}  // than it is
	hits, ended := 0, map[string]*coordinator.Task{}
	for round := range 30 {
		if rng.IntN(3) == 0 {
			c.x.mu.Lock()
			c.x.fails[pick("a", "b", "c")] = 1
			c.x.mu.Unlock()
		}
		var ids []string
		var wg sync.WaitGroup
		for i := range 2 + rng.IntN(6) {
			id := fmt.Sprintf("t-%d-%d", round, i)
			w := wants{pick("amy", "bob", ""), pick("a", "b", "c"), pick("", "2"), pick("count", "other"), []time.Duration{time.Hour, 2 * time.Hour}[rng.IntN(2)], rng.IntN(8) == 0, rng.IntN(4) == 0}
			asked[id], ids = w, append(ids, id)
			task := cachedTask(id, w.value, func(t *dag.Task) {
				t.Executor, t.Control.Cache.Version, t.Control.Cache.For = w.executor, w.version, w.age
				t.Retry = dag.RetryPolicy{MaxAttempts: 2, NoDelay: true, MaxDelay: time.Millisecond}
				if w.key {
					t.Control.Cache.Key = "{{inputs.value}}"
				}
			})
			on := c.Coordinators[rng.IntN(2)].P
			wg.Go(func() {
				if _, err := on.Submit(ctx, coordinator.SubmitOptions{UserID: w.user, NoCache: w.fresh}, cluster.Seq([]*dag.Task{task})); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		ran := func(id string) int { return c.x.of(id) + c.y.of(id) }
		for _, id := range ids {
			c.Settled(id)
			task, w := c.shown(id), asked[id]
			if ended[id] = task; task.State == dag.Failed || task.CachedFrom != nil {
				continue
			}
			if ran(id) == 0 {
				t.Errorf("%s did not run, and ended by nothing", id)
			}
			if gave[w.tells()] == nil {
				gave[w.tells()] = map[string]bool{}
			}
			gave[w.tells()][string(task.Result)] = true
		}
		for _, id := range ids {
			task, w := ended[id], asked[id]
			if task.State == dag.Failed {
				continue
			}
			var result struct{ Value string }
			if err := json.Unmarshal(task.Result, &result); err != nil || result.Value != w.value {
				t.Errorf("%s has %s, want a result of %q (%v)", id, task.Result, w.value, err)
			}
			if task.CachedFrom == nil {
				continue
			}
			hits++
			source := task.CachedFrom.TaskID
			switch by, known := asked[source]; {
			case !known || ran(id) > 0 || w.fresh:
				t.Errorf("%s ended by %q, and ran %d times; wanted to run: %t", id, source, ran(id), w.fresh)
			case by.tells() != w.tells():
				t.Errorf("%s (%s) ended by %s (%s)", id, w.tells(), source, by.tells())
			case ended[source].CachedFrom != nil:
				t.Errorf("%s ended by %s, which had not run", id, source)
			case older[source] >= min(w.age, by.age):
				t.Errorf("%s, which takes what is %s old, ended by %s, which says %s and was %s old", id, w.age, source, by.age, older[source])
			case !gave[w.tells()][string(task.Result)]:
				t.Errorf("%s ended by %s with %s, which no run gave", id, source, task.Result)
			case task.CompletedAt.Before(ended[source].CompletedAt):
				t.Errorf("%s ended at %s, by %s, which ended at %s", id, task.CompletedAt, source, ended[source].CompletedAt)
			}
		}
		var old int
		switch rng.IntN(5) {
		case 0: // all entries get older than some readers take
			if _, err := conn.Exec(ctx, "update cache set at = at - interval '90 minutes', until = until - interval '90 minutes'"); err != nil {
				t.Fatal(err)
			}
			for id := range ended {
				older[id] += 90 * time.Minute
			}
		case 1:
			if id := ids[rng.IntN(len(ids))]; ended[id].State.Settled() {
				if _, err := c.Service().Delete(ctx, id, coordinator.DeleteOptions{Force: true}); err != nil {
					t.Error(err)
				}
			}
		}
		if err := conn.QueryRow(ctx, `select count(*) from cache c where not exists (select from attempt a where a.task = c.task and a.number = c.attempt and a.outcome = $1)`, dag.OutcomeCompleted).Scan(&old); err != nil || old > 0 {
			t.Errorf("%d entries refer to nothing: %v", old, err)
		}
	}
	if hits == 0 {
		t.Error("nothing ended by anything")
	}
	t.Logf("%d of %d tasks ended by others", hits, len(asked))
}
