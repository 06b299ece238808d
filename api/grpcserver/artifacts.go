package grpcserver

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ListArtifacts(ctx context.Context, r *pb.ListArtifactsRequest) (*pb.ListArtifactsResponse, error) {
	if r.TaskId == "" {
		return nil, missing("task_id")
	}
	page, err := h.on(ctx).Artifacts(ctx, coordinator.ArtifactFilter{TaskID: r.TaskId, Tree: r.Tree, Cursor: r.Cursor, Limit: int(r.Limit)})
	if err != nil {
		return nil, err
	}
	out := &pb.ListArtifactsResponse{Cursor: page.Next}
	for _, a := range page.Items {
		out.Artifacts = append(out.Artifacts, artifactOf(a))
	}
	return out, nil
}

// artifactPart is how much of an artifact travels in one message.
const artifactPart = 256 << 10

func (h *handler) GetArtifact(r *pb.GetArtifactRequest, stream grpc.ServerStreamingServer[pb.GetArtifactResponse]) error {
	if r.TaskId == "" {
		return missing("task_id")
	}
	ctx, stop := h.untilDrained(stream.Context())
	defer stop()
	a, err := h.on(ctx).OpenArtifact(ctx, coordinator.ArtifactQuery{TaskID: r.TaskId, Name: r.Name, Attempt: int(r.Attempt), Offset: r.Offset})
	if err != nil {
		return ended(ctx, err)
	}
	defer func() { _ = a.Close() }()
	about := artifactOf(&a.Artifact)
	for buffer := make([]byte, artifactPart); ; {
		n, err := io.ReadFull(a, buffer)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return ended(ctx, err)
		}
		if n > 0 || about != nil {
			if err := stream.Send(&pb.GetArtifactResponse{Artifact: about, Data: buffer[:n]}); err != nil {
				return err
			}
			about = nil
		}
		if last {
			return ended(ctx, nil)
		}
	}
}

func artifactOf(a *coordinator.Artifact) *pb.Artifact {
	return &pb.Artifact{Name: a.Name, TaskId: a.TaskID, TaskName: a.TaskName, Attempt: int32(a.Attempt), Kind: string(a.Kind), Sha256: a.SHA256, Size: a.Size,
		MediaType: a.MediaType, CreatedAt: stamp(a.Created)}
}
