package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) Why(ctx context.Context, r *pb.WhyRequest) (*pb.WhyResponse, error) {
	if r.TaskId == "" {
		return nil, missing("task_id")
	}
	got, err := h.on(ctx).Why(ctx, r.TaskId)
	if err != nil {
		return nil, err
	}
	return &pb.WhyResponse{TaskId: got.TaskID, TreeId: got.TreeID, Name: got.Name, Status: string(got.State.Status()), State: got.State.String(),
		Summary: got.Summary, Waits: convert(got.Waits, waitOf)}, nil
}

// waitKinds are the kinds' names on this wire.
var waitKinds = map[coordinator.WaitKind]string{
	coordinator.WaitExecute: "execute", coordinator.WaitDependency: "dependency", coordinator.WaitNotBefore: "not_before",
	coordinator.WaitRetry: "retry", coordinator.WaitPool: "pool", coordinator.WaitCapacity: "capacity",
	coordinator.WaitDispatch: "dispatch", coordinator.WaitWorker: "worker", coordinator.WaitBlocked: "blocked",
	coordinator.WaitSlot: "slot", coordinator.WaitSignal: "signal", coordinator.WaitApproval: "approval", coordinator.WaitTime: "time", coordinator.WaitTree: "tree",
	coordinator.WaitLimit: "limit", coordinator.WaitLock: "lock", coordinator.WaitRate: "rate", coordinator.WaitPause: "pause",
}

func waitOf(w coordinator.Wait) *pb.Wait {
	out := &pb.Wait{Kind: waitKinds[w.Kind], Text: w.Text, TaskId: w.TaskID, TaskName: w.TaskName, Error: w.Error, Pool: w.Pool,
		Until: stamp(w.Until), Since: stamp(w.Since), Ahead: int64(w.Ahead), Capacity: int32(w.Capacity),
		Attempt: int32(w.Attempt), Worker: w.Worker}
	if w.TaskID != "" {
		out.TaskState = w.TaskState.String()
	}
	return out
}
