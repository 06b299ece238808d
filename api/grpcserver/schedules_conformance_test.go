package grpcserver_test

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

func (r *remote) NextInstants(ctx context.Context, q coordinator.InstantsQuery) ([]time.Time, error) {
	return r.c.NextInstants(ctx, client.InstantsQuery(q))
}
