package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/demand"
)

// Bounds of what one look at the demand reads.
const (
	demandStretches = 2000   // that wait, of a lane
	demandListed    = 50_000 // tasks that workers list
	demandSent      = 5000   // tasks of a lane: that were sent last, and that wait first
	demandDue       = 5000   // delayed tasks
	demandEdges     = 20_000 // dependencies
	demandWide      = 2000   // dependents of one task
	demandDepth     = 6      // steps from what runs
	demandWorkers   = 1000   // that tell how many slots a worker has
)

// Demand is what the store knows of the demand of all open pools, as of one moment, bounded.
type Demand struct {
	Names   map[int32]string // of the open pools
	Waiting map[int32]int    // ready tasks that wait in Postgres, of trees that are not cancelled
	Seen    []demand.Seen    // in the order of their priority and key
	Trees   map[dag.TreeKey]demand.Tree
	Tasks   []demand.Task // those of Seen that run or were sent and may start, and what is due or waits for them; none that is cancelled
	Edges   []demand.Edge
}

// Demand reads what runs and may start in each pool, and what follows on it: delayed tasks whose time comes within the horizon, and what the graph
// has behind running and ready tasks. An idle cluster costs one round trip and the rows of its pools.
func (s *Store) Demand(ctx context.Context, horizon time.Duration) (*Demand, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var d *Demand
	err := s.pool.snapshot(ctx, func(tx pgx.Tx) error {
		d = &Demand{Names: map[int32]string{}, Waiting: map[int32]int{}, Trees: map[dag.TreeKey]demand.Tree{}}
		if err := d.read(ctx, tx, horizon); err != nil {
			return err
		}
		if len(d.Seen)+len(d.Tasks) == 0 {
			return nil
		}
		if err := d.readTrees(ctx, tx); err != nil {
			return err
		}
		return d.readGraph(ctx, tx)
	})
	if err != nil {
		return nil, fmt.Errorf("read the demand of pools: %w", err)
	}
	return d, nil
}

// read reads pools, tasks that were seen, and those that are due.
func (d *Demand) read(ctx context.Context, tx pgx.Tx, horizon time.Duration) error {
	rows, err := tx.Query(ctx, sql("DemandReady"), demandStretches, demandSent)
	if err != nil {
		return err
	}
	if err := eachRow(rows, func(v *values) {
		id := v.integer()
		d.Names[id], d.Waiting[id] = v.text(), int(v.bigint())
	}); err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, sql("DemandSeen"), demandListed, demandSent); err != nil {
		return err
	}
	if err := eachRow(rows, func(v *values) {
		t := demand.Seen{Key: v.key(), State: dag.State(v.smallint()), Pool: v.integer(), Open: v.boolean(), Draining: v.boolean(), Sent: v.boolean()}
		since := time.Duration(v.bigint()) * time.Microsecond
		d.Seen = append(d.Seen, t)
		switch {
		case t.State == dag.Running, t.State == dag.Ready && t.Sent:
			d.Tasks = append(d.Tasks, demand.Task{Key: t.Key, Pool: t.Pool, State: t.State, Since: max(0, since)})
		}
	}); err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, sql("DemandDue"), horizon.Seconds(), demandDue); err != nil {
		return err
	}
	return eachRow(rows, func(v *values) {
		t := demand.Task{Key: v.key(), Pool: v.integer(), State: dag.Delayed, Due: time.Duration(v.bigint()) * time.Microsecond}
		d.Tasks = append(d.Tasks, t)
	})
}

// readTrees reads the trees of all tasks, and forgets tasks of those that are cancelled.
func (d *Demand) readTrees(ctx context.Context, tx pgx.Tx) error {
	var keys []dag.TreeKey
	add := func(k dag.TreeKey) {
		if _, known := d.Trees[k]; !known {
			d.Trees[k] = demand.Tree{}
			keys = append(keys, k)
		}
	}
	for _, t := range d.Seen {
		add(t.Key.Tree())
	}
	for _, t := range d.Tasks {
		add(t.Key.Tree())
	}
	rows, err := tx.Query(ctx, sql("DemandTrees"), keys)
	if err != nil {
		return err
	}
	clear(d.Trees)
	var key dag.TreeKey
	var t demand.Tree
	if _, err := pgx.ForEachRow(rows, []any{&key, &t.Running, &t.Pools, &t.Cancelled}, func() error {
		d.Trees[key], t.Pools = t, nil
		return nil
	}); err != nil {
		return err
	}
	live := d.Tasks[:0]
	for _, t := range d.Tasks {
		if tree, there := d.Trees[t.Key.Tree()]; there && !tree.Cancelled {
			live = append(live, t)
		}
	}
	d.Tasks = live
	return nil
}

// readGraph reads what waits for the tasks.
func (d *Demand) readGraph(ctx context.Context, tx pgx.Tx) error {
	if len(d.Tasks) == 0 {
		return nil
	}
	from := make([]dag.Key, len(d.Tasks))
	for i, t := range d.Tasks {
		from[i] = t.Key
	}
	rows, err := tx.Query(ctx, sql("DemandGraph"), from, demandDepth, demandWide, demandEdges)
	if err != nil {
		return err
	}
	edges, waiting := map[demand.Edge]bool{}, map[dag.Key]bool{}
	return eachRow(rows, func(v *values) {
		e := demand.Edge{Dependency: v.key(), Dependent: v.key()}
		t := demand.Task{Key: e.Dependent, Pool: v.integer(), State: dag.Waiting, Remaining: int(v.integer())}
		if !edges[e] { // one may lead there by ways of several lengths
			edges[e] = true
			d.Edges = append(d.Edges, e)
		}
		if !waiting[t.Key] {
			waiting[t.Key] = true
			d.Tasks = append(d.Tasks, t)
		}
	})
}

// WorkerSlots is how many slots one worker has of each pool, by the pool's name, as far as workers of the last day tell.
func (s *Store) WorkerSlots(ctx context.Context) (map[string]int, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DemandSlots"), demandWorkers)
	if err != nil {
		return nil, fmt.Errorf("read the slots of workers: %w", err)
	}
	slots := map[string]int{}
	var pool string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&pool, &n}, func() error {
		slots[pool] = n
		return nil
	})
	return slots, err
}

// WaitingTasks are the first tasks that wait in Postgres of the pools given, by pool, at most so many of each.
func (s *Store) WaitingTasks(ctx context.Context, pools []int32, most int) (map[int32][]dag.Key, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DemandRuled"), pools, most)
	if err != nil {
		return nil, fmt.Errorf("read waiting tasks: %w", err)
	}
	tasks := map[int32][]dag.Key{}
	err = eachRow(rows, func(v *values) {
		first, n, pool := v.key(), v.integer(), v.integer()
		for k := first; k < first+dag.Key(n) && len(tasks[pool]) < most; k++ {
			tasks[pool] = append(tasks[pool], k)
		}
	})
	return tasks, err
}

// Forbidden are those of the tasks that the rules of their pools forbid.
func (s *Store) Forbidden(ctx context.Context, keys []dag.Key) (map[dag.Key]bool, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release()
	forbidden := map[dag.Key]bool{}
	err = s.judge(ctx, c.Conn(), keys, func(rule *dag.PoolRule, t *judged) {
		if rule.Forbids(t.namespace, &t.Task) != "" {
			forbidden[t.key] = true
		}
	})
	return forbidden, err
}
