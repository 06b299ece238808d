package grpcserver

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ListTasks(ctx context.Context, r *pb.ListTasksRequest) (*pb.ListTasksResponse, error) {
	f := coordinator.TaskFilter{TreeOf: r.TreeId, ParentID: r.ParentId, UserID: r.UserId, Name: r.Name, Executor: r.Executor,
		Since: timeOf(r.Since), Before: timeOf(r.Before), AsSubmitted: r.AsSubmitted, Approvals: r.Approvals, OriginalID: r.OriginalTaskId, Custom: r.Custom, RootOnly: r.RootOnly, Labels: r.Labels, Offset: int(r.Offset),
		Limit: int(r.Limit), Cursor: r.Cursor, Error: r.Error}
	for _, n := range r.Places {
		f.Places = append(f.Places, int(n))
	}
	var err error
	if f.Status, err = statusParameter(r.Status); err != nil {
		return nil, err
	}
	if f.States, err = stateParameter(r.State); err != nil {
		return nil, err
	}
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Tasks(ctx, f)
	if err != nil {
		return nil, err
	}
	return &pb.ListTasksResponse{Tasks: convert(page.Items, taskOf), NextCursor: page.Next}, nil
}

func (h *handler) ListTrees(ctx context.Context, r *pb.ListTreesRequest) (*pb.ListTreesResponse, error) {
	f := coordinator.TreeFilter{UserID: r.UserId, Name: r.Name, Part: r.NamePart, Since: timeOf(r.Since), Before: timeOf(r.Before), Running: r.Running, Labels: r.Labels,
		Limit: int(r.Limit), Cursor: r.Cursor}
	var err error
	if f.Status, err = statusParameter(r.Status); err != nil {
		return nil, err
	}
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Trees(ctx, f)
	if err != nil {
		return nil, err
	}
	return &pb.ListTreesResponse{Trees: convert(page.Items, treeOf), NextCursor: page.Next}, nil
}

func (h *handler) Resolve(ctx context.Context, r *pb.ResolveRequest) (*pb.ResolveResponse, error) {
	if r.Ref == "" {
		return nil, missing("ref")
	}
	got, err := h.on(ctx).Resolve(ctx, r.Ref, "")
	if err != nil {
		return nil, err
	}
	return &pb.ResolveResponse{More: got.More, Tasks: convert(got.Tasks, func(m coordinator.Match) *pb.Match {
		return &pb.Match{Id: m.ID, TreeId: m.TreeID, Name: m.Name, Status: string(m.Status)}
	})}, nil
}

// timeOf is the zero time for an absent stamp.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func checkLimit(limit int32) error {
	if limit < 0 || limit > 1000 {
		return api.InvalidParameter("limit", "limit must be from 1 to 1000, or 0 for the default")
	}
	return nil
}

func statusParameter(s string) (dag.Status, error) {
	if s == "" {
		return "", nil
	}
	status, ok := dag.ParseStatus(s)
	if !ok {
		return "", api.InvalidParameter("status", "status must be one of pending, in_progress, completed, failed, cancelled, skipped, expanded, awaiting")
	}
	return status, nil
}

// stateParameter is the set of the state; empty for none.
func stateParameter(s string) (dag.StateSet, error) {
	if s == "" {
		return 0, nil
	}
	state, ok := dag.ParseState(s)
	if !ok {
		return 0, api.InvalidParameter("state",
			"state must be one of held, waiting, delayed, ready, running, blocked, completed, failed, cancelled")
	}
	return state.Set(), nil
}
