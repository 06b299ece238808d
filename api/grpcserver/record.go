package grpcserver

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ListAudit(ctx context.Context, r *pb.ListAuditRequest) (*pb.ListAuditResponse, error) {
	page, err := h.on(ctx).Record(ctx, coordinator.RecordFilter{Namespace: r.Namespace, Caller: r.Caller, Method: r.Method, Outcome: coordinator.RecordOutcome(r.Outcome),
		Task: r.Task, Since: timeOf(r.Since), Before: timeOf(r.Before), Limit: int(r.PageSize), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	out := &pb.ListAuditResponse{NextCursor: page.Next}
	for _, call := range page.Items {
		shown := &pb.AuditCall{Entry: auditEntryOf(&call.RecordEntry)}
		if !call.EndedAt.IsZero() {
			shown.EndedAt = timestamppb.New(call.EndedAt)
		}
		out.Calls = append(out.Calls, shown)
	}
	return out, nil
}

func auditEntryOf(e *coordinator.RecordEntry) *pb.AuditEntry {
	c := e.Caller
	return &pb.AuditEntry{Seq: e.Seq, At: timestamppb.New(e.At.Time), Kind: string(e.Kind), Of: e.Of, Namespace: e.Namespace, Method: e.Method, Permission: e.Permission,
		Outcome: string(e.Outcome), Code: e.Code, Error: e.Error, Task: e.Task, Trace: e.Trace, Count: e.Count, Coordinator: e.Coordinator, Details: e.Details,
		Key: e.Key, Prev: e.Prev[:], Hash: e.Hash[:],
		Caller: &pb.AuditCaller{Kind: c.Kind, Name: c.Name, User: c.User, Issuer: c.Issuer, KeyId: c.KeyID, From: c.From, Surface: c.Surface}}
}

// ReadAudit blocks while the client takes nothing: the service's iterator waits with it.
func (h *handler) ReadAudit(r *pb.ReadAuditRequest, stream grpc.ServerStreamingServer[pb.AuditEntry]) error {
	if r.After < 0 {
		return api.InvalidParameter("after", "after must not be negative")
	}
	ctx, stop := h.untilDrained(stream.Context())
	defer stop()
	for e, err := range h.on(ctx).ReadRecord(ctx, coordinator.RecordRange{Namespace: r.Namespace, After: r.After, Since: timeOf(r.Since), Before: timeOf(r.Before), Follow: r.Follow}) {
		if err != nil {
			return ended(ctx, err)
		}
		if err := stream.Send(auditEntryOf(e)); err != nil {
			return err
		}
	}
	return ended(ctx, nil)
}

func (h *handler) VerifyAudit(r *pb.VerifyAuditRequest, stream grpc.ServerStreamingServer[pb.VerifyAuditResponse]) error {
	heads := make([]coordinator.RecordHead, len(r.Heads))
	for i, head := range r.Heads {
		heads[i].Seq = head.Seq
		if copy(heads[i].Hash[:], head.Hash) != len(heads[i].Hash) || len(head.Hash) != len(heads[i].Hash) || head.Seq < 1 {
			return api.InvalidParameter("heads", "heads must have the number of an entry, and a hash of 32 bytes")
		}
	}
	ctx, stop := h.untilDrained(stream.Context())
	defer stop()
	for report, err := range h.on(ctx).VerifyRecord(ctx, heads) {
		if err != nil {
			return ended(ctx, err)
		}
		out := &pb.VerifyAuditResponse{Entries: report.Entries, Unchecked: report.Unchecked, Head: &pb.AuditHead{Seq: report.Head.Seq, Hash: report.Head.Hash[:]}, Done: report.Done}
		for _, f := range report.Faults {
			out.Faults = append(out.Faults, &pb.AuditFault{Seq: f.Seq, Kind: f.Kind, Text: f.Text})
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
	return ended(ctx, nil)
}
