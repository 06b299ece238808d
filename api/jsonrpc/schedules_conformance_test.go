package jsonrpc_test

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

func (r *remote) NextInstants(ctx context.Context, q coordinator.InstantsQuery) (list []time.Time, err error) {
	params := map[string]any{"cron": q.Cron, "timezone": q.Timezone}
	if q.Count != 0 {
		params["n"] = q.Count
	}
	if !q.After.IsZero() {
		params["after"] = q.After
	}
	var got struct{ Instants []time.Time }
	_, err = r.postTo(ctx, "/system", "schedules.next", params, &got)
	return got.Instants, err
}
