package grpcserver

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ListWorkers(ctx context.Context, _ *pb.ListWorkersRequest) (*pb.ListWorkersResponse, error) {
	got, err := h.on(ctx).Workers(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.ListWorkersResponse{Workers: convert(got, workerOf)}, nil
}

// workerStates are the states' names on this wire.
var workerStates = map[coordinator.WorkerState]string{
	coordinator.WorkerAlive: "alive", coordinator.WorkerDraining: "draining", coordinator.WorkerGone: "gone", coordinator.WorkerLost: "lost",
}

func workerOf(w coordinator.Worker) *pb.Worker {
	out := &pb.Worker{
		Id: w.ID, Instance: w.Instance, Host: w.Host, State: workerStates[w.State], Build: w.Build, Level: int32(w.Level), Running: int32(w.Running), InLine: int32(w.InLine), Unasked: int32(w.Unasked),
		StartedAt: stamp(w.StartedAt), LeaseUntil: stamp(w.LeaseUntil), Pools: make(map[string]int32, len(w.Pools)), Faults: w.Faults,
	}
	for pool, n := range w.Pools {
		out.Pools[pool] = int32(n)
	}
	for pool, n := range w.Counts {
		if out.Counts == nil {
			out.Counts = make(map[string]*pb.PoolCounts, len(w.Counts))
		}
		out.Counts[pool] = &pb.PoolCounts{Running: int32(n.Running), Started: n.Started, Ended: n.Ended}
	}
	return out
}

func (h *handler) ListCoordinators(ctx context.Context, _ *pb.ListCoordinatorsRequest) (*pb.ListCoordinatorsResponse, error) {
	got, err := h.on(ctx).Coordinators(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.ListCoordinatorsResponse{Coordinators: convert(got, coordinatorOf)}, nil
}

func coordinatorOf(c coordinator.LiveCoordinator) *pb.Coordinator {
	return &pb.Coordinator{Name: c.Name, Instance: c.Instance, Version: c.Version, Level: int32(c.Level),
		StartedAt: stamp(c.StartedAt), LeaseUntil: stamp(c.LeaseUntil)}
}

func (h *handler) ListPools(ctx context.Context, _ *pb.ListPoolsRequest) (*pb.ListPoolsResponse, error) {
	got, err := h.on(ctx).Pools(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.ListPoolsResponse{Pools: convert(got, poolOf)}, nil
}

func poolOf(p coordinator.Pool) *pb.Pool {
	return &pb.Pool{
		Name: p.Name, Ready: int64(p.Ready), Queued: int64(p.Queued), Capacity: int32(p.Capacity),
		Workers: int32(p.Workers), Oldest: durationpb.New(p.Oldest),
	}
}
