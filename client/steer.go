package client

import (
	"context"

	"google.golang.org/grpc/metadata"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// ExecuteOption is a setting of [Client.Execute].
type ExecuteOption func(*execution)

type execution struct {
	pb.ExecuteRequest
	modelKey string
}

// Force runs the task again though it has completed or was cancelled, but not what it depends on; with a root, all of its tree.
func Force() ExecuteOption { return func(r *execution) { r.Force = true } }

// RerunCancelled runs cancelled tasks again, too: also those that the task depends on.
func RerunCancelled() ExecuteOption {
	return func(r *execution) { r.RerunCancelled = true }
}

// RerunDependencies runs the completed dependencies of what is run again, too.
func RerunDependencies() ExecuteOption {
	return func(r *execution) { r.RerunDependencies = true }
}

// KeepCompleted leaves completed tasks, and those that skipped themselves, as they are, even where what they depend on runs again.
func KeepCompleted() ExecuteOption {
	return func(r *execution) { r.KeepCompleted = true }
}

// NoCache has what starts run: no task is ended by an earlier success. What ran before and runs again never is.
func NoCache() ExecuteOption { return func(r *execution) { r.NoCache = true } }

// Demo has nothing run: workers make up the results of what starts. A later execution without it runs what it starts for real.
func Demo() ExecuteOption { return func(r *execution) { r.Demo = true } }

// DryRun starts nothing, and has the answer say what would start.
func DryRun() ExecuteOption { return func(r *execution) { r.DryRun = true } }

// ModelKey is [WithModelKey] for what starts.
func ModelKey(key string) ExecuteOption { return func(r *execution) { r.modelKey = key } }

// withKey is a context whose calls carry the key of a model; empty: none.
func withKey(ctx context.Context, key string) context.Context {
	if key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "x-llm-api-key", key)
}

// Execution is the answer to an Execute.
type Execution struct {
	TreeID string
	// Status is started, already_running, completed (there is nothing to run), or cancelled: nothing was started, as the task was
	// cancelled, or one that it depends on.
	Status      string
	Tasks       int     // how many were started
	CancelledID string  // of the cancelled task, with that status
	Planned     []Match // with [DryRun]: of the tasks that would start, the first 100 in the order of the tree. The status is planned then, if there are any
}

// Execute starts a held tree or a task with its dependencies, or runs again what failed and what depends on it. Completed
// tasks run again only with [Force], cancelled ones with [RerunCancelled] or Force.
func (c *Client) Execute(ctx context.Context, taskID string, options ...ExecuteOption) (*Execution, error) {
	e := &execution{ExecuteRequest: pb.ExecuteRequest{TaskId: taskID}}
	for _, option := range options {
		option(e)
	}
	got, err := c.rpc.Execute(withKey(ctx, e.modelKey), &e.ExecuteRequest)
	if err != nil {
		return nil, wrap(ctx, err, "execute %s", taskID)
	}
	return executionOf(got), nil
}

func executionOf(got *pb.ExecuteResponse) *Execution {
	out := &Execution{TreeID: got.TreeId, Status: got.Status, Tasks: int(got.Tasks), CancelledID: got.CancelledId}
	for _, m := range got.Planned {
		out.Planned = append(out.Planned, Match{ID: m.Id, TreeID: m.TreeId, Name: m.Name, Status: Status(m.Status)})
	}
	return out
}

// Skip ends a task that has not begun, with the outcome skipped; what depends on it goes on as after any skip. It answers the task as it is then.
// [ErrNotFound], [ErrConflict]: it has begun, has ended, or is held.
func (c *Client) Skip(ctx context.Context, taskID string) (*Task, error) {
	got, err := c.rpc.SkipTask(ctx, &pb.SkipTaskRequest{TaskId: taskID})
	if err != nil {
		return nil, wrap(ctx, err, "skip %s", taskID)
	}
	return taskOf(got), nil
}

// CancelOption is a setting of [Client.Cancel].
type CancelOption func(*pb.CancelRequest)

// WithMessage sets the text that cancelled tasks show as their error.
func WithMessage(text string) CancelOption { return func(r *pb.CancelRequest) { r.Message = text } }

// WithCascade says whether the rest of the tree is cancelled, too. The default is true for a root, else false.
func WithCascade(all bool) CancelOption { return func(r *pb.CancelRequest) { r.Cascade = &all } }

// Cancelled is the answer to a Cancel.
type Cancelled struct {
	Done    bool // false: the task had ended already
	Message string
	Status  Status // final status, if Done is false
}

// Cancel cancels a task; a root cancels its whole tree. [ErrNotFound]. Cancelling a task that has ended is not an
// error.
func (c *Client) Cancel(ctx context.Context, taskID string, options ...CancelOption) (*Cancelled, error) {
	request := &pb.CancelRequest{Id: taskID}
	for _, option := range options {
		option(request)
	}
	got, err := c.rpc.Cancel(ctx, request)
	if err != nil {
		return nil, wrap(ctx, err, "cancel %s", taskID)
	}
	return &Cancelled{Done: got.Status == "cancelled", Message: got.Message, Status: Status(got.CurrentStatus)}, nil
}
