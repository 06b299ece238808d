package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Change is what [Client.Update] changes of a task; what is nil or zero stays as it is.
type Change struct {
	Name     *string
	Priority *Priority
	// Dependencies replace all that the task has, if the pointer is not nil; of pending tasks only.
	Dependencies *[]Dependency
	// Inputs, Params and Schemas are encoded as JSON objects: maps, structs, json.RawMessage, or nil.
	Inputs, Params, Schemas any
	Status                  Status // unlocks or blocks what depends on the task
	Error                   *string
	Result                  json.RawMessage
	Progress                *float64 // 0 to 1
	StartedAt, CompletedAt  time.Time
	// Limits, Lock and Rates replace what the task asks for, if the pointers are not nil; of pending tasks only. A lock without a key takes it away.
	Limits *[]TaskLimit
	Lock   *TaskLock
	Rates  *[]TaskRate
}

// Update changes fields of a stored task, all or none, and returns it. [ErrNotFound]; an [InvalidError] has every fault.
func (c *Client) Update(ctx context.Context, taskID string, change Change) (*Task, error) {
	request, err := change.message(taskID)
	if err != nil {
		return nil, wrap(ctx, err, "update %s", taskID)
	}
	got, err := c.rpc.UpdateTask(ctx, request)
	if err != nil {
		return nil, wrap(ctx, err, "update %s", taskID)
	}
	return taskOf(got), nil
}

func (c *Change) message(taskID string) (*pb.UpdateTaskRequest, error) {
	out := &pb.UpdateTaskRequest{Id: taskID, Name: c.Name, Status: string(c.Status), Error: c.Error, Result: c.Result, Progress: c.Progress,
		StartedAt: stampOf(c.StartedAt), CompletedAt: stampOf(c.CompletedAt)}
	if c.Priority != nil {
		out.Priority = proto.Int32(c.Priority.wire())
	}
	if c.Limits != nil {
		out.Limits = &pb.LimitList{Limits: limitsOf(*c.Limits)}
	}
	if out.Lock = c.Lock.message(); c.Rates != nil {
		out.Rates = &pb.RateList{Rates: ratesOf(*c.Rates)}
	}
	if c.Dependencies != nil {
		out.Dependencies = &pb.DependencyList{}
		for _, d := range *c.Dependencies {
			out.Dependencies.Dependencies = append(out.Dependencies.Dependencies, d.message())
		}
	}
	for _, part := range []struct {
		name  string
		value any
		out   *[]byte
	}{{"inputs", c.Inputs, &out.Inputs}, {"params", c.Params, &out.Params}, {"schemas", c.Schemas, &out.Schemas}} {
		if part.value == nil {
			continue
		}
		var err error
		if *part.out, err = json.Marshal(part.value); err != nil {
			return nil, fmt.Errorf("encode %s: %w", part.name, err)
		}
	}
	return out, nil
}

// DeleteOption is a setting of [Client.Delete].
type DeleteOption func(*pb.DeleteTaskRequest)

// ForceDelete deletes whatever state the tasks are in, also what others depend on. While one of them runs it is [ErrConflict].
func ForceDelete() DeleteOption { return func(r *pb.DeleteTaskRequest) { r.Force = true } }

// DeleteAlone refuses a task that has children.
func DeleteAlone() DeleteOption { return func(r *pb.DeleteTaskRequest) { r.Alone = true } }

// Delete deletes a task and all below it; a root, the tree. It returns how many tasks that were. [ErrNotFound]; [ErrConflict]: a task is
// not pending, or others depend on it.
func (c *Client) Delete(ctx context.Context, taskID string, options ...DeleteOption) (tasks int, err error) {
	request := &pb.DeleteTaskRequest{Id: taskID}
	for _, option := range options {
		option(request)
	}
	got, err := c.rpc.DeleteTask(ctx, request)
	if err != nil {
		return 0, wrap(ctx, err, "delete %s", taskID)
	}
	return int(got.Tasks), nil
}

// CopyMode says which tasks a copy takes.
type CopyMode string

// The modes of a copy.
const (
	CopyMinimal CopyMode = "minimal" // the task, all below it, and what depends on them; the default
	CopyFull    CopyMode = "full"    // the whole tree
	CopyCustom  CopyMode = "custom"  // the tasks of [CopyOptions.TaskIDs] and what they depend on
)

// CopyOptions steer a copy; the zero value is a minimal one.
type CopyOptions struct {
	Mode            CopyMode
	Children        bool     // minimal: what depends on the subtrees of its children, too
	TaskIDs         []string // custom
	IncludeChildren bool     // custom: all below the named tasks, too
	// ResetFields are fields of tasks that are kept as they ended which begin anew: status, progress, result, error, started_at, completed_at,
	// updated_at.
	ResetFields []string
	Preview     bool // store nothing
	// IdempotencyKey makes a repeated copy of the same task in the same way get the first answer; empty: none. Not with Preview.
	IdempotencyKey string
	// Execute starts the copy, too, as these options say, if the slice is not nil. Not with Preview.
	Execute []ExecuteOption
}

// Copied is the answer to a Copy.
type Copied struct {
	TreeID  string  // of the copy
	Tasks   []*Task // parents first; of a stored copy as many as one answer may hold
	Omitted int     // how many others a stored copy has: [Client.Tasks] shows them
	// Replayed: the idempotency key was known, and this is the first copy.
	Replayed  bool
	Execution *Execution // with Execute
}

// Copy copies a task with what belongs to it as a tree of its own, which [Client.Execute] starts; or shows what it would store. [ErrNotFound].
func (c *Client) Copy(ctx context.Context, taskID string, o CopyOptions) (*Copied, error) {
	request := &pb.CopyTaskRequest{TaskId: taskID, Mode: string(o.Mode), Children: o.Children, TaskIds: o.TaskIDs,
		IncludeChildren: o.IncludeChildren, ResetFields: o.ResetFields, Preview: o.Preview, IdempotencyKey: o.IdempotencyKey}
	e := &execution{}
	if o.Execute != nil {
		for _, option := range o.Execute {
			option(e)
		}
		request.Execute = &e.ExecuteRequest
	}
	got, err := c.rpc.CopyTask(withKey(ctx, e.modelKey), request)
	if err != nil {
		return nil, wrap(ctx, err, "copy %s", taskID)
	}
	out := &Copied{TreeID: got.TreeId, Omitted: int(got.Omitted), Replayed: got.Replayed}
	if got.Execution != nil {
		out.Execution = executionOf(got.Execution)
	}
	for _, t := range got.Tasks {
		out.Tasks = append(out.Tasks, taskOf(t))
	}
	return out, nil
}

// Add stores tasks below a stored task, as if they had been sent with its tree, while no task of that tree has started; those without a
// parent go below it. All go in one message, which a server bounds to 16 MiB. [ErrNotFound]; [ErrConflict]: a task has started; an [InvalidError]
// has the faults. Of the options only [WithUser] has an effect.
func (c *Client) Add(ctx context.Context, parentID string, tasks []NewTask, options ...SubmitOption) (*Submitted, error) {
	sub, err := c.add(ctx, parentID, newSubmission(options), fromSlice(tasks))
	return sub, wrap(ctx, err, "add %d tasks to %s", len(tasks), parentID)
}

// AddJSON is Add for tasks in JSON, as [Client.SubmitJSON] takes them.
func (c *Client) AddJSON(ctx context.Context, parentID string, r io.Reader, options ...SubmitOption) (*Submitted, error) {
	d := &document{}
	sub, err := c.add(ctx, parentID, newSubmission(options), d.messages(treedoc.Read(r, treedoc.Options{})))
	return sub, wrap(ctx, err, "add tasks to %s", parentID)
}

func (c *Client) add(ctx context.Context, parentID string, s *submission, tasks iter.Seq2[*pb.NewTask, error]) (*Submitted, error) {
	request := &pb.AddTasksRequest{ParentId: parentID, UserId: s.options.UserId}
	for t, err := range tasks {
		if err != nil {
			return nil, err
		}
		request.Tasks = append(request.Tasks, t)
	}
	got, err := c.rpc.AddTasks(ctx, request)
	if err != nil {
		return nil, err
	}
	return submittedOf(got), nil
}

// Webhook is where the events of one execution are sent, signed as Standard Webhooks say.
type Webhook struct {
	URL         string
	Method      string            // POST or PUT; empty: POST
	Headers     map[string]string // sent along; never shown again
	Timeout     time.Duration     // of one request; 0: 30 s
	MaxAttempts int               // of one delivery; 0: 3
	Secret      string            // "whsec_…", signs deliveries; empty: the cluster's own
	Body        json.RawMessage   // a template of the body; nil: the event as the task-tree protocol has it
}

func (w Webhook) message() *pb.Webhook {
	return &pb.Webhook{Url: w.URL, Method: w.Method, Headers: w.Headers, Timeout: spanOf(w.Timeout), MaxAttempts: int32(w.MaxAttempts),
		Secret: w.Secret, Body: w.Body}
}

// WithWebhook sends the events of the execution that begins to a webhook.
func WithWebhook(w Webhook) SubmitOption {
	return func(s *submission) { s.options.Webhook = w.message() }
}

// ToWebhook is [WithWebhook] for what starts.
func ToWebhook(w Webhook) ExecuteOption {
	return func(r *execution) { r.Webhook = w.message() }
}

// RequireExisting refuses a tree unless each id that it names is stored already.
func RequireExisting() SubmitOption {
	return func(s *submission) { s.options.RequireExisting = true }
}
