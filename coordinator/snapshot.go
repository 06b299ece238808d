package coordinator

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/columns"
	"github.com/taskgrove/taskgrove/pg"
)

// SnapshotPart is a part of a snapshot.
type SnapshotPart struct {
	Tree *TreeStatus // as it was at that moment; with the first part, which has no tasks
	*columns.Part
}

// Snapshots read trees whole.
type Snapshots interface {
	// Snapshot yields all tasks of a tree as columns, or some, as they were at one moment. [Watcher.Watch] goes on after the
	// sequence of the tree in the first part. What events don't tell is seen by the next snapshot only: that a task has become ready or blocked, that a tree's cancellation has
	// ended tasks which never ran, and tasks that were found. It keeps no more than a few MiB. The error is [ErrNotFound] where there is no such tree.
	Snapshot(ctx context.Context, id string, opts SnapshotOptions) iter.Seq2[*SnapshotPart, error]
}

// SnapshotOptions say what of a tree a snapshot has.
type SnapshotOptions struct {
	IDs bool // of tasks, too
	// Only are the places of the tasks that it has, at most [MaxSnapshotPlaces], in any order; none: all tasks. Those that are not there are left out.
	Only []int
}

// MaxSnapshotPlaces is how many tasks a snapshot of some may be asked for.
const MaxSnapshotPlaces = 5000

func (g *guarded) Snapshot(ctx context.Context, id string, opts SnapshotOptions) iter.Seq2[*SnapshotPart, error] {
	return follow(ctx, g, Call{Method: "Snapshot", ID: id}, func() iter.Seq2[*SnapshotPart, error] { return g.next.Snapshot(ctx, id, opts) })
}

// keys are the keys of places in a tree, rising; nil: of all.
func (o *SnapshotOptions) keys(tree dag.TreeKey) ([]dag.Key, error) {
	if len(o.Only) == 0 {
		return nil, nil
	}
	if len(o.Only) > MaxSnapshotPlaces {
		return nil, &InvalidArgumentError{Field: "only", Reason: fmt.Sprintf("must have at most %d places", MaxSnapshotPlaces)}
	}
	keys := make([]dag.Key, len(o.Only))
	for i, place := range o.Only {
		if place < 1 || place > dag.MaxTreeTasks {
			return nil, &InvalidArgumentError{Field: "only", Reason: fmt.Sprintf("must have places from 1 to %d", dag.MaxTreeTasks)}
		}
		keys[i] = tree.Key(place - 1)
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

const (
	// snapshotTasks and snapshotBytes are where a part of a snapshot is cut.
	snapshotTasks = 4096
	snapshotBytes = 256 << 10
	// snapshotsAhead is how many parts are read before their reader takes them: Postgres is done with most trees before a slow one has begun.
	snapshotsAhead = 24
	// snapshotsAtOnce is how many snapshots a process reads at a time, each on a connection: others wait, and what settles work does not.
	snapshotsAtOnce = 2
)

// Snapshot reads a tree whole; see [Snapshots].
func (c *Coordinator) Snapshot(ctx context.Context, id string, opts SnapshotOptions) iter.Seq2[*SnapshotPart, error] {
	return func(yield func(*SnapshotPart, error) bool) {
		key, err := c.keyOf(ctx, id)
		if err != nil {
			yield(nil, err)
			return
		}
		only, err := opts.keys(key.Tree())
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		parts := make(chan *SnapshotPart, snapshotsAhead)
		var failed error
		go func() {
			defer close(parts)
			failed = c.readSnapshot(ctx, key.Tree(), opts.IDs, only, func(p *SnapshotPart) error {
				select {
				case parts <- p:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}()
		defer func() { // it has ended when this has
			cancel()
			for range parts {
			}
		}()
		for p := range parts {
			if !yield(p, nil) {
				return
			}
		}
		if failed != nil {
			yield(nil, failed)
		}
	}
}

// readSnapshot tells the parts of a tree's snapshot.
func (c *Coordinator) readSnapshot(ctx context.Context, tree dag.TreeKey, ids bool, only []dag.Key, told func(*SnapshotPart) error) error {
	select {
	case c.snapshots <- struct{}{}:
		defer func() { <-c.snapshots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var w *columns.Writer
	n := 0
	cut := func() error {
		n = 0
		return told(&SnapshotPart{Part: w.Cut()})
	}
	err := c.store.Snapshot(ctx, tree, ids, only, func(t *pg.Tree) error {
		w = columns.NewWriter(t.CreatedAt)
		return told(&SnapshotPart{Tree: c.showTree(t), Part: &columns.Part{}})
	}, func(t *pg.SnapshotTask) error {
		w.Add(columnsOf(t))
		if n++; n < snapshotTasks && w.Size() < snapshotBytes {
			return nil
		}
		return cut()
	})
	if err == nil && n > 0 {
		err = cut()
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.internal("read a snapshot", err)
	}
	return nil
}

// columnsOf is a task as the columns have it.
func columnsOf(t *pg.SnapshotTask) *columns.Task {
	out := &columns.Task{Place: t.Key.Index() + 1, ID: t.ID, Name: t.Name, Parent: int(t.Parent) + 1, State: t.State, Executor: t.Executor, Pool: t.Pool,
		Attempt: int(t.Attempt), ReadyAt: t.ReadyAt, StartedAt: t.StartedAt, CompletedAt: t.FinishedAt}
	for _, d := range t.Deps {
		out.Dependencies = append(out.Dependencies, columns.Dependency{Place: int(max(d, -d)), Required: d > 0})
	}
	return out
}
