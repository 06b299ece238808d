package grpcserver

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ListExecutors(ctx context.Context, r *pb.ListExecutorsRequest) (*pb.ListExecutorsResponse, error) {
	got, err := h.on(ctx).Executors(ctx, r.Cursor)
	if err != nil {
		return nil, err
	}
	return &pb.ListExecutorsResponse{Executors: convert(got.Items, executorOf), NextCursor: got.Next}, nil
}

func (h *handler) GetExecutor(ctx context.Context, r *pb.GetExecutorRequest) (*pb.Executor, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).Executor(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return executorOf(got), nil
}

func executorOf(e *coordinator.Executor) *pb.Executor {
	out := &pb.Executor{
		Id: e.ID, Type: e.Type, Name: e.Name, Description: e.Description, Tags: e.Tags, Inputs: e.Inputs, Output: e.Output,
		Cancelable: e.Cancelable, Repeatable: e.Repeatable, Secrets: e.Secrets,
		BuiltIn: e.BuiltIn, Pools: e.Pools, Workers: int32(e.Workers), Differs: e.Differs,
	}
	if e.Timeout > 0 {
		out.Timeout = durationpb.New(e.Timeout)
	}
	if c := e.Connection; c != nil {
		out.Connection = &pb.ConnectionUse{Types: c.Types, Fields: c.Fields}
	}
	for _, x := range e.Examples {
		out.Examples = append(out.Examples, &pb.ExecutorExample{Title: x.Title, Inputs: x.Inputs, Params: x.Params, Schemas: x.Schemas})
	}
	return out
}
