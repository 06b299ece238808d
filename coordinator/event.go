package coordinator

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// EventType says what happened. Surfaces have words of their own for it.
type EventType uint8

// The types of events.
const (
	EventExecution EventType = iota + 1 // an execution of the tree began
	EventStart                          // an attempt at a task began
	EventCompleted
	EventFailed
	EventCancelled
	EventRetry    // an attempt failed or was lost, and another follows
	EventProgress // of the tree, or what an executor reports; it has no sequence and can't be replayed
	EventFinal    // the execution ended; Tree is set
)

var eventNames = [...]string{"", "execution", "start", "completed", "failed", "cancelled", "retry", "progress", "final"}

// String is the type's name for logs and tests.
func (t EventType) String() string {
	if int(t) < len(eventNames) {
		return eventNames[t]
	}
	return fmt.Sprintf("event type %d", uint8(t))
}

// Event is something that happened in a tree.
type Event struct {
	Sequence int64 // rising within the tree, without gaps; 0: EventProgress
	Type     EventType
	TreeID   string
	TaskID   string // the root's with EventExecution and EventFinal
	Name     string
	Status   dag.Status
	Attempt  int
	Progress float64 // 0..1: of the tree, or of the task with what its executor reports
	// TreeProgress is the tree's in every event.
	TreeProgress float64
	Message      string // what an executor said with its progress
	Result       json.RawMessage
	Error        string // of what failed, was cancelled or is tried again
	At           time.Time
	Tree         *TreeStatus // with EventFinal
}
