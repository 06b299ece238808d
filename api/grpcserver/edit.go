package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) UpdateTask(ctx context.Context, r *pb.UpdateTaskRequest) (*pb.Task, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).Update(ctx, r.Id, (&changeReader{}).read(r))
	if err != nil {
		return nil, err
	}
	return taskOf(got), nil
}

// changeReader reads an update. What it can't read becomes a fault of the change, which the service reports with its own.
type changeReader struct{ change coordinator.TaskChange }

func (r *changeReader) refuse(field, reason string) {
	r.change.Faults = append(r.change.Faults, fmt.Sprintf("Cannot update '%s': %s", field, reason))
}

func (r *changeReader) read(req *pb.UpdateTaskRequest) coordinator.TaskChange {
	c := &r.change
	c.Name, c.Error, c.Progress = req.Name, req.Error, req.Progress
	c.Inputs, c.Params, c.Schemas = r.object("inputs", req.Inputs), r.object("params", req.Params), r.object("schemas", req.Schemas)
	c.StartedAt, c.CompletedAt = r.time("started_at", req.StartedAt), r.time("completed_at", req.CompletedAt)
	c.Status = dag.Status(req.Status)
	if len(req.Result) > 0 {
		switch {
		case !utf8.Valid(req.Result):
			r.refuse("result", errNotUTF8.Error())
		case rawjson.Check(req.Result) != nil:
			r.refuse("result", errNotJSON.Error())
		default:
			c.Result = req.Result
		}
	}
	if p := req.Priority; p != nil {
		if *p < int32(dag.Urgent) || *p > int32(dag.Low) {
			r.refuse("priority", fmt.Sprintf("must be %d to %d, got %d", dag.Urgent, dag.Low, *p))
		}
		c.Priority = new(dag.Priority(*p))
	}
	if req.Dependencies != nil {
		c.HasDependencies = true
		for k, d := range req.Dependencies.Dependencies {
			c.Dependencies = append(c.Dependencies, dependencyOf(d, func(field, reason string) {
				r.refuse("dependencies", fmt.Sprintf("[%d].%s: %s", k, field, reason))
			}))
		}
	}
	r.limiting(req)
	return *c
}

// limiting reads what the task is to ask for.
func (r *changeReader) limiting(req *pb.UpdateTaskRequest) {
	c, lock := &r.change, req.Lock
	if c.HasLimits, c.HasLock, c.HasRates = req.Limits != nil, lock != nil, req.Rates != nil; !c.HasLimiting() {
		return
	}
	if lock.GetKey() == "" && lock.GetOnContention() == "" && lock.GetWaitTimeout() == nil {
		lock = nil
	}
	c.Limiting = limitingOf(req.Limits.GetLimits(), lock, req.Rates.GetRates(), r.refuse)
}

func (r *changeReader) object(field string, raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	out, err := compactObject(raw)
	if bad, ok := errors.AsType[*rawjson.RepeatedError](err); ok {
		r.refuse(field, shorten(bad.Path, 255)+" must not be there twice")
	} else if err != nil {
		r.refuse(field, err.Error())
	}
	return out
}

func (r *changeReader) time(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if t.CheckValid() != nil {
		r.refuse(field, "must be a time in the years 1 to 9999")
		return time.Time{}
	}
	return t.AsTime()
}

func (h *handler) DeleteTask(ctx context.Context, r *pb.DeleteTaskRequest) (*pb.DeleteTaskResponse, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).Delete(ctx, r.Id, coordinator.DeleteOptions{Force: r.Force, Alone: r.Alone})
	if err != nil {
		return nil, err
	}
	return &pb.DeleteTaskResponse{Tasks: int64(got.Tasks)}, nil
}

func (h *handler) CopyTask(ctx context.Context, r *pb.CopyTaskRequest) (*pb.CopyTaskResponse, error) {
	if r.TaskId == "" {
		return nil, missing("task_id")
	}
	opts := coordinator.CopyOptions{
		Mode: coordinator.CopyMode(r.Mode), Children: r.Children, TaskIDs: r.TaskIds, IncludeChildren: r.IncludeChildren,
		ResetFields: r.ResetFields, Preview: r.Preview, IdempotencyKey: r.IdempotencyKey,
	}
	if r.Execute != nil {
		var err error
		if opts.Execute, err = executeOptions(ctx, "execute.webhook", r.Execute); err != nil {
			return nil, err
		}
	}
	got, err := h.on(ctx).Copy(ctx, r.TaskId, opts)
	if err != nil {
		return nil, err
	}
	return &pb.CopyTaskResponse{TreeId: got.TreeID, Tasks: convert(got.Tasks, taskOf), Omitted: int64(got.Omitted), Replayed: got.Replayed,
		Execution: executionOf(got.Execution)}, nil
}

func (h *handler) AddTasks(ctx context.Context, r *pb.AddTasksRequest) (*pb.SubmitResponse, error) {
	if r.ParentId == "" {
		return nil, missing("parent_id")
	}
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	opts, err := submitOptions(&pb.SubmitOptions{UserId: r.UserId})
	if err != nil {
		return nil, err
	}
	tree, err := h.wholeTree(r.Tasks, r.Document, r.Parameters)
	if err != nil {
		return nil, err
	}
	sub, err := h.on(ctx).Add(ctx, r.ParentId, opts, tree.tasks)
	if err != nil {
		return nil, tree.explain(err)
	}
	return submitted(sub), nil
}
