package client

import (
	"context"
	"iter"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Task shows one task. [ErrNotFound].
func (c *Client) Task(ctx context.Context, id string) (*Task, error) {
	got, err := c.rpc.GetTask(ctx, &pb.GetTaskRequest{Id: id})
	if err != nil {
		return nil, wrap(ctx, err, "task %s", id)
	}
	return taskOf(got), nil
}

// Tree shows the tree of any of its tasks. [ErrNotFound].
func (c *Client) Tree(ctx context.Context, id string) (*Tree, error) {
	got, err := c.rpc.GetTree(ctx, &pb.GetTreeRequest{Id: id})
	if err != nil {
		return nil, wrap(ctx, err, "tree of %s", id)
	}
	return treeOf(got), nil
}

// TaskFilter selects tasks; zero fields don't filter.
type TaskFilter struct {
	TreeOf   string // any task of the tree; then oldest first, else newest tree first
	ParentID string
	Status   Status
	PageSize int // how many are asked for at a time; default 100, at most 1000
}

// Tasks yields all tasks that the filter selects, asking for them page by page. It ends after an error.
func (c *Client) Tasks(ctx context.Context, f TaskFilter) iter.Seq2[*Task, error] {
	return func(yield func(*Task, error) bool) {
		request := &pb.ListTasksRequest{
			TreeId: f.TreeOf, ParentId: f.ParentID, Status: string(f.Status), Limit: int32(f.PageSize),
		}
		for {
			page, err := c.rpc.ListTasks(ctx, request)
			if err != nil {
				yield(nil, wrap(ctx, err, "list tasks"))
				return
			}
			for _, t := range page.Tasks {
				if !yield(taskOf(t), nil) {
					return
				}
			}
			if request.Cursor = page.NextCursor; request.Cursor == "" {
				return
			}
		}
	}
}

// TreeFilter selects trees; zero fields don't filter.
type TreeFilter struct {
	UserID   string
	Status   Status
	Running  bool // with an execution in progress
	PageSize int  // how many are asked for at a time; default 100, at most 1000
}

// Trees yields all trees that the filter selects, newest first, asking for them page by page. It ends after an error.
func (c *Client) Trees(ctx context.Context, f TreeFilter) iter.Seq2[*Tree, error] {
	return func(yield func(*Tree, error) bool) {
		request := &pb.ListTreesRequest{
			UserId: f.UserID, Status: string(f.Status), Running: f.Running, Limit: int32(f.PageSize),
		}
		for {
			page, err := c.rpc.ListTrees(ctx, request)
			if err != nil {
				yield(nil, wrap(ctx, err, "list trees"))
				return
			}
			for _, t := range page.Trees {
				if !yield(treeOf(t), nil) {
					return
				}
			}
			if request.Cursor = page.NextCursor; request.Cursor == "" {
				return
			}
		}
	}
}

// Attempts shows the history of a task, oldest first.
func (c *Client) Attempts(ctx context.Context, taskID string) ([]Attempt, error) {
	got, err := c.rpc.ListAttempts(ctx, &pb.ListAttemptsRequest{TaskId: taskID})
	if err != nil {
		return nil, wrap(ctx, err, "attempts of %s", taskID)
	}
	out := make([]Attempt, len(got.Attempts))
	for i, a := range got.Attempts {
		out[i] = Attempt{
			Number: int(a.Number), Outcome: Outcome(a.Outcome), Counted: a.Counted, Error: a.Error, Detail: a.Detail,
			Worker: a.Worker, Result: a.Result, StartedAt: at(a.StartedAt), FinishedAt: at(a.FinishedAt),
		}
	}
	return out, nil
}
