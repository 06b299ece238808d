package grpcserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Submit passes tasks on as they come; no message is kept longer than its tasks take to be stored.
func (h *handler) Submit(stream grpc.ClientStreamingServer[pb.SubmitRequest, pb.SubmitResponse]) error {
	select {
	case h.submissions <- struct{}{}:
		defer func() { <-h.submissions }()
	default:
		return api.ErrOverload
	}
	ctx, cancel := context.WithTimeout(stream.Context(), h.cfg.SubmitTimeout)
	defer cancel()

	in := &inbox{next: make(chan message), ctx: ctx, idle: h.cfg.IdleTimeout}
	go in.run(stream) // ends with the stream, which ends when this function returns
	first, err := in.take()
	if err != nil && err != io.EOF { // without any message the tree is empty, which the service says
		return err
	}
	opts, err := submitOptions(first.GetOptions())
	if err != nil {
		return err
	}
	sub, err := h.on(ctx).Submit(ctx, opts, h.newTasks(first, in))
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pb.SubmitResponse{
		TreeId: sub.TreeID, Tasks: int64(sub.Tasks), Replayed: sub.Replayed, IdMap: sub.IDMap,
	})
}

type message struct {
	req *pb.SubmitRequest
	err error
}

// inbox receives messages one ahead, so that one which does not come can be waited for with a bound.
type inbox struct {
	next chan message
	ctx  context.Context // of the submission
	idle time.Duration
}

func (in *inbox) run(stream grpc.ClientStreamingServer[pb.SubmitRequest, pb.SubmitResponse]) {
	for {
		req, err := stream.Recv()
		select {
		case in.next <- message{req, err}:
		case <-in.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// take is the next message; io.EOF after the last.
func (in *inbox) take() (*pb.SubmitRequest, error) {
	timer := time.NewTimer(in.idle)
	defer timer.Stop()
	select {
	case m := <-in.next:
		return m.req, m.err
	case <-in.ctx.Done():
		return nil, context.Cause(in.ctx)
	case <-timer.C:
		return nil, api.ErrStalled
	}
}

// newTasks are the tasks of all messages, in order. Tasks that can't be converted end the submission, after the rest has
// been looked at for more of them.
func (h *handler) newTasks(first *pb.SubmitRequest, in *inbox) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		faults := &dag.InvalidTreeError{}
		index := 0
		for req := first; req != nil; {
			for i, t := range req.Tasks {
				task := h.newTask(index, t, faults)
				req.Tasks[i] = nil // its fields live on in task
				index++
				if len(faults.Problems) == 0 && !yield(task, nil) {
					return
				}
				if len(faults.Problems) >= dag.MaxProblems {
					yield(nil, faults)
					return
				}
			}
			var err error
			req, err = in.take()
			switch {
			case err == io.EOF:
				req = nil
			case err != nil:
				yield(nil, err)
				return
			case req.Options != nil:
				yield(nil, api.InvalidParameter("options", "options belong into the first message"))
				return
			}
		}
		if len(faults.Problems) > 0 {
			yield(nil, faults)
		}
	}
}

func submitOptions(o *pb.SubmitOptions) (coordinator.SubmitOptions, error) {
	opts := coordinator.SubmitOptions{IdempotencyKey: o.GetIdempotencyKey(), UserID: o.GetUserId(), Hold: o.GetHold()}
	for _, text := range []struct{ field, value string }{{"idempotency_key", opts.IdempotencyKey}, {"user_id", opts.UserID}} {
		if utf8.RuneCountInString(text.value) > 255 {
			return opts, api.InvalidParameter("options."+text.field, text.field+" must be at most 255 characters long")
		}
	}
	if o.GetTimeout() != nil {
		var reason string
		if opts.Timeout, reason = span(o.Timeout); reason != "" {
			return opts, api.InvalidParameter("options.timeout", "timeout "+reason)
		}
	}
	return opts, nil
}

// newTask converts a task, adding to faults what can't be. What [dag.Builder] checks is left to it.
func (h *handler) newTask(index int, t *pb.NewTask, faults *dag.InvalidTreeError) *dag.Task {
	fault := func(field, reason string) {
		label := t.GetId()
		if label == "" {
			label = t.GetName()
		}
		faults.Problems = append(faults.Problems, &dag.InvalidTaskError{
			Code: dag.InvalidField, Index: index, Task: shorten(label, 255), Field: field,
			Reason: fmt.Sprintf("tasks[%d].%s: %s", index, field, reason),
		})
	}
	object := func(field string, raw []byte) json.RawMessage {
		out, err := compactObject(raw)
		if err != nil {
			fault(field, err.Error())
		}
		return out
	}
	duration := func(field string, d *durationpb.Duration) time.Duration {
		out, reason := span(d)
		if reason != "" {
			fault(field, reason)
		}
		return out
	}
	if t == nil {
		t = &pb.NewTask{}
	}
	out := &dag.Task{
		ID: t.Id, Name: t.Name, ParentRef: t.ParentId, UserID: t.UserId, Priority: dag.Normal, Pool: t.Pool,
		Inputs: object("inputs", t.Inputs), Params: object("params", t.Params), Schemas: object("schemas", t.Schemas),
		Custom:  object("custom", t.Custom),
		Timeout: duration("timeout", t.Timeout), ScheduleToStart: duration("schedule_to_start", t.ScheduleToStart),
		Repeatable: t.GetRepeatable(),
		Retry: dag.RetryPolicy{
			MaxAttempts:  int(t.Retry.GetMaxAttempts()),
			Backoff:      dag.Backoff(t.Retry.GetBackoff()),
			InitialDelay: duration("retry.initial_delay", t.Retry.GetInitialDelay()),
			MaxDelay:     duration("retry.max_delay", t.Retry.GetMaxDelay()),
		},
	}
	if t.Priority != nil {
		if *t.Priority < int32(dag.Urgent) || *t.Priority > int32(dag.Low) {
			fault("priority", fmt.Sprintf("must be %d to %d, got %d", dag.Urgent, dag.Low, *t.Priority))
		} else {
			out.Priority = dag.Priority(*t.Priority)
		}
	}
	switch t.OnLost {
	case "", "retry":
	case "fail":
		out.OnLost = dag.FailLost
	default:
		fault("on_lost", "must be retry or fail")
	}
	if t.NotBefore != nil {
		if t.NotBefore.CheckValid() != nil {
			fault("not_before", "must be a time in the years 1 to 9999")
		} else {
			out.NotBefore = t.NotBefore.AsTime()
		}
	}
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, dag.Dependency{
			Ref: d.GetId(), Optional: d != nil && d.Required != nil && !*d.Required, Type: d.GetType(),
		})
	}
	if reason := h.choose(out, t.Executor); reason != "" {
		fault("executor", reason)
	}
	return out
}

// choose sets a task's executor: the one named, which then stands in its schemas, too, as the task-tree protocol has it
// there; or the one that the rest of the task asks for. It returns why the one named can't be accepted.
func (h *handler) choose(t *dag.Task, named string) (reason string) {
	if named != "" {
		schemas, ok := dag.NameExecutor(t.Schemas, named)
		if !ok {
			return "differs from schemas.method"
		}
		t.Schemas = schemas
	}
	t.Executor = dag.ChooseExecutor(t.Name, t.Params, t.Schemas, h.cfg.Known)
	if named != "" && t.Executor != dag.ChooseExecutor("", nil, t.Schemas, h.cfg.Known) {
		return "differs from params.executor_id"
	}
	return ""
}

var (
	errNotUTF8   = errors.New("must be valid UTF-8")
	errNotJSON   = errors.New("must be valid JSON")
	errNotObject = errors.New("must be a JSON object")
	errDepth     = fmt.Errorf("must not nest deeper than %d levels", rawjson.MaxDepth)
)

// compactObject is a JSON object without needless space; nothing and null are no object, which is fine.
func compactObject(raw []byte) (json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if !utf8.Valid(raw) {
		return nil, errNotUTF8
	}
	if raw[0] != '{' {
		return nil, errNotObject
	}
	out, err := rawjson.Compact(raw)
	if errors.Is(err, rawjson.ErrDepth) {
		return nil, errDepth
	}
	if err != nil {
		return nil, errNotJSON
	}
	return out, nil
}

// span is a duration that may be absent, or why it can't be accepted.
func span(d *durationpb.Duration) (out time.Duration, reason string) {
	if d == nil {
		return 0, ""
	}
	if d.CheckValid() != nil || d.AsDuration() < 0 || d.AsDuration() > dag.MaxDuration {
		return 0, fmt.Sprintf("must be 0 to %.0f seconds", dag.MaxDuration.Seconds())
	}
	return d.AsDuration(), ""
}
