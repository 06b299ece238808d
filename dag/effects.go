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
	OutcomeSkipped   Outcome = 7 // nothing was to be done (control 1)
	OutcomeRepeated  Outcome = 8 // completed, and its task runs once more (control 5)
	// What a run may end with though its attempt stays open; never stored.
	OutcomeExpanded Outcome = 9  // waits for tasks that it found
	OutcomeAwaiting Outcome = 10 // waits for something from outside
)

var outcomeNames = [...]string{"", "completed", "failed", "cancelled", "returned", "timed_out", "lost", "skipped", "repeated", "expanded", "awaiting"}

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
	Kind      Kind // of the failure; empty: [KindExecutor]
	Detail    string
	Outputs   []byte // of a completed or skipped one: values that its task names, JSON object; nil: none
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
	EventSkipped   EventType = 8
	EventExpanded  EventType = 9  // the task found tasks and waits for them
	EventAwaiting  EventType = 10 // the task waits for something from outside
	EventRepeat    EventType = 11 // an attempt completed, and the task runs once more
	EventSignal    EventType = 12 // a signal that was kept could not be taken: it breaks the schema of who waits

	EventLate EventType = 13 // the tree has not ended when it was due; of the whole tree

	EventTypes = 14 // one more than the last
)

// Ends reports whether the event is about an attempt that ended.
func (t EventType) Ends() bool {
	return t == EventCompleted || t == EventFailed || t == EventCancelled || t == EventRetry || t == EventSkipped || t == EventRepeat
}

// Event is one thing that happened to a task; the store gives it its place in the tree's sequence.
type Event struct {
	Type    EventType
	Task    Key // 0: it is of the whole tree
	Attempt int32
}

// TreeDelta is what a decision adds to a tree's aggregate.
type TreeDelta struct {
	Held, Unfinished, Running, Completed, Failed, Cancelled, Blocked, LeavesCompleted int
	Skipped, Allowed                                                                  int // parts of Completed and of Failed
	Tasks, Leaves                                                                     int // of an edit or an expansion, which writes them itself
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
	case Completed, Skipped:
		t.Completed += n
		if f&FlagLeaf != 0 {
			t.LeavesCompleted += n
		}
		if s == Skipped {
			t.Skipped += n
		}
	case Failed:
		t.Failed += n
		if f&FlagAllowed != 0 {
			t.Allowed += n
		}
	case Cancelled:
		t.Cancelled += n
	case Blocked:
		t.Blocked += n
	default:
		t.Unfinished += n
	}
}
