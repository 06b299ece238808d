package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// brief makes pools go soon.
func brief(c *config.Coordinator) { c.PoolIdle = 300 * time.Millisecond }

// poolNames are the pools that the cluster shows.
func poolNames(c *cluster.Cluster) []string {
	c.T.Helper()
	pools, err := c.Service().Pools(c.T.Context())
	if err != nil {
		c.T.Fatal(err)
	}
	var names []string
	for _, p := range pools {
		names = append(names, p.Name)
	}
	return names
}

// consumers are the pools that have some in NATS.
func consumers(c *cluster.Cluster) []string {
	c.T.Helper()
	names, err := c.Coordinators[0].P.Queue.Pools(c.T.Context())
	if err != nil {
		c.T.Fatal(err)
	}
	return names
}

// TestOneRequestExhaustsNoPools: a tree of hundreds of pools is refused; those of many trees leave room for a worker's; and they go
// when their trees have ended, with their consumers and messages.
func TestOneRequestExhaustsNoPools(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Pools: []string{"noop_executor"}, Coordinator: brief})
	flood := func(prefix string, n int) []*dag.Task {
		tasks := []*dag.Task{noop(prefix, "")}
		for i := range n {
			task := noop(fmt.Sprint(prefix, i), prefix)
			task.Pool = fmt.Sprint(prefix, "-pool-", i)
			tasks = append(tasks, task)
		}
		return tasks
	}
	refused := func(user string, tasks []*dag.Task) {
		t.Helper()
		_, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{UserID: user}, cluster.Seq(tasks))
		if bad, ok := errors.AsType[*coordinator.InvalidArgumentError](err); !ok || bad.Field != "pool" {
			t.Errorf("got %v", err)
		}
	}
	refused("", flood("huge", 493))
	var trees []string
	for i := range 4 {
		trees = append(trees, c.Submit(coordinator.SubmitOptions{}, flood(fmt.Sprint("tree", i), 20)...).TreeID)
	}
	refused("", flood("more", 50))
	if got := c.AddWorkerOf(2, "brand-new"); got.P.Slots() != 2 {
		t.Errorf("%d slots", got.P.Slots())
	}
	task := noop("on-new", "")
	task.Pool = "brand-new"
	c.Submit(coordinator.SubmitOptions{}, task)
	c.Settled("on-new")
	for _, tree := range trees {
		if _, err := c.Service().Cancel(t.Context(), tree, coordinator.CancelOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.Eventually("pools are gone, and their consumers", func() error {
		names := append(poolNames(c), consumers(c)...)
		if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, "-pool-") }) {
			return fmt.Errorf("%d pools and consumers", len(names))
		}
		if !slices.Contains(names, "brand-new") || !slices.Contains(names, "noop_executor") {
			return fmt.Errorf("served pools are gone: %v", names)
		}
		return nil
	})
	c.Submit(coordinator.SubmitOptions{}, flood("again", 50)...)
}

// TestAWorkerThatComesWithItsPool: while the pool goes because nobody needs it, again and again, a tree and a worker that come
// at the same time find each other.
func TestAWorkerThatComesWithItsPool(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Pools: []string{"noop_executor"}, Coordinator: func(c *config.Coordinator) { c.PoolIdle = 100 * time.Millisecond }})
	for round := range 4 {
		id := fmt.Sprint("round-", round)
		task := noop(id, "")
		task.Pool = "fleeting"
		if round%2 == 0 {
			c.Submit(coordinator.SubmitOptions{}, task)
		}
		w := c.AddWorkerOf(1, "fleeting")
		if round%2 == 1 {
			c.Submit(coordinator.SubmitOptions{}, task)
		}
		c.Settled(id)
		if err := w.Stop(); err != nil {
			t.Fatal(err)
		}
		if round < 2 {
			c.Eventually("the pool is gone", func() error {
				if slices.Contains(append(poolNames(c), consumers(c)...), "fleeting") {
					return errors.New("it is there")
				}
				return nil
			})
		} else {
			time.Sleep(time.Duration(round) * 150 * time.Millisecond) // about when it goes
		}
	}
	for v, err := range c.Service().Verify(context.WithoutCancel(t.Context()), "") {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestAWorkerServesThePoolsThatThereIsRoomFor: it is told of the others, operators see them, and it gets them when there is room.
func TestAWorkerServesThePoolsThatThereIsRoomFor(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Pools: []string{"noop_executor"}})
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("insert into pool (name) select 'full-' || i from generate_series(1, $1 - (select count(*) from pool)) i", pg.MaxPools)
	w := c.AddWorkerOf(1, "noop_executor", "too-many")
	shown := func() coordinator.Worker {
		t.Helper()
		list, err := c.Service().Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[0] // the newest
	}
	refused := func(w coordinator.Worker) bool {
		return slices.ContainsFunc(w.Faults, func(text string) bool { return strings.HasPrefix(text, "tasks of pool too-many are not taken: ") })
	}
	c.Eventually("it has a lease", w.P.Ready)
	got := shown()
	if len(got.Pools) != 1 || got.Pools["noop_executor"] != 1 || !refused(got) {
		t.Errorf("it serves %v, and its faults are %q", got.Pools, got.Faults)
	}
	exec("delete from pool where name like 'full-%'")
	c.Eventually("there is room", func() error {
		if got := shown(); len(got.Pools) != 2 || refused(got) {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	task := noop("late", "")
	task.Pool = "too-many"
	c.Submit(coordinator.SubmitOptions{}, task)
	c.Settled("late")
}
