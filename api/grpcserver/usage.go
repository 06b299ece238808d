package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ListUsage(ctx context.Context, r *pb.ListUsageRequest) (*pb.ListUsageResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Usage(ctx, coordinator.UsageFilter{By: coordinator.UsageBy(r.By), Since: timeOf(r.Since), Before: timeOf(r.Before),
		UserID: r.UserId, TreeOf: r.TreeId, Model: r.Model, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListUsageResponse{NextCursor: page.Next, Groups: convert(page.Items, func(g coordinator.UsageGroup) *pb.UsageGroup {
		return &pb.UsageGroup{Key: g.Key, Usage: usageOf(&g.Usage)}
	})}, nil
}

// usageOf is absent for nil.
func usageOf(u *coordinator.Usage) *pb.Usage {
	if u == nil {
		return nil
	}
	return &pb.Usage{Calls: u.Calls, PromptTokens: u.Prompt, CompletionTokens: u.Completion, CachedPromptTokens: u.Cached, UnpricedCalls: u.Unpriced,
		Costs: convert(u.Costs, func(c coordinator.Cost) *pb.Cost { return &pb.Cost{Nanos: c.Nanos, Currency: c.Currency} }),
		Models: convert(u.Models, func(m dag.Used) *pb.ModelUsage {
			return &pb.ModelUsage{Model: m.Model, Usage: usageOf(coordinator.UsageOf([]dag.Used{m}, false))}
		})}
}
