package grpcserver

import (
	"google.golang.org/grpc"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) Logs(r *pb.LogsRequest, stream grpc.ServerStreamingServer[pb.LogLine]) error {
	if r.TaskId == "" {
		return missing("task_id")
	}
	ctx, stop := h.untilDrained(stream.Context())
	defer stop()
	f := coordinator.LogFilter{TaskID: r.TaskId, Tree: r.Tree, Attempt: int(r.Attempt), Tail: int(r.Tail), Since: timeOf(r.Since), Follow: r.Follow}
	for line, err := range h.on(ctx).Logs(ctx, f) {
		if err != nil {
			return ended(ctx, err)
		}
		if err := stream.Send(lineOf(line)); err != nil {
			return err
		}
	}
	return ended(ctx, nil)
}

func lineOf(l *coordinator.LogLine) *pb.LogLine {
	return &pb.LogLine{TaskId: l.TaskID, Name: l.Name, Attempt: int32(l.Attempt), Number: l.Number, Stream: l.Stream, Text: l.Text, At: stamp(l.At)}
}
