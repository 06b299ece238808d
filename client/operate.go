package client

import (
	"context"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Worker is a worker as the cluster shows it.
type Worker struct {
	ID, Instance, Host, State, Build string // State: alive, draining, gone, lost
	Pools                            map[string]int
	Faults                           []string // what keeps it from work, a sentence each
	Unasked                          int      // how many of them, the last ones, are of built-in executors that are off and that its operator has not named
	Level                            int      // feature level; 0: its coordinator is of a version that does not say
	Running                          int      // attempts in hand, by its last beat: those that run, wait for a slot, or are not settled
	InLine                           int      // those of them that wait for a slot: they are claimed ahead
	StartedAt, LeaseUntil            time.Time
	Counts                           map[string]PoolCounts // by pool, as its last beat says; nil: it says nothing, as before version 0.9
}

// PoolCounts are what a worker runs in a pool, and how much it began and ended there since its process began.
type PoolCounts struct {
	Running        int
	Started, Ended int64
}

// Pool is a pool as the cluster shows it.
type Pool struct {
	Name              string
	Ready, Queued     int // waiting in Postgres; sent to NATS and not claimed
	Capacity, Workers int
	Oldest            time.Duration // how long the oldest task has waited, in Postgres or, once it was sent, in NATS
}

// Workers shows the workers that are alive or were alive recently.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	got, err := c.rpc.ListWorkers(ctx, &pb.ListWorkersRequest{})
	if err != nil {
		return nil, wrap(ctx, err, "list workers")
	}
	out := make([]Worker, len(got.Workers))
	for i, w := range got.Workers {
		out[i] = Worker{
			ID: w.Id, Instance: w.Instance, Host: w.Host, State: w.State, Build: w.Build, Level: int(w.Level), Running: int(w.Running), InLine: int(w.InLine),
			StartedAt: at(w.StartedAt), LeaseUntil: at(w.LeaseUntil), Pools: make(map[string]int, len(w.Pools)), Faults: w.Faults, Unasked: int(w.Unasked),
		}
		for pool, n := range w.Pools {
			out[i].Pools[pool] = int(n)
		}
		for pool, n := range w.Counts {
			if out[i].Counts == nil {
				out[i].Counts = make(map[string]PoolCounts, len(w.Counts))
			}
			out[i].Counts[pool] = PoolCounts{Running: int(n.GetRunning()), Started: n.GetStarted(), Ended: n.GetEnded()}
		}
	}
	return out, nil
}

// Coordinator is a coordinator that is alive.
type Coordinator struct {
	Name, Instance, Version string // Instance: one run of one process
	Level                   int    // feature level
	StartedAt, LeaseUntil   time.Time
}

// Coordinators shows the coordinators that are alive, oldest first, except those of version 0.1.0, which don't announce themselves.
func (c *Client) Coordinators(ctx context.Context) ([]Coordinator, error) {
	got, err := c.rpc.ListCoordinators(ctx, &pb.ListCoordinatorsRequest{})
	if err != nil {
		return nil, wrap(ctx, err, "list coordinators")
	}
	out := make([]Coordinator, len(got.Coordinators))
	for i, x := range got.Coordinators {
		out[i] = Coordinator{Name: x.Name, Instance: x.Instance, Version: x.Version, Level: int(x.Level),
			StartedAt: at(x.StartedAt), LeaseUntil: at(x.LeaseUntil)}
	}
	return out, nil
}

// Pools shows each pool's depth and capacity.
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	got, err := c.rpc.ListPools(ctx, &pb.ListPoolsRequest{})
	if err != nil {
		return nil, wrap(ctx, err, "list pools")
	}
	out := make([]Pool, len(got.Pools))
	for i, p := range got.Pools {
		out[i] = Pool{
			Name: p.Name, Ready: int(p.Ready), Queued: int(p.Queued), Capacity: int(p.Capacity), Workers: int(p.Workers),
			Oldest: p.Oldest.AsDuration(),
		}
	}
	return out, nil
}
