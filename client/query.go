package client

import (
	"context"

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

// Match is a task that a text may stand for.
type Match struct {
	ID, TreeID, Name string
	Status           Status
}

// Matches are the tasks that a text may stand for: one if it is unambiguous.
type Matches struct {
	Tasks []Match // ten at most, at least one
	More  bool    // there are others
}

// Resolve finds the tasks that a text may stand for: an id, the beginning of an id, or TREE/name, where TREE is an id or its
// beginning, too. An id or a name as it is comes before what merely begins so. [ErrNotFound].
func (c *Client) Resolve(ctx context.Context, ref string) (*Matches, error) {
	got, err := c.rpc.Resolve(ctx, &pb.ResolveRequest{Ref: ref})
	if err != nil {
		return nil, wrap(ctx, err, "find %s", ref)
	}
	out := &Matches{More: got.More}
	for _, m := range got.Tasks {
		out.Tasks = append(out.Tasks, Match{ID: m.Id, TreeID: m.TreeId, Name: m.Name, Status: Status(m.Status)})
	}
	return out, nil
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
			Number: int(a.Number), Outcome: Outcome(a.Outcome), Kind: a.Kind, Counted: a.Counted, Error: a.Error, Detail: a.Detail,
			Worker: a.Worker, Result: a.Result, Outputs: a.Outputs, StartedAt: at(a.StartedAt), FinishedAt: at(a.FinishedAt), CancelledAt: at(a.CancelledAt),
			Usage: usageOf(a.Usage),
		}
	}
	return out, nil
}
