package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) SetPoolRule(ctx context.Context, r *pb.SetPoolRuleRequest) (*pb.PoolRule, error) {
	if r.Rule.GetPool() == "" {
		return nil, missing("rule.pool")
	}
	rule := dag.PoolRule{Pool: r.Rule.Pool, Namespaces: r.Rule.Namespaces, Executors: r.Rule.Executors, Connections: r.Rule.Connections, Secrets: r.Rule.Secrets}
	if err := h.on(ctx).SetPoolRule(ctx, rule); err != nil {
		return nil, err
	}
	return poolRule(&rule), nil
}

func (h *handler) ListPoolRules(ctx context.Context, _ *pb.ListPoolRulesRequest) (*pb.ListPoolRulesResponse, error) {
	list, err := h.on(ctx).PoolRules(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.ListPoolRulesResponse{Rules: convert(list, poolRule)}, nil
}

func (h *handler) DeletePoolRule(ctx context.Context, r *pb.DeletePoolRuleRequest) (*pb.DeletePoolRuleResponse, error) {
	if r.Pool == "" {
		return nil, missing("pool")
	}
	if err := h.on(ctx).DeletePoolRule(ctx, r.Pool); err != nil {
		return nil, err
	}
	return &pb.DeletePoolRuleResponse{}, nil
}

func poolRule(r *dag.PoolRule) *pb.PoolRule {
	return &pb.PoolRule{Pool: r.Pool, Namespaces: r.Namespaces, Executors: r.Executors, Connections: r.Connections, Secrets: r.Secrets}
}
