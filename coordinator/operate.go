package coordinator

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Operator looks after the cluster itself.
type Operator interface {
	Workers(ctx context.Context) ([]Worker, error)
	// Coordinators shows the coordinators that are alive, oldest first.
	Coordinators(ctx context.Context) ([]LiveCoordinator, error)
	Pools(ctx context.Context) ([]Pool, error)
	// Verify derives the rules of the system anew from what is stored, of the tree of a task or, when that is empty, of
	// everything, and yields each violation. It ends after an error; nothing yielded: nothing was found.
	Verify(ctx context.Context, treeOf string) iter.Seq2[*Violation, error]
	// Ready is nil when Postgres and NATS can be reached.
	Ready(ctx context.Context) error
}

func (g *guarded) Workers(ctx context.Context) ([]Worker, error) {
	return ask(ctx, g, Call{Method: "Workers"}, func() ([]Worker, error) { return g.next.Workers(ctx) })
}

func (g *guarded) Coordinators(ctx context.Context) ([]LiveCoordinator, error) {
	return ask(ctx, g, Call{Method: "Coordinators"}, func() ([]LiveCoordinator, error) { return g.next.Coordinators(ctx) })
}

func (g *guarded) Pools(ctx context.Context) ([]Pool, error) {
	return ask(ctx, g, Call{Method: "Pools"}, func() ([]Pool, error) { return g.next.Pools(ctx) })
}

func (g *guarded) Verify(ctx context.Context, treeOf string) iter.Seq2[*Violation, error] {
	return follow(ctx, g, Call{Method: "Verify", ID: treeOf}, func() iter.Seq2[*Violation, error] { return g.next.Verify(ctx, treeOf) })
}

func (g *guarded) Ready(ctx context.Context) error {
	_, err := ask(ctx, g, Call{Method: "Ready"}, func() (struct{}, error) { return struct{}{}, g.next.Ready(ctx) })
	return err
}

var workerStates = map[pg.WorkerState]WorkerState{
	pg.WorkerAlive: WorkerAlive, pg.WorkerDraining: WorkerDraining, pg.WorkerGone: WorkerGone, pg.WorkerLost: WorkerLost,
}

// Workers shows the workers; see [Service].
func (c *Coordinator) Workers(ctx context.Context) ([]Worker, error) {
	list, err := c.store.ListWorkers(ctx)
	if err != nil {
		return nil, c.internal("list workers", err)
	}
	var out []Worker
	for _, w := range list {
		state := workerStates[w.State]
		if (state == WorkerAlive || state == WorkerDraining) && w.LeaseUntil.Before(time.Now().Add(-time.Minute)) {
			state = WorkerLost // and about to be called so
		}
		off := c.unasked(w.Faults)
		out = append(out, Worker{ID: w.ID, Instance: w.Instance, Host: w.Host, State: state, Build: w.Build, Level: w.Level, Pools: w.Pools,
			Faults: faultTexts(w.Faults), Unasked: off, Running: w.Attempts, InLine: w.InLine, StartedAt: w.StartedAt, LeaseUntil: w.LeaseUntil, Counts: countsOf(w.Counts)})
	}
	return out, nil
}

func countsOf(counts map[string]pg.PoolCounts) map[string]PoolCounts {
	if len(counts) == 0 {
		return nil
	}
	out := make(map[string]PoolCounts, len(counts))
	for pool, n := range counts {
		out[pool] = PoolCounts{Running: n.Running, Started: n.Started, Ended: n.Ended}
	}
	return out
}

// unasked puts the faults of built-in executors that nobody has asked for last, and counts them.
func (c *Coordinator) unasked(faults []pg.WorkerFault) (n int) {
	is := func(f pg.WorkerFault) bool { return f.Unasked && c.cfg.Known.Has(f.Executor) }
	slices.SortStableFunc(faults, func(a, b pg.WorkerFault) int {
		switch {
		case is(a) == is(b):
			return 0
		case is(a):
			return 1
		}
		return -1
	})
	for _, f := range faults {
		if is(f) {
			n++
		}
	}
	return n
}

// faultTexts are sentences that say what they are about.
func faultTexts(faults []pg.WorkerFault) (texts []string) {
	for _, f := range faults {
		switch {
		case f.Executor != "" && f.Pool != "":
			texts = append(texts, fmt.Sprintf("executor %s is off, and tasks of pool %s are not taken: %s", f.Executor, f.Pool, f.Text))
		case f.Executor != "":
			texts = append(texts, fmt.Sprintf("executor %s is off: %s", f.Executor, f.Text))
		case f.Pool != "":
			texts = append(texts, fmt.Sprintf("tasks of pool %s are not taken: %s", f.Pool, f.Text))
		default:
			texts = append(texts, f.Text)
		}
	}
	return texts
}

// LiveCoordinator is a coordinator whose lease lives, as shown.
type LiveCoordinator struct {
	Name, Instance, Version string
	Level                   dag.Level // feature level
	StartedAt, LeaseUntil   time.Time
}

// Coordinators shows the coordinators that are alive; see [Service].
func (c *Coordinator) Coordinators(ctx context.Context) ([]LiveCoordinator, error) {
	list, err := c.store.LiveCoordinators(ctx)
	if err != nil {
		return nil, c.internal("list coordinators", err)
	}
	out := make([]LiveCoordinator, len(list))
	for i, l := range list {
		out[i] = LiveCoordinator(l)
	}
	return out, nil
}

// Pools shows the pools; see [Service].
func (c *Coordinator) Pools(ctx context.Context) ([]Pool, error) {
	depths, err := c.store.PoolDepths(ctx)
	if err != nil {
		return nil, c.internal("list pools", err)
	}
	workers, err := c.store.LiveWorkers(ctx)
	if err != nil {
		return nil, c.internal("list pools", err)
	}
	sent, err := c.store.PoolsSent(ctx)
	if err != nil {
		return nil, c.internal("list pools", err)
	}
	queued := make(map[string]pg.PoolDepth, len(sent))
	for _, d := range sent {
		queued[d.Name] = d
	}
	var out []Pool
	for _, d := range depths {
		p := Pool{Name: d.Name, Ready: d.Ready, Oldest: d.Oldest}
		for _, w := range workers {
			if n, ok := w.Pools[d.Name]; ok {
				p.Capacity, p.Workers = p.Capacity+n, p.Workers+1
			}
		}
		if q, some := queued[d.Name]; some {
			p.Queued, p.Oldest = q.Ready, max(p.Oldest, q.Oldest)
		}
		out = append(out, p)
	}
	return out, nil
}
