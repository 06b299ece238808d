package grpcserver

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// handler implements the service of taskgrove.proto. Its errors become statuses in the interceptors.
type handler struct {
	pb.UnimplementedTaskgroveServer
	pb.UnimplementedKeyServiceServer
	pb.UnimplementedAccessServiceServer
	pb.UnimplementedAuditServiceServer
	pb.UnimplementedPoolServiceServer
	pb.UnimplementedDoctorServiceServer
	pb.UnimplementedSealServiceServer
	pb.UnimplementedNamespaceServiceServer
	pb.UnimplementedLimitServiceServer
	pb.UnimplementedScheduleServiceServer
	pb.UnimplementedFlowServiceServer
	pb.UnimplementedKeepingServiceServer
	access      *coordinator.Access
	surface     coordinator.Surface
	cfg         Config
	submissions chan struct{}   // one element for each submission in hand
	draining    context.Context // ends when the server stops
}

func newHandler(access *coordinator.Access, cfg Config, surface coordinator.Surface, draining context.Context) *handler {
	return &handler{access: access, surface: surface, cfg: cfg, submissions: make(chan struct{}, cfg.MaxSubmissions), draining: draining}
}

// on is the service on behalf of who made the call.
func (h *handler) on(ctx context.Context) coordinator.Service {
	return h.access.For(api.CallerOf(ctx, h.surface, peerOf(ctx)))
}

// peerOf is the address that a call comes from; empty: it is not known.
func peerOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

func (h *handler) Execute(ctx context.Context, r *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	if r.TaskId == "" {
		return nil, missing("task_id")
	}
	opts, err := executeOptions(ctx, "webhook", r)
	if err != nil {
		return nil, err
	}
	got, err := h.on(ctx).Execute(ctx, r.TaskId, *opts)
	if err != nil {
		return nil, err
	}
	return executionOf(got), nil
}

// executeOptions are those of a request; hook is the field that its webhook is in.
func executeOptions(ctx context.Context, hook string, r *pb.ExecuteRequest) (*coordinator.ExecuteOptions, error) {
	key, err := modelKey(ctx)
	if err != nil {
		return nil, err
	}
	webhook, err := webhookOf(hook, r.Webhook)
	if err != nil {
		return nil, err
	}
	return &coordinator.ExecuteOptions{ModelKey: key, Webhook: webhook,
		Force: r.Force, RerunCancelled: r.RerunCancelled, RerunDependencies: r.RerunDependencies, KeepCompleted: r.KeepCompleted, Demo: r.Demo, NoCache: r.NoCache, DryRun: r.DryRun}, nil
}

func executionOf(e *coordinator.Execution) *pb.ExecuteResponse {
	if e == nil {
		return nil
	}
	out := &pb.ExecuteResponse{TreeId: e.TreeID, Status: executeStatus[e.Outcome], Tasks: int64(e.Tasks), CancelledId: e.Cancelled}
	for _, m := range e.Planned {
		out.Planned = append(out.Planned, &pb.Match{Id: m.ID, TreeId: m.TreeID, Name: m.Name, Status: string(m.Status)})
	}
	return out
}

func (h *handler) GetTask(ctx context.Context, r *pb.GetTaskRequest) (*pb.Task, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).Task(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return taskOf(got), nil
}

func (h *handler) SkipTask(ctx context.Context, r *pb.SkipTaskRequest) (*pb.Task, error) {
	if r.TaskId == "" {
		return nil, missing("task_id")
	}
	got, err := h.on(ctx).Skip(ctx, r.TaskId)
	if err != nil {
		return nil, err
	}
	return taskOf(got), nil
}

func (h *handler) GetTree(ctx context.Context, r *pb.GetTreeRequest) (*pb.Tree, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).Tree(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return treeOf(got), nil
}

func (h *handler) ListAttempts(ctx context.Context, r *pb.ListAttemptsRequest) (*pb.ListAttemptsResponse, error) {
	if r.TaskId == "" {
		return nil, missing("task_id")
	}
	got, err := h.on(ctx).Attempts(ctx, r.TaskId)
	if err != nil {
		return nil, err
	}
	return &pb.ListAttemptsResponse{Attempts: convert(got, attemptOf)}, nil
}

// Watch blocks while the client takes nothing: the service's iterator waits with it and drops nothing.
func (h *handler) Watch(r *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.Event]) error {
	if r.Id == "" {
		return missing("id")
	}
	if r.After < 0 {
		return api.InvalidParameter("after", "after must not be negative")
	}
	ctx, stop := h.untilDrained(stream.Context())
	defer stop()
	for event, err := range h.on(ctx).Watch(ctx, r.Id, r.After) {
		if err != nil {
			return ended(ctx, err)
		}
		if err := stream.Send(eventOf(event)); err != nil {
			return err
		}
	}
	return ended(ctx, nil)
}

// executeStatus are the outcomes' names on this wire.
var executeStatus = map[coordinator.ExecuteOutcome]string{
	coordinator.Started: "started", coordinator.AlreadyRunning: "already_running", coordinator.NothingToDo: "completed",
	coordinator.WasCancelled: "cancelled", coordinator.Planned: "planned",
}

func (h *handler) Cancel(ctx context.Context, r *pb.CancelRequest) (*pb.CancelResponse, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	reason := r.Message
	switch {
	case reason != "":
	case r.Force:
		reason = "Force cancelled by user"
	default:
		reason = "Cancelled by user"
	}
	got, err := h.on(ctx).Cancel(ctx, r.Id, coordinator.CancelOptions{Reason: reason, Cascade: r.Cascade})
	switch {
	case errors.Is(err, coordinator.ErrNotFound):
		return nil, &api.Fault{Kind: api.NotFound, Text: "task " + r.Id + " not found"}
	case err != nil:
		return nil, err
	case got.Outcome == coordinator.AlreadyEnded:
		return &pb.CancelResponse{Status: "failed", CurrentStatus: string(got.Status),
			Message: fmt.Sprintf("Task %s is already %s, cannot cancel", r.Id, got.Status)}, nil
	}
	return &pb.CancelResponse{Status: "cancelled", Message: got.Reason}, nil
}

// untilDrained is ctx, ended also when the server stops.
func (h *handler) untilDrained(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(h.draining, func() { cancel(api.ErrShutdown) })
	return ctx, func() { unhook(); cancel(nil) }
}

// ended is err, but the server's stopping if that was the reason.
func ended(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), api.ErrShutdown) {
		return api.ErrShutdown
	}
	return err
}

func missing(field string) error { return api.InvalidParameter(field, field+" is required") }
