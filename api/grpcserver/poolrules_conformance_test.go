package grpcserver_test

import (
	"context"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
)

func (r *remote) SetPoolRule(ctx context.Context, rule dag.PoolRule) error {
	return r.c.SetPoolRule(ctx, client.PoolRule(rule))
}

func (r *remote) PoolRules(ctx context.Context) (out []*dag.PoolRule, err error) {
	list, err := r.c.PoolRules(ctx)
	for _, rule := range list {
		one := dag.PoolRule(rule)
		out = append(out, &one)
	}
	return out, err
}

func (r *remote) DeletePoolRule(ctx context.Context, pool string) error {
	return r.c.DeletePoolRule(ctx, pool)
}
