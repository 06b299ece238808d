package client

import (
	"context"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Explanation says what a task waits for.
type Explanation struct {
	TaskID, TreeID, Name string // Name is the task's
	Status               Status
	State                State
	Summary              string // one sentence for people
	Waits                []Wait // empty: it waits for nothing
}

// Wait is one thing that a task waits for. Fields that do not belong to its kind are zero.
type Wait struct {
	Kind      string    // execute, dependency, not_before, retry, pool, capacity, dispatch, worker, blocked, slot, signal, approval, time, tree, limit, lock, rate
	Text      string    // one sentence for people
	TaskID    string    // dependency: which; blocked: the task whose end is the cause
	TaskName  string    // of that task
	TaskState string    // of that task
	Error     string    // blocked: of that task; retry: of the attempt before
	Pool      string    // pool, capacity, dispatch, slot
	Until     time.Time // not_before, retry: the time; slot: then it has started, or is handed back
	Since     time.Time // pool: when the pool last had a live worker; zero: never, or a day ago at least
	Ahead     int       // capacity: ready tasks that come first
	Capacity  int       // capacity: slots of the pool's live workers
	Attempt   int       // retry: the one to come; worker, slot: the one that is open
	Worker    string    // that holds the attempt: worker, which was cancelled; slot
}

// Why says what a task waits for, as of one moment. [ErrNotFound].
func (c *Client) Why(ctx context.Context, taskID string) (*Explanation, error) {
	got, err := c.rpc.Why(ctx, &pb.WhyRequest{TaskId: taskID})
	if err != nil {
		return nil, wrap(ctx, err, "explain %s", taskID)
	}
	out := &Explanation{TaskID: got.TaskId, TreeID: got.TreeId, Name: got.Name, Status: Status(got.Status), State: State(got.State), Summary: got.Summary}
	for _, w := range got.Waits {
		out.Waits = append(out.Waits, Wait{Kind: w.Kind, Text: w.Text, TaskID: w.TaskId, TaskName: w.TaskName, TaskState: w.TaskState, Error: w.Error,
			Pool: w.Pool, Until: at(w.Until), Since: at(w.Since), Ahead: int(w.Ahead), Capacity: int(w.Capacity),
			Attempt: int(w.Attempt), Worker: w.Worker})
	}
	return out, nil
}
