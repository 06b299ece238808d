package grpcserver

import (
	"google.golang.org/grpc"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Verify streams violations as they are found. It blocks while the client takes nothing: the service's iterator waits
// with it.
func (h *handler) Verify(r *pb.VerifyRequest, stream grpc.ServerStreamingServer[pb.Violation]) error {
	ctx, stop := h.untilDrained(stream.Context())
	defer stop()
	for v, err := range h.on(ctx).Verify(ctx, r.TreeId) {
		if err != nil {
			return ended(ctx, err)
		}
		if err := stream.Send(&pb.Violation{Kind: v.Kind, TreeId: v.TreeID, TaskId: v.TaskID, Text: v.Text}); err != nil {
			return err
		}
	}
	return ended(ctx, nil)
}
