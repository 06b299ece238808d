package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ListLocks(ctx context.Context, r *pb.ListLocksRequest) (*pb.ListLocksResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Locks(ctx, coordinator.LockFilter{Key: r.Key, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListLocksResponse{Locks: convert(page.Items, heldLock), Cursor: page.Next}, nil
}

func (h *handler) BreakLock(ctx context.Context, r *pb.BreakLockRequest) (*pb.HeldLock, error) {
	broken, err := h.on(ctx).BreakLock(ctx, coordinator.LockBreak{Key: r.Key, Token: r.Token, Holder: r.Holder, Reason: r.Reason})
	if err != nil {
		return nil, err
	}
	return heldLock(&broken.LockInfo), nil
}

func heldLock(l *coordinator.LockInfo) *pb.HeldLock {
	return &pb.HeldLock{Key: l.Key, Token: l.Token, Since: stamp(l.Since), TaskId: l.TaskID, TaskName: l.TaskName, TreeId: l.TreeID, Attempt: int32(l.Attempt), ForId: l.ForID, ForName: l.ForName, Waiters: l.Waiters}
}
