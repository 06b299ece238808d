package coordinator

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// EventType says what happened. Surfaces have words of their own for it.
type EventType uint8

// The types of events. Each has a row in eventKinds.
const (
	EventExecution EventType = iota + 1 // an execution of the tree began
	EventStart                          // an attempt at a task began
	EventCompleted
	EventFailed
	EventCancelled
	EventRetry    // an attempt failed, was lost or was handed back, and another follows
	EventProgress // of the tree, or what an executor reports; it has no sequence and can't be replayed
	EventFinal    // the execution ended; Tree is set
	EventSkipped  // nothing was to be done: on the wire of the task-tree protocol, a completion
	EventExpanded // an attempt found tasks, and the task waits for them
	EventAwaiting // a task waits for something from outside, and holds no slot
	EventRepeat   // an attempt completed, and the task runs once more
	EventSignal   // a signal that was kept for a task is not what it asks for: it is dropped, and the task waits on
	EventLate     // the tree has not ended when it was due; it goes on
)

// eventKinds has a row for each type.
var eventKinds = [...]struct {
	name   string
	stored dag.EventType // 0: it is not stored
	status dag.Status    // that the event shows; empty: the tree's
}{
	EventExecution: {"execution", dag.EventExecution, dag.StatusInProgress},
	EventStart:     {"start", dag.EventStart, dag.StatusInProgress},
	EventCompleted: {"completed", dag.EventCompleted, dag.StatusCompleted},
	EventFailed:    {"failed", dag.EventFailed, dag.StatusFailed},
	EventCancelled: {"cancelled", dag.EventCancelled, dag.StatusCancelled},
	EventRetry:     {"retry", dag.EventRetry, dag.StatusPending},
	EventProgress:  {name: "progress"},
	EventFinal:     {"final", dag.EventFinal, ""},
	EventSkipped:   {"skipped", dag.EventSkipped, dag.StatusCompleted},
	EventExpanded:  {"expanded", dag.EventExpanded, dag.StatusInProgress},
	EventAwaiting:  {"awaiting", dag.EventAwaiting, dag.StatusInProgress},
	EventRepeat:    {"repeat", dag.EventRepeat, dag.StatusPending},
	EventSignal:    {"signal", dag.EventSignal, dag.StatusInProgress},
	EventLate:      {"late", dag.EventLate, dag.StatusInProgress},
}

// EventTypes are all types of events.
func EventTypes() []EventType {
	var all []EventType
	for t := range eventKinds[1:] {
		all = append(all, EventType(t+1))
	}
	return all
}

// eventTypeOf is the type of a stored event. Another coordinator, of a later version, may have stored one that is not known: 0.
var eventTypeOf = func() map[dag.EventType]EventType {
	types := map[dag.EventType]EventType{}
	for t, kind := range eventKinds {
		if kind.stored != 0 {
			types[kind.stored] = EventType(t)
		}
	}
	return types
}()

// String is the type's name for logs and tests.
func (t EventType) String() string {
	if int(t) < len(eventKinds) {
		return eventKinds[t].name
	}
	return fmt.Sprintf("event type %d", uint8(t))
}

// Event is something that happened in a tree.
type Event struct {
	Sequence int64 // rising within the tree, without gaps; 0: EventProgress
	Type     EventType
	TreeID   string
	TaskID   string // the root's with EventExecution, EventLate and EventFinal
	Place    int    // of the task in its tree, from 1; 0: of the whole tree, or EventProgress
	Name     string
	Status   dag.Status
	Attempt  int
	// Progress is the tree's, 0..1, as it was when the event was read, not when it was stored. What an executor reports
	// (EventProgress with an Attempt) has the task's own.
	Progress float64
	// TreeProgress is the tree's in every event.
	TreeProgress float64
	Message      string  // what an executor said with its progress; with EventLate: what it says
	Pieces       []Piece // what an attempt tells live; with EventProgress
	Result       json.RawMessage
	Error        string // of what failed, was cancelled or is tried again
	At           time.Time
	Tree         *TreeStatus // with EventFinal
	// Usage is that of the attempt that ended, or of the whole tree with EventFinal; nil: none. A cancelled attempt's is known once its worker
	// has stopped it, which may be later than this.
	Usage *Usage
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
	t := eventTypeOf[e.Type]
	out := &Event{Sequence: e.Sequence, Type: t, Status: eventKinds[t].status, TreeID: tree.ID, TaskID: e.ID,
		Name: e.Name, Attempt: int(e.Attempt), Progress: tree.Progress, TreeProgress: tree.Progress, At: e.At, Result: e.Result,
		Usage: UsageOf(e.Used, true)}
	if e.Task != 0 {
		out.Place = e.Task.Index() + 1
	}
	switch t {
	case EventFailed, EventRetry, EventCancelled:
		out.Error = e.Error
	case EventExecution:
		out.TaskID, out.Name, out.Progress, out.TreeProgress = tree.ID, tree.Name, 0, 0
	case EventLate:
		out.TaskID, out.Name, out.Message = tree.ID, tree.Name, lateMessage
	case EventFinal:
		ended := *tree
		ended.Usage = out.Usage
		out.TaskID, out.Name, out.Status, out.Tree = tree.ID, tree.Name, tree.ExecutionStatus(), &ended
	}
	return out
}

// lateMessage is what the event of a tree says that is late.
const lateMessage = "Task tree is late: it has not ended when it was due"

// treeProgress is the event of a tree that has come further.
func treeProgress(tree *TreeStatus) *Event {
	return &Event{Type: EventProgress, TreeID: tree.ID, TaskID: tree.ID, Name: tree.Name, Status: dag.StatusInProgress, Progress: tree.Progress,
		TreeProgress: tree.Progress, At: time.Now()}
}
