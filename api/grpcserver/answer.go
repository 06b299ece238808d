package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) Signal(ctx context.Context, r *pb.SignalRequest) (*pb.SignalResponse, error) {
	if r.TaskId == "" {
		return nil, missing("task_id")
	}
	got, err := h.on(ctx).Signal(ctx, r.TaskId, coordinator.Signal{Name: r.Name, Payload: r.Payload, IdempotencyKey: r.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return &pb.SignalResponse{Status: string(got.Status), Task: taskOf(got.Task)}, nil
}

func (h *handler) Approve(ctx context.Context, r *pb.ApproveRequest) (*pb.Task, error) {
	answer := coordinator.Approval{Choice: r.Choice, Comment: r.Comment, Payload: r.Payload}
	switch {
	case r.Token != "" && r.TaskId != "":
		return nil, api.InvalidParameter("token", "token says which task: task_id must be empty")
	case r.Token != "":
		got, err := h.on(ctx).ApproveByLink(ctx, r.Token, answer)
		if err != nil {
			return nil, err
		}
		return &pb.Task{Id: got.TaskID, Name: got.Name}, nil
	case r.TaskId == "":
		return nil, missing("task_id")
	}
	got, err := h.on(ctx).Approve(ctx, r.TaskId, answer)
	if err != nil {
		return nil, err
	}
	return taskOf(got), nil
}

func (h *handler) LinkApproval(ctx context.Context, r *pb.LinkApprovalRequest) (*pb.LinkApprovalResponse, error) {
	if r.TaskId == "" {
		return nil, missing("task_id")
	}
	got, err := h.on(ctx).ApprovalLink(ctx, r.TaskId, coordinator.LinkOptions{Name: r.Name, Expires: r.Expires.AsDuration()})
	if err != nil {
		return nil, err
	}
	return &pb.LinkApprovalResponse{Token: got.Token, Path: got.Path, Url: got.URL, ExpiresAt: stamp(got.Expires)}, nil
}
