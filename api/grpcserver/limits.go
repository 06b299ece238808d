package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) SetLimit(ctx context.Context, r *pb.SetLimitRequest) (*pb.LimitRule, error) {
	set, err := h.on(ctx).SetLimit(ctx, coordinator.LimitSpec{LimitTarget: limitTargetIn(r.Target), Max: r.Max, Running: r.Running, Waiting: r.Waiting,
		Per: coordinator.RatePer(r.Per), Burst: r.Burst, Reason: r.Reason, Owner: r.Owner, IfRevision: r.Revision})
	if err != nil {
		return nil, err
	}
	return limitOf(set), nil
}

func (h *handler) ListLimits(ctx context.Context, r *pb.ListLimitsRequest) (*pb.ListLimitsResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Limits(ctx, coordinator.LimitFilter{All: r.All, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListLimitsResponse{Limits: convert(page.Items, limitOf), Cursor: page.Next}, nil
}

func (h *handler) DeleteLimit(ctx context.Context, r *pb.DeleteLimitRequest) (*pb.DeleteLimitResponse, error) {
	if err := h.on(ctx).DeleteLimit(ctx, limitTargetIn(r.Target), r.Revision); err != nil {
		return nil, err
	}
	return &pb.DeleteLimitResponse{}, nil
}

func (h *handler) SetWeight(ctx context.Context, r *pb.SetWeightRequest) (*pb.SetWeightResponse, error) {
	if err := h.on(ctx).SetWeight(ctx, r.UserId, r.Weight); err != nil {
		return nil, err
	}
	return &pb.SetWeightResponse{}, nil
}

func (h *handler) Pause(ctx context.Context, r *pb.PauseRequest) (*pb.PauseInfo, error) {
	p, err := h.on(ctx).Pause(ctx, pauseTargetIn(r.Target), r.Reason)
	if err != nil {
		return nil, err
	}
	return pauseOf(p), nil
}

func (h *handler) Resume(ctx context.Context, r *pb.ResumeRequest) (*pb.ResumeResponse, error) {
	if err := h.on(ctx).Resume(ctx, pauseTargetIn(r.Target)); err != nil {
		return nil, err
	}
	return &pb.ResumeResponse{}, nil
}

func (h *handler) ListPauses(ctx context.Context, r *pb.ListPausesRequest) (*pb.ListPausesResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Pauses(ctx, coordinator.PauseFilter{Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListPausesResponse{Pauses: convert(page.Items, pauseOf), Cursor: page.Next}, nil
}

func limitTargetIn(t *pb.LimitTarget) coordinator.LimitTarget {
	return coordinator.LimitTarget{Key: t.GetKey(), Rate: t.GetRate(), Pool: t.GetPool(), UserID: t.GetUserId(), Lock: t.GetLock()}
}

func pauseTargetIn(t *pb.PauseTarget) coordinator.PauseTarget {
	return coordinator.PauseTarget{TreeID: t.GetTreeId(), Pool: t.GetPool(), Everything: t.GetEverything()}
}

func limitOf(l *coordinator.LimitInfo) *pb.LimitRule {
	out := &pb.LimitRule{Target: &pb.LimitTarget{}, Max: l.Max, Running: l.Running, Waiting: l.Waiting, Per: dag.RateWord(l.Per), Burst: l.Burst,
		SetBy: l.SetBy, SetAt: stamp(l.SetAt), Reason: l.Reason, Held: l.Held, Waiters: l.Waiters, Counted: l.Counted, Weight: l.Weight, Revision: l.Revision}
	if l.Owner != nil {
		out.Owner = *l.Owner
	}
	switch {
	case l.Key != "":
		out.Target.Of = &pb.LimitTarget_Key{Key: l.Key}
	case l.Rate != "":
		out.Target.Of = &pb.LimitTarget_Rate{Rate: l.Rate}
	case l.Pool != "":
		out.Target.Of = &pb.LimitTarget_Pool{Pool: l.Pool}
	case l.UserID != "":
		out.Target.Of = &pb.LimitTarget_UserId{UserId: l.UserID}
	case l.Lock != "":
		out.Target.Of = &pb.LimitTarget_Lock{Lock: l.Lock}
	}
	return out
}

func pauseOf(p *coordinator.PauseInfo) *pb.PauseInfo {
	out := &pb.PauseInfo{Target: &pb.PauseTarget{}, SetBy: p.SetBy, SetAt: stamp(p.SetAt), Reason: p.Reason}
	switch {
	case p.Everything:
		out.Target.Of = &pb.PauseTarget_Everything{Everything: true}
	case p.Pool != "":
		out.Target.Of = &pb.PauseTarget_Pool{Pool: p.Pool}
	case p.TreeID != "":
		out.Target.Of = &pb.PauseTarget_TreeId{TreeId: p.TreeID}
	}
	return out
}
