package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// NewTask is a task to submit. Either all tasks of a tree have an ID, or none has; then names must differ and stand for
// them. Exactly one task, the root, has no Parent.
type NewTask struct {
	ID, Name, Parent, UserID string
	Executor                 string   // id of the executor that runs it; empty: none, it completes as soon as its dependencies allow
	Needs                    []string // ids or names of tasks that must complete before this one starts; their results become inputs
	Wants                    []string // tasks that must end, successfully or not, before this one starts; their results are merged after those of Needs
	Priority                 Priority
	// Inputs, Params and Schemas are encoded as JSON objects: maps, structs, json.RawMessage, or nil.
	Inputs, Params, Schemas any
	Pool                    string // empty: named like the executor
	Retry                   RetryPolicy
	FailLost                bool              // fail when the worker is lost, instead of being tried again
	Repeatable              bool              // may run twice at once without harm
	Timeout                 time.Duration     // start to close, of one attempt; 0: the executor's own
	ScheduleToStart         time.Duration     // ready to started; 0: none
	NotBefore               time.Time         // zero: none
	Custom                  any               // a JSON object of keys of your own, shown with the task
	Labels                  map[string]string // of the root: texts that its tree is found by
}

// SubmitOption is a setting of a submission.
type SubmitOption func(*submission)

type submission struct {
	options  pb.SubmitOptions
	modelKey string
	maxBytes int
}

// WithIdempotencyKey makes a repeated submission with the key get the first answer. When the cluster can't be reached,
// [Client.Submit] is retried automatically only if it has a key.
func WithIdempotencyKey(key string) SubmitOption {
	return func(s *submission) { s.options.IdempotencyKey = key }
}

// WithUser names the owner of tasks that name none.
func WithUser(id string) SubmitOption { return func(s *submission) { s.options.UserId = id } }

// WithLabels gives the tree labels, texts that it is found by; they win over those of its root.
func WithLabels(labels map[string]string) SubmitOption {
	return func(s *submission) { s.options.Labels = labels }
}

// Hold stores the tree without starting it; [Client.Execute] does that.
func Hold() SubmitOption { return func(s *submission) { s.options.Hold = true } }

// WithDemo has nothing run: workers make up results, which have demo_mode, in a time as real ones might take. For trees that start at
// once; to a held one give [Demo] when it is executed.
func WithDemo() SubmitOption { return func(s *submission) { s.options.Demo = true } }

// WithModelKey sends the key of a language model along, which the tree's tasks use in place of the workers' own: "<key>", or "<provider>:<key>" for
// models of that provider alone. Coordinators keep it in memory only, until the execution has ended. Not together with [Hold]: give [ModelKey] to
// the execution.
func WithModelKey(key string) SubmitOption { return func(s *submission) { s.modelKey = key } }

// WithTreeTimeout cancels what is unfinished when the tree has run for this long.
func WithTreeTimeout(d time.Duration) SubmitOption {
	return func(s *submission) { s.options.Timeout = durationpb.New(d) }
}

// Submitted is the answer to a submission.
type Submitted struct {
	TreeID   string // the root's id
	Tasks    int
	Replayed bool              // the idempotency key was known: this is the first answer
	IDMap    map[string]string // of ids that other tasks had already: from the one given to the actual one; nil if there are none
	Warnings []Warning         // what was accepted and is likely a mistake; at most 20
}

// Warning is about something in a tree that was accepted and is likely a mistake, such as a key that is spelt nearly as one that
// has an effect.
type Warning struct {
	Field  string // "tasks[3].dependecies"
	Reason string
}

// ID returns the actual id of the task that was submitted with the given one. An id that another task has already, such as that
// of an earlier run of the same program, is replaced, so ask here before you look a task up. Tasks without given ids are found by [Client.Tasks].
func (s *Submitted) ID(given string) string {
	if actual, replaced := s.IDMap[given]; replaced {
		return actual
	}
	return given
}

// Submit stores a tree and starts it, unless [Hold] is given. When it returns without an error, the tree is accepted.
// Faults in the tree are an [InvalidError]. Ids that other tasks have already are replaced: see [Submitted.ID].
func (c *Client) Submit(ctx context.Context, tasks []NewTask, options ...SubmitOption) (*Submitted, error) {
	s := newSubmission(options)
	for try := 0; ; try++ {
		sub, err := c.submit(ctx, s, fromSlice(tasks))
		if err == nil || s.options.IdempotencyKey == "" || !lost(err) || try == 10 {
			return sub, wrap(ctx, err, "submit %d tasks", len(tasks))
		}
		if err := c.pause(ctx, try, err); err != nil {
			return nil, fmt.Errorf("submit %d tasks: %w", len(tasks), err)
		}
	}
}

// SubmitSeq is Submit for a tree that is made while it is sent, so that it is never in memory as a whole. An error that
// tasks yields ends the submission and is returned. SubmitSeq is not retried automatically.
func (c *Client) SubmitSeq(ctx context.Context, tasks iter.Seq2[*NewTask, error], options ...SubmitOption) (*Submitted, error) {
	sub, err := c.submit(ctx, newSubmission(options), func(yield func(*pb.NewTask, error) bool) {
		for t, err := range tasks {
			var message *pb.NewTask
			if err == nil {
				message, err = t.message()
			}
			if !yield(message, err) || err != nil {
				return
			}
		}
	})
	return sub, wrap(ctx, err, "submit tasks")
}

// SubmitJSON is SubmitSeq for a tree in JSON: an array of tasks, one task, or {"tasks": [...]}, as tasks.create of the
// task-tree protocol takes them.
func (c *Client) SubmitJSON(ctx context.Context, r io.Reader, options ...SubmitOption) (*Submitted, error) {
	s := newSubmission(options)
	d := &document{timed: s.options.Timeout != nil}
	sub, err := c.submit(ctx, s, d.messages(treedoc.Read(r, treedoc.Options{})))
	if sub != nil {
		sub.Warnings = d.join(sub.Warnings)
	}
	return sub, wrap(ctx, err, "submit tasks")
}

func newSubmission(options []SubmitOption) *submission {
	s := &submission{maxBytes: 1 << 20}
	for _, option := range options {
		option(s)
	}
	return s
}

func fromSlice(tasks []NewTask) iter.Seq2[*pb.NewTask, error] {
	return func(yield func(*pb.NewTask, error) bool) {
		for i := range tasks {
			message, err := tasks[i].message()
			if !yield(message, err) || err != nil {
				return
			}
		}
	}
}

// submit sends tasks in messages of about a megabyte. Its errors are gRPC's, or those of tasks.
func (c *Client) submit(ctx context.Context, s *submission, tasks iter.Seq2[*pb.NewTask, error]) (*Submitted, error) {
	ctx, cancel := context.WithCancel(ctx) // so that an error in between drops what was sent
	defer cancel()
	stream, err := c.rpc.Submit(withKey(ctx, s.modelKey))
	if err != nil {
		return nil, err
	}
	request := &pb.SubmitRequest{Options: proto.CloneOf(&s.options)}
	size := 0
	for t, err := range tasks {
		if err != nil {
			return nil, err
		}
		request.Tasks = append(request.Tasks, t)
		size += proto.Size(t) + 8
		if size < s.maxBytes {
			continue
		}
		if err := stream.Send(request); err == io.EOF {
			break // the server has decided already: CloseAndRecv says what
		} else if err != nil {
			return nil, err
		}
		request, size = &pb.SubmitRequest{}, 0
	}
	if len(request.Tasks) > 0 || request.Options != nil {
		if err := stream.Send(request); err != nil && err != io.EOF {
			return nil, err
		}
	}
	got, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return submittedOf(got), nil
}

func submittedOf(got *pb.SubmitResponse) *Submitted {
	out := &Submitted{TreeID: got.TreeId, Tasks: int(got.Tasks), Replayed: got.Replayed, IDMap: got.IdMap}
	for _, w := range got.Warnings {
		out.Warnings = append(out.Warnings, Warning{w.Field, w.Reason})
	}
	return out
}

// message encodes a task.
func (t *NewTask) message() (*pb.NewTask, error) {
	out := &pb.NewTask{
		Id: t.ID, Name: t.Name, ParentId: t.Parent, UserId: t.UserID, Executor: t.Executor, Pool: t.Pool,
		Priority: proto.Int32(t.Priority.wire()), Retry: t.Retry.message(),
		Timeout: spanOf(t.Timeout), ScheduleToStart: spanOf(t.ScheduleToStart), NotBefore: stampOf(t.NotBefore), Labels: t.Labels,
	}
	for _, part := range []struct {
		name  string
		value any
		out   *[]byte
	}{{"inputs", t.Inputs, &out.Inputs}, {"params", t.Params, &out.Params}, {"schemas", t.Schemas, &out.Schemas}, {"custom", t.Custom, &out.Custom}} {
		if part.value == nil {
			continue
		}
		var err error
		if *part.out, err = json.Marshal(part.value); err != nil {
			return nil, fmt.Errorf("task %s: encode %s: %w", t.Name, part.name, err)
		}
	}
	if t.FailLost {
		out.OnLost = "fail"
	}
	if t.Repeatable {
		out.Repeatable = proto.Bool(true)
	}
	for _, ref := range t.Needs {
		out.Dependencies = append(out.Dependencies, &pb.Dependency{Id: ref})
	}
	for _, ref := range t.Wants {
		out.Dependencies = append(out.Dependencies, &pb.Dependency{Id: ref, Required: proto.Bool(false)})
	}
	return out, nil
}

// messageOf encodes a task that was read from a document. Its executor is chosen anew by the server.
func messageOf(t *dag.Task) *pb.NewTask {
	out := &pb.NewTask{
		Id: t.ID, Name: t.Name, ParentId: t.ParentRef, UserId: t.UserID, Priority: proto.Int32(int32(t.Priority)),
		Inputs: slices.Clone(t.Inputs), Params: slices.Clone(t.Params), Schemas: slices.Clone(t.Schemas),
		Custom: slices.Clone(t.Custom), Pool: t.Pool, Timeout: spanOf(t.Timeout),
		ScheduleToStart: spanOf(t.ScheduleToStart), NotBefore: stampOf(t.NotBefore), Labels: t.Labels,
		Retry: RetryPolicy{t.Retry.MaxAttempts, Backoff(t.Retry.Backoff), t.Retry.InitialDelay, t.Retry.MaxDelay}.message(),
	}
	if t.OnLost == dag.FailLost {
		out.OnLost = "fail"
	}
	if t.Repeatable {
		out.Repeatable = proto.Bool(true)
	}
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, &pb.Dependency{Id: d.Ref, Required: proto.Bool(!d.Optional), Type: d.Type})
	}
	return out
}

func (p RetryPolicy) message() *pb.RetryPolicy {
	if p == (RetryPolicy{}) {
		return nil
	}
	return &pb.RetryPolicy{
		MaxAttempts: int32(p.MaxAttempts), Backoff: string(p.Backoff),
		InitialDelay: spanOf(p.InitialDelay), MaxDelay: spanOf(p.MaxDelay),
	}
}

func spanOf(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func stampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
