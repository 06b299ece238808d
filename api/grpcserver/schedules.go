package grpcserver

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) NextInstants(ctx context.Context, r *pb.NextInstantsRequest) (*pb.NextInstantsResponse, error) {
	list, err := h.on(ctx).NextInstants(ctx, coordinator.InstantsQuery{Cron: r.Cron, Timezone: r.Timezone, Count: int(r.N), After: timeOf(r.After)})
	if err != nil {
		return nil, err
	}
	return &pb.NextInstantsResponse{Instants: convert(list, func(at time.Time) *pb.Instant {
		return &pb.Instant{At: stamp(at), Local: at.Format(time.RFC3339)}
	})}, nil
}
