package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Status is the status of a task or a tree.
type Status string

// The statuses. The last three are final until somebody runs the task again.
const (
	StatusPending    Status = "pending" // has not started; it may never start, see [Task.BlockedBy]
	StatusInProgress Status = "in_progress"
	StatusCompleted  Status = "completed"
	StatusFailed     Status = "failed"
	StatusCancelled  Status = "cancelled"
)

// State is what a task waits for or how it ended; finer than [Status].
type State string

// The states. Servers may add others.
const (
	StateHeld      State = "held"    // stored: [Client.Execute] starts it
	StateWaiting   State = "waiting" // a dependency has not ended
	StateDelayed   State = "delayed" // waits for a time, see [Task.DueAt]
	StateReady     State = "ready"   // waits for a slot of its pool
	StateRunning   State = "running"
	StateBlocked   State = "blocked" // can't run: a required dependency failed, was cancelled or is blocked itself
	StateCompleted State = "completed"
	StateFailed    State = "failed"
	StateCancelled State = "cancelled"
	StateSkipped   State = "skipped"  // nothing was to be done, see [Task.SkipReason]
	StateExpanded  State = "expanded" // it found tasks, and waits for them
	StateAwaiting  State = "awaiting" // it waits for something from outside
)

// Outcome is how an attempt ended.
type Outcome string

// The outcomes. Servers may add others.
const (
	OutcomeRunning   Outcome = "running" // it has not ended
	OutcomeCompleted Outcome = "completed"
	OutcomeFailed    Outcome = "failed"
	OutcomeCancelled Outcome = "cancelled"
	OutcomeReturned  Outcome = "returned" // the worker handed it back, as it stopped
	OutcomeLost      Outcome = "lost"     // the worker was lost
	OutcomeTimedOut  Outcome = "timed_out"
	OutcomeSkipped   Outcome = "skipped"  // nothing was to be done
	OutcomeRepeated  Outcome = "repeated" // it completed, and the task runs once more
)

// Priority says which tasks of a pool start first. The zero value is Normal; lower values are more urgent.
type Priority int8

// The priorities.
const (
	Urgent Priority = iota - 2
	High
	Normal
	Low
)

var priorityNames = []string{"urgent", "high", "normal", "low"}

// wire is the number of the protocol, 0 urgent to 3 low.
func (p Priority) wire() int32 { return int32(p) + 2 }

func priorityOf(wire int32) Priority { return Priority(wire - 2) }

// String is urgent, high, normal or low.
func (p Priority) String() string {
	if i := int(p.wire()); i >= 0 && i < len(priorityNames) {
		return priorityNames[i]
	}
	return fmt.Sprintf("priority(%d)", int8(p))
}

// MarshalJSON gives the number of the task-tree protocol: 0 urgent to 3 low.
func (p Priority) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(p.wire()), 10), nil
}

// UnmarshalJSON reads what MarshalJSON gives.
func (p *Priority) UnmarshalJSON(data []byte) error {
	var n int32
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	if !slices.Contains([]int32{0, 1, 2, 3}, n) {
		return fmt.Errorf("priority must be 0 to 3, got %d", n)
	}
	*p = priorityOf(n)
	return nil
}

// Backoff is how the longest delay grows from one attempt to the next. The delay itself is drawn at random from zero up to
// that, so that tasks which failed together do not come back together.
type Backoff string

// The ways to grow.
const (
	Exponential Backoff = "exponential" // doubles
	Linear      Backoff = "linear"
	Fixed       Backoff = "fixed"
)

// RetryPolicy is how often and how soon a failed attempt is retried. The zero value means no retry.
type RetryPolicy struct {
	MaxAttempts  int           // attempts in all; 0 and 1: no retry
	Backoff      Backoff       // empty: Exponential
	InitialDelay time.Duration // the longest before the second attempt; 0: 1 s
	MaxDelay     time.Duration // the longest between two attempts; 0: 1 min
	Multiplier   float64       // of an exponential back-off, from one delay to the next; 0: 2
	NoDelay      bool          // tries again at once: InitialDelay is zero, and not its default
	NoJitter     bool          // delays are as long as they may be; else they are drawn from 0 up to that
	RetryOn      []string      // kinds of errors: only failures of these are tried again; nil: of all
	NoRetryOn    []string      // kinds of errors: failures of these are not, whatever RetryOn says
}

// IsZero reports whether the policy says nothing.
func (p RetryPolicy) IsZero() bool {
	return p.MaxAttempts == 0 && p.Backoff == "" && p.InitialDelay == 0 && p.MaxDelay == 0 && p.Multiplier == 0 && !p.NoDelay && !p.NoJitter &&
		len(p.RetryOn) == 0 && len(p.NoRetryOn) == 0
}
