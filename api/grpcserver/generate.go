package grpcserver

import (
	"encoding/json"
	"strings"

	"google.golang.org/grpc"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Generate tells which task generates, and then what it made.
func (h *handler) Generate(r *pb.GenerateRequest, stream grpc.ServerStreamingServer[pb.GenerateResponse]) error {
	ctx := stream.Context()
	if strings.TrimSpace(r.Requirement) == "" {
		return api.InvalidParameter("requirement", "Requirement is required")
	}
	key, err := modelKey(ctx)
	if err != nil {
		return err
	}
	opts := coordinator.GenerateOptions{
		ModelKey:    key,
		Requirement: r.Requirement, UserID: r.UserId, Provider: r.Provider, Model: r.Model, Temperature: r.Temperature,
		MaxTokens: int(r.MaxTokens), MaxTasks: int(r.MaxTasks), Executors: r.Executors, AllowCommands: r.AllowCommands,
		Budget: r.Budget, OnExhausted: r.OnExhausted, Save: r.Save,
		Started: func(id string) { _ = stream.Send(&pb.GenerateResponse{TaskId: id}) }, // if the client has gone, the context ends
	}
	if len(r.Budget) > 0 && !json.Valid(r.Budget) {
		return api.InvalidParameter("budget", "budget must be a JSON object")
	}
	if r.Timeout != nil {
		if opts.Timeout = r.Timeout.AsDuration(); opts.Timeout <= 0 {
			return api.InvalidParameter("timeout", "timeout must be above 0")
		}
	}
	out, err := h.on(ctx).Generate(ctx, opts)
	if err != nil {
		return err
	}
	return stream.Send(&pb.GenerateResponse{
		TaskId: out.TaskID, Tasks: out.Tasks, Count: int64(out.Count), Message: out.Message, Model: out.Model, Repaired: out.Repaired,
		Warnings: out.Warnings, RootTaskId: out.RootTaskID, IdMap: out.IDMap,
	})
}
