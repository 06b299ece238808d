package grpcserver

import (
	"google.golang.org/grpc"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// SnapshotTree sends parts as its client takes them.
func (h *handler) SnapshotTree(r *pb.SnapshotTreeRequest, stream grpc.ServerStreamingServer[pb.SnapshotPart]) error {
	if r.Id == "" {
		return missing("id")
	}
	ctx, stop := h.untilDrained(stream.Context())
	defer stop()
	opts := coordinator.SnapshotOptions{IDs: r.Ids}
	for _, place := range r.Only {
		opts.Only = append(opts.Only, int(place))
	}
	for part, err := range h.on(ctx).Snapshot(ctx, r.Id, opts) {
		if err != nil {
			return ended(ctx, err)
		}
		if err := stream.Send(snapshotPartOf(part)); err != nil {
			return err
		}
	}
	return ended(ctx, nil)
}

func snapshotPartOf(p *coordinator.SnapshotPart) *pb.SnapshotPart {
	return &pb.SnapshotPart{Tree: treeOf(p.Tree), Tasks: int32(p.Tasks), Places: p.Places, Names: p.Names, Ids: p.IDs, Parents: p.Parents, Dependencies: p.Dependencies, States: p.States,
		Executors: p.Executors, Executor: p.ExecutorOf, Pools: p.Pools, Pool: p.PoolOf, Attempts: p.Attempts, Ready: p.Ready, Started: p.Started, Completed: p.Completed}
}
