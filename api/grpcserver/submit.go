package grpcserver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/treefiles"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Submit passes tasks on as they come; no message is kept longer than its tasks take to be stored.
func (h *handler) Submit(stream grpc.ClientStreamingServer[pb.SubmitRequest, pb.SubmitResponse]) error {
	if h.surface == coordinator.SurfaceConnect {
		return status.Error(codes.Unimplemented, "a stream of tasks is taken by gRPC alone: SubmitTree takes a tree in one message")
	}
	leave, err := h.enter()
	if err != nil {
		return err
	}
	defer leave()
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
	if opts.ModelKey, err = modelKey(ctx); err != nil {
		return err
	}
	sub, err := h.on(ctx).Submit(ctx, opts, h.newTasks(first, in))
	if err != nil {
		return err
	}
	return stream.SendAndClose(submitted(sub))
}

// SubmitTree is Submit in one message.
func (h *handler) SubmitTree(ctx context.Context, r *pb.SubmitTreeRequest) (*pb.SubmitResponse, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	opts, err := submitOptions(r.Options)
	if err != nil {
		return nil, err
	}
	if opts.ModelKey, err = modelKey(ctx); err != nil {
		return nil, err
	}
	tree, err := h.wholeTree(r.Tasks, r.Document, r.Parameters)
	if err != nil {
		return nil, err
	}
	sub, err := h.on(ctx).Submit(ctx, opts, tree.tasks)
	if err != nil {
		return nil, tree.explain(err)
	}
	return submitted(sub), nil
}

// SubmitTrees is SubmitTree for several trees: all or none.
func (h *handler) SubmitTrees(ctx context.Context, r *pb.SubmitTreesRequest) (*pb.SubmitTreesResponse, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	opts, err := submitOptions(r.Options)
	switch {
	case err != nil:
		return nil, err
	case opts.IdempotencyKey != "":
		return nil, api.InvalidParameter("options.idempotency_key", "each of several trees has its own idempotency_key")
	case len(r.Trees) == 0 || len(r.Trees) > coordinator.MaxTogether:
		return nil, api.InvalidParameter("trees", fmt.Sprintf("must be 1 to %d trees", coordinator.MaxTogether))
	}
	if opts.ModelKey, err = modelKey(ctx); err != nil {
		return nil, err
	}
	trees, asked := make([]*wholeTree, len(r.Trees)), make([]coordinator.NewTree, len(r.Trees))
	for i, t := range r.Trees {
		var err error
		if trees[i], asked[i], err = h.oneOfSeveral(t, opts); err != nil {
			fault := treefiles.Faults(err) // which is told among those of the other trees
			trees[i] = &wholeTree{tasks: func(yield func(*dag.Task, error) bool) { yield(nil, fault) }}
		}
		asked[i].Tasks = trees[i].tasks
	}
	opts.IdempotencyKey, opts.Timeout, opts.Retention, opts.Due, opts.More = asked[0].IdempotencyKey, asked[0].Timeout, asked[0].Retention, asked[0].Due, asked[1:]
	sub, err := h.on(ctx).Submit(ctx, opts, trees[0].tasks)
	if err != nil {
		return nil, treefiles.Together(err, func(tree int) *treefiles.File { return trees[tree].file })
	}
	answer := &pb.SubmitTreesResponse{Trees: []*pb.SubmitResponse{submitted(sub)}}
	for _, one := range sub.More {
		answer.Trees = append(answer.Trees, submitted(one))
	}
	return answer, nil
}

// oneOfSeveral reads a tree, and what is said of it alone, else what the options say of all.
func (h *handler) oneOfSeveral(t *pb.NewTree, all coordinator.SubmitOptions) (tree *wholeTree, asked coordinator.NewTree, err error) {
	asked = coordinator.NewTree{IdempotencyKey: t.GetIdempotencyKey()}
	timeout, reason := span(t.GetTimeout())
	if reason != "" {
		return nil, asked, api.InvalidParameter("timeout", "timeout "+reason)
	}
	retention, known := dag.ParseRetention(t.GetRetention())
	if !known {
		return nil, asked, api.InvalidParameter("retention", "retention must be "+dag.RetentionForm)
	}
	due, known := dag.ParseDue(t.GetDue())
	if !known {
		return nil, asked, api.InvalidParameter("due", "due must be "+dag.DueForm)
	}
	asked.Timeout, asked.Retention, asked.Due = cmp.Or(timeout, all.Timeout), cmp.Or(retention, all.Retention), cmp.Or(due, all.Due)
	tree, err = h.wholeTree(t.GetTasks(), t.GetDocument(), t.GetParameters())
	return tree, asked, err
}

// enter takes one of the places of submissions, or says that there is none.
func (h *handler) enter() (leave func(), err error) {
	select {
	case h.submissions <- struct{}{}:
		return func() { <-h.submissions }, nil
	default:
		return nil, api.ErrOverload
	}
}

func submitted(sub *coordinator.Submitted) *pb.SubmitResponse {
	answer := &pb.SubmitResponse{TreeId: sub.TreeID, Tasks: int64(sub.Tasks), Replayed: sub.Replayed, IdMap: sub.IDMap, Existing: sub.Existing}
	for _, w := range sub.Warnings {
		answer.Warnings = append(answer.Warnings, &pb.Warning{Field: w.Field, Reason: w.Reason})
	}
	return answer
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
// been looked at for more of them. Without an inbox there is one message.
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
				if len(faults.Problems) > 0 && index == dag.MaxTreeTasks {
					yield(nil, faults)
					return
				}
			}
			if in == nil {
				break
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
	opts := coordinator.SubmitOptions{IdempotencyKey: o.GetIdempotencyKey(), UserID: o.GetUserId(), Hold: o.GetHold(), Demo: o.GetDemo(), NoCache: o.GetNoCache(),
		RequireExisting: o.GetRequireExisting(), Labels: o.GetLabels()}
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
	if o.GetUnique() != nil {
		var field, reason string
		opts.Unique = uniqueOf(o.Unique, func(at, why string) { field, reason = at, why })
		if reason != "" {
			return opts, api.InvalidParameter("options."+field, field+" "+reason)
		}
	}
	var known bool
	if opts.Retention, known = dag.ParseRetention(o.GetRetention()); !known {
		return opts, api.InvalidParameter("options.retention", "retention must be "+dag.RetentionForm)
	}
	if opts.Due, known = dag.ParseDue(o.GetDue()); !known {
		return opts, api.InvalidParameter("options.due", "due must be "+dag.DueForm)
	}
	var err error
	opts.Webhook, err = webhookOf("options.webhook", o.GetWebhook())
	return opts, err
}

// webhookOf is a webhook that may be absent. What its fields may hold is for the service to check.
func webhookOf(field string, w *pb.Webhook) (*coordinator.Webhook, error) {
	if w == nil {
		return nil, nil
	}
	timeout, reason := span(w.Timeout)
	if reason != "" {
		return nil, api.InvalidParameter(field+".timeout", "timeout "+reason)
	}
	return &coordinator.Webhook{URL: w.Url, Method: w.Method, Headers: w.Headers, Timeout: timeout, MaxAttempts: int(w.MaxAttempts),
		Secret: w.Secret, Body: w.Body}, nil
}

// newTask converts a task, adding to faults what can't be. What [dag.Builder] checks is left to it.
func (h *handler) newTask(index int, t *pb.NewTask, faults *dag.InvalidTreeError) *dag.Task {
	if t == nil {
		t = &pb.NewTask{}
	}
	r := &taskReader{index: index, label: t.Id, faults: faults}
	if r.label == "" {
		r.label = t.Name
	}
	out := &dag.Task{
		ID: t.Id, Name: t.Name, ParentRef: t.ParentId, UserID: t.UserId, Pool: t.Pool,
		Inputs: r.object("inputs", t.Inputs), Params: r.object("params", t.Params), Schemas: r.object("schemas", t.Schemas),
		Custom: r.object("custom", t.Custom), Labels: t.Labels,
		Timeout: r.duration("timeout", t.Timeout), ScheduleToStart: r.duration("schedule_to_start", t.ScheduleToStart),
		Repeatable: t.GetRepeatable(),
		Retry: dag.RetryPolicy{
			MaxAttempts:  int(t.Retry.GetMaxAttempts()),
			Backoff:      dag.Backoff(t.Retry.GetBackoff()),
			InitialDelay: r.duration("retry.initial_delay", t.Retry.GetInitialDelay()),
			MaxDelay:     r.duration("retry.max_delay", t.Retry.GetMaxDelay()),
		},
		Priority: r.priority(t.Priority), OnLost: r.onLost(t.OnLost), NotBefore: r.time("not_before", t.NotBefore),
	}
	for k, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, dependencyOf(d, func(field, reason string) {
			r.fault(fmt.Sprintf("dependencies[%d].%s", k, field), reason)
		}))
	}
	r.beyond(out, t)
	if t.Unique != nil {
		out.Unique = uniqueOf(t.Unique, r.fault)
	}
	if reason := h.choose(out, t.Executor); reason != "" {
		r.fault("executor", reason)
	}
	return out
}

// uniqueOf is which other tree must not be there. What can't be read is told.
func uniqueOf(u *pb.Unique, fault func(field, reason string)) *dag.Unique {
	out := &dag.Unique{Key: u.Key, Return: u.OnConflict == "return"}
	switch u.OnConflict {
	case "", "refuse", "return":
	default:
		fault("unique.on_conflict", "must be refuse or return")
	}
	if u.For != nil {
		if out.For = u.For.AsDuration(); u.For.CheckValid() != nil || out.For <= 0 {
			fault("unique.for", "must be longer than nothing")
			out.For = 0
		}
	}
	return out
}

func dependencyOf(d *pb.Dependency, fault func(field, reason string)) dag.Dependency {
	return dag.Dependency{Ref: d.GetId(), Optional: d != nil && d.Required != nil && !*d.Required, Type: d.GetType(), Mode: modeOf(d, fault)}
}

// taskReader converts the fields of one task. A field that can't be converted becomes a fault and its zero value.
type taskReader struct {
	index  int
	label  string // the task's id, else its name
	faults *dag.InvalidTreeError
}

func (r *taskReader) fault(field, reason string) {
	if len(r.faults.Problems) == dag.MaxProblems {
		r.faults.More++
		return
	}
	r.faults.Problems = append(r.faults.Problems, &dag.InvalidTaskError{
		Code: dag.InvalidField, Index: r.index, Task: shorten(r.label, 255), Field: field,
		Reason: fmt.Sprintf("tasks[%d].%s: %s", r.index, field, reason),
	})
}

func (r *taskReader) object(field string, raw []byte) json.RawMessage {
	out, err := compactObject(raw)
	if bad, ok := errors.AsType[*rawjson.RepeatedError](err); ok {
		r.fault(field+shorten(bad.Path, 255), "must not be there twice")
	} else if err != nil {
		r.fault(field, err.Error())
	}
	return out
}

func (r *taskReader) duration(field string, d *durationpb.Duration) time.Duration {
	out, reason := span(d)
	if reason != "" {
		r.fault(field, reason)
	}
	return out
}

func (r *taskReader) time(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if t.CheckValid() != nil {
		r.fault(field, "must be a time in the years 1 to 9999")
		return time.Time{}
	}
	return t.AsTime()
}

// priority is normal unless it is said.
func (r *taskReader) priority(p *int32) dag.Priority {
	switch {
	case p == nil:
		return dag.Normal
	case *p < int32(dag.Urgent) || *p > int32(dag.Low):
		r.fault("priority", fmt.Sprintf("must be %d to %d, got %d", dag.Urgent, dag.Low, *p))
		return dag.Normal
	}
	return dag.Priority(*p)
}

func (r *taskReader) onLost(s string) (out dag.OnLost) {
	switch s {
	case "", "retry":
	case "fail":
		out = dag.FailLost
	default:
		r.fault("on_lost", "must be retry or fail")
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
	if _, ok := errors.AsType[*rawjson.RepeatedError](err); err != nil && !ok {
		return nil, errNotJSON
	}
	return out, err
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
