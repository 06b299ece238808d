package client

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/taskgrove/taskgrove/dag/columns"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// SnapshotTask is a task of a tree, as a snapshot has it.
type SnapshotTask struct {
	Place        int    // in the tree, from 1: [Event] has it, too
	ID           string // if ids are asked for
	Name         string
	Parent       int // place; 0: it is the root
	Dependencies []SnapshotDependency
	State        State
	Executor     string // empty for a group
	Pool         string
	Attempt      int
	ReadyAt      time.Time // as in [Task], in whole milliseconds, as the next two
	StartedAt    time.Time
	CompletedAt  time.Time
}

// SnapshotDependency is a task that another one depends on.
type SnapshotDependency struct {
	Place    int
	Required bool
}

// SnapshotOptions say what of a tree a snapshot has.
type SnapshotOptions struct {
	IDs  bool  // of tasks, too, which are most of its bytes
	Only []int // the tasks at these places, at most 5000, and no others; none: all
}

// Snapshot reads the tasks of a tree, as they were at one moment. It hands the tree to told first: [Client.Watch] goes on after its Sequence. Then it hands over
// the tasks, in the order of their places, some thousands at a time. An error of told or each ends it. [ErrNotFound].
func (c *Client) Snapshot(ctx context.Context, id string, opts SnapshotOptions, told func(*Tree) error, each func([]SnapshotTask) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	r := &pb.SnapshotTreeRequest{Id: id, Ids: opts.IDs}
	for _, place := range opts.Only {
		r.Only = append(r.Only, int32(min(place, math.MaxInt32)))
	}
	stream, err := c.rpc.SnapshotTree(ctx, r)
	if err != nil {
		return wrap(ctx, err, "snapshot of %s", id)
	}
	var reader *columns.Reader
	for {
		p, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return wrap(ctx, err, "snapshot of %s", id)
		}
		if reader == nil {
			tree := treeOf(p.Tree)
			reader = columns.NewReader(tree.CreatedAt)
			if err := told(tree); err != nil {
				return err
			}
		}
		tasks, err := reader.Read(&columns.Part{Tasks: int(p.Tasks), Places: p.Places, Names: p.Names, IDs: p.Ids, Parents: p.Parents, Dependencies: p.Dependencies, States: p.States,
			Executors: p.Executors, ExecutorOf: p.Executor, Pools: p.Pools, PoolOf: p.Pool, Attempts: p.Attempts, Ready: p.Ready, Started: p.Started, Completed: p.Completed})
		if err != nil {
			return err
		}
		if len(tasks) == 0 {
			continue
		}
		out := make([]SnapshotTask, len(tasks))
		for i, t := range tasks {
			out[i] = SnapshotTask{Place: t.Place, ID: t.ID, Name: t.Name, Parent: t.Parent, State: State(t.State.String()), Executor: t.Executor, Pool: t.Pool, Attempt: t.Attempt,
				ReadyAt: t.ReadyAt, StartedAt: t.StartedAt, CompletedAt: t.CompletedAt}
			for _, d := range t.Dependencies {
				out[i].Dependencies = append(out[i].Dependencies, SnapshotDependency(d))
			}
		}
		if err := each(out); err != nil {
			return err
		}
	}
}
