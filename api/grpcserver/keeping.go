package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) Hold(ctx context.Context, r *pb.HoldRequest) (*pb.HoldInfo, error) {
	got, err := h.on(ctx).Hold(ctx, coordinator.HoldSpec{TreeID: r.TreeId, Reason: r.Reason})
	if err != nil {
		return nil, err
	}
	return holdOf(got), nil
}

func (h *handler) Release(ctx context.Context, r *pb.ReleaseRequest) (*pb.ReleaseResponse, error) {
	if r.TreeId == "" {
		return nil, missing("tree_id")
	}
	if err := h.on(ctx).Release(ctx, r.TreeId); err != nil {
		return nil, err
	}
	return &pb.ReleaseResponse{}, nil
}

func (h *handler) ListHolds(ctx context.Context, r *pb.ListHoldsRequest) (*pb.ListHoldsResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Holds(ctx, coordinator.HoldFilter{UserID: r.UserId, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListHoldsResponse{Holds: convert(page.Items, holdOf), Cursor: page.Next}, nil
}

// holdOf is absent for no hold.
func holdOf(h *coordinator.HoldInfo) *pb.HoldInfo {
	if h == nil {
		return nil
	}
	return &pb.HoldInfo{TreeId: h.TreeID, SetBy: h.SetBy, SetAt: stamp(h.SetAt), Reason: h.Reason}
}

func (h *handler) Erase(ctx context.Context, r *pb.EraseRequest) (*pb.ErasureInfo, error) {
	got, err := h.on(ctx).Erase(ctx, coordinator.EraseSpec{UserID: r.UserId, Cancel: r.Cancel, Preview: r.Preview})
	if err != nil {
		return nil, err
	}
	return erasureOf(got), nil
}

func (h *handler) GetErasure(ctx context.Context, r *pb.GetErasureRequest) (*pb.ErasureInfo, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).Erasure(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return erasureOf(got), nil
}

func (h *handler) ListErasures(ctx context.Context, r *pb.ListErasuresRequest) (*pb.ListErasuresResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Erasures(ctx, coordinator.ErasureFilter{Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListErasuresResponse{Erasures: convert(page.Items, erasureOf), Cursor: page.Next}, nil
}

func erasureOf(e *coordinator.ErasureInfo) *pb.ErasureInfo {
	return &pb.ErasureInfo{Id: e.ID, UserId: e.UserID, Cancel: e.Cancel, AskedBy: e.AskedBy, AskedAt: stamp(e.AskedAt), Step: e.Step, MovedAt: stamp(e.MovedAt),
		FinishedAt: stamp(e.FinishedAt), Counts: e.Counts}
}
