package coordinator

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Events are stored with the change that they tell of, in one transaction, and read from there. What goes over NATS is
// only the news that there are more: when it is lost, the next look finds them.

func topic(t dag.TreeKey) string { return fmt.Sprintf("tree.%d", t) }

// announce tells all coordinators that trees have new events.
func (c *Coordinator) announce(trees []pg.TreeSequence) {
	for _, t := range trees {
		if err := c.queue.PublishEvent(topic(t.Tree), nil); err != nil {
			c.log.Debug("the news of events could not be published", "tree_key", int64(t.Tree), "error", err)
			return
		}
	}
}

// announceProgress passes on what an executor reports.
func (c *Coordinator) announceProgress(k dag.Key, p *workerv1.Progress) {
	p.Token = nil
	if data, err := proto.Marshal(p); err == nil {
		_ = c.queue.PublishEvent(topic(k.Tree()), data) // at most once
	}
}

var eventTypes = map[dag.EventType]EventType{
	dag.EventExecution: EventExecution, dag.EventStart: EventStart, dag.EventCompleted: EventCompleted, dag.EventFailed: EventFailed,
	dag.EventCancelled: EventCancelled, dag.EventRetry: EventRetry, dag.EventFinal: EventFinal,
}

var eventStatus = map[dag.EventType]dag.Status{
	dag.EventExecution: dag.StatusInProgress, dag.EventStart: dag.StatusInProgress, dag.EventCompleted: dag.StatusCompleted,
	dag.EventFailed: dag.StatusFailed, dag.EventCancelled: dag.StatusCancelled, dag.EventRetry: dag.StatusPending,
}

// showEvents are stored events as they are shown, told with the tree as it was when they were read.
func showEvents(tree *TreeStatus, events []pg.TreeEvent) []*Event {
	out := make([]*Event, len(events))
	for i := range events {
		out[i] = showEvent(tree, &events[i])
	}
	return out
}

func showEvent(tree *TreeStatus, e *pg.TreeEvent) *Event {
	out := &Event{Sequence: e.Sequence, Type: eventTypes[e.Type], Status: eventStatus[e.Type], TreeID: tree.ID, TaskID: e.ID,
		Name: e.Name, Attempt: int(e.Attempt), Progress: tree.Progress, TreeProgress: tree.Progress, At: e.At, Result: e.Result}
	switch e.Type {
	case dag.EventFailed, dag.EventRetry, dag.EventCancelled:
		out.Error = e.Error
	case dag.EventExecution:
		out.TaskID, out.Name, out.Progress, out.TreeProgress = tree.ID, tree.Name, 0, 0
	case dag.EventFinal:
		out.TaskID, out.Name, out.Status, out.Tree = tree.ID, tree.Name, tree.ExecutionStatus(), tree
	}
	return out
}

// treeProgress is the event of a tree that has come further.
func treeProgress(tree *TreeStatus) *Event {
	return &Event{Type: EventProgress, TreeID: tree.ID, TaskID: tree.ID, Status: dag.StatusInProgress, Progress: tree.Progress, TreeProgress: tree.Progress, At: time.Now()}
}
