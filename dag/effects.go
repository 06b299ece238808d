package dag

import (
	"fmt"
	"time"
)

// Outcome is how an attempt ended. The numbers are stored.
type Outcome int16

// The outcomes.
const (
	OutcomeCompleted Outcome = 1
	OutcomeFailed    Outcome = 2
	OutcomeCancelled Outcome = 3
	OutcomeReturned  Outcome = 4 // handed back by its worker, unfinished
	OutcomeTimedOut  Outcome = 5 // start-to-close, or schedule-to-start when it never started
	OutcomeLost      Outcome = 6 // its worker was lost
)

var outcomeNames = [...]string{"", "completed", "failed", "cancelled", "returned", "timed_out", "lost"}

// String is the outcome's name in our own API.
func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomeNames) {
		return fmt.Sprintf("outcome(%d)", int16(o))
	}
	return outcomeNames[o]
}

// Ended is an attempt that came to its end: one row of the history.
type Ended struct {
	Task      Key
	Attempt   int32
	Outcome   Outcome
	Counted   bool // against the retry policy
	Worker    WorkerKey
	StartedAt time.Time     // zero: never started
	Waited    time.Duration // of a completed one: from its claim to its start; StartedAt has it already, unless that was not read
	Result    []byte        // JSON; nil: null
	Error     string
	Detail    string
	Used      []Used // of models
	// Receipt: the row was written when the task was cancelled; only result, usage and finish are added to it.
	Receipt bool
	Chunked bool // the result waits in the store, in parts
	Unknown bool // nobody has the executor: Error is to be completed by [UnknownExecutor]
}

// EventType numbers what events report. The numbers are stored.
type EventType uint8

// The types of events.
const (
	EventExecution EventType = 1 // an execution of the tree began
	EventStart     EventType = 2
	EventCompleted EventType = 3
	EventFailed    EventType = 4
	EventCancelled EventType = 5
	EventRetry     EventType = 6
	EventFinal     EventType = 7 // the last of an execution
)

// Ends reports whether the event is about an attempt that ended.
func (t EventType) Ends() bool {
	return t == EventCompleted || t == EventFailed || t == EventCancelled || t == EventRetry
}

// Event is one thing that happened to a task; the store gives it its place in the tree's sequence.
type Event struct {
	Type    EventType
	Task    Key
	Attempt int32
}

// TreeDelta is what a decision adds to a tree's aggregate.
type TreeDelta struct {
	Held, Unfinished, Running, Completed, Failed, Cancelled, Blocked, LeavesCompleted int
	Tasks, Leaves                                                                     int // of an edit, which writes them itself
	Events                                                                            []Event
}

// Stop asks a worker to stop an attempt.
type Stop struct {
	Worker  WorkerKey
	Task    Key
	Attempt int32
}

// Count adds n tasks of a state and flags to the aggregate.
func (t *TreeDelta) Count(s State, f Flags, n int) {
	switch s {
	case Held:
		t.Held += n
	case Completed:
		t.Completed += n
		if f&FlagLeaf != 0 {
			t.LeavesCompleted += n
		}
	case Failed:
		t.Failed += n
	case Cancelled:
		t.Cancelled += n
	case Blocked:
		t.Blocked += n
	default:
		t.Unfinished += n
	}
}
