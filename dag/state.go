package dag

import "fmt"

// State is where a task stands. The numbers are stored; never reuse one.
type State int16

// The internal states. [State.Status] gives the name of each on the wire.
const (
	Held      State = 0 // stored, but no execution includes it yet (spec K1)
	Waiting   State = 1 // a dependency has not ended
	Delayed   State = 2 // waits for a time: not-before, or back-off before a retry
	Ready     State = 3 // may start: waits for a slot of its pool, in Postgres or in NATS
	Running   State = 4 // claimed by a worker
	Blocked   State = 5 // can't run: a required dependency can no longer succeed (spec 3.4)
	Completed State = 6
	Failed    State = 7
	Cancelled State = 8
)

var stateNames = [...]string{"held", "waiting", "delayed", "ready", "running", "blocked", "completed", "failed", "cancelled"}

// String is the state's name in our own API, logs and metrics.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state(%d)", int16(s))
	}
	return stateNames[s]
}

// Status is a task's state on the wire of the task-tree protocol (spec 1.2).
type Status string

// The statuses of spec 1.2.
const (
	StatusPending    Status = "pending"
	StatusInProgress Status = "in_progress"
	StatusCompleted  Status = "completed"
	StatusFailed     Status = "failed"
	StatusCancelled  Status = "cancelled"
)

// ParseStatus reads a status of spec 1.2.
func ParseStatus(s string) (Status, bool) {
	switch st := Status(s); st {
	case StatusPending, StatusInProgress, StatusCompleted, StatusFailed, StatusCancelled:
		return st, true
	}
	return "", false
}

// Status is the state's name on the wire.
func (s State) Status() Status {
	switch s {
	case Running:
		return StatusInProgress
	case Completed:
		return StatusCompleted
	case Failed:
		return StatusFailed
	case Cancelled:
		return StatusCancelled
	}
	return StatusPending
}

// States are the states that show as the status on the wire.
func (s Status) States() []State {
	var out []State
	for st := range State(len(stateNames)) {
		if st.Status() == s {
			out = append(out, st)
		}
	}
	return out
}

// Settled reports whether the task will not change again unless a user asks for it. A tree has ended when every task
// of its execution is settled; held tasks belong to no execution.
func (s State) Settled() bool { return s >= Blocked }

// Unfinished reports whether an execution still has to bring the task to an end.
func (s State) Unfinished() bool { return s > Held && s < Blocked }

// transitions is the table of states: which may follow which. A re-run, at a user's word, may go from any settled
// state back to the beginning (spec 3.7, 12.3); nothing else leaves a settled state.
var transitions = [...]uint16{
	Held:      set(Waiting, Ready, Blocked, Cancelled),
	Waiting:   set(Delayed, Ready, Blocked, Completed, Failed, Cancelled),
	Delayed:   set(Ready, Cancelled),
	Ready:     set(Ready, Running, Delayed, Completed, Failed, Cancelled),
	Running:   set(Ready, Delayed, Completed, Failed, Cancelled),
	Blocked:   set(Waiting, Ready, Cancelled),
	Completed: set(Waiting, Ready, Blocked),
	Failed:    set(Waiting, Ready, Blocked),
	Cancelled: set(Waiting, Ready, Blocked),
}

func set(states ...State) (bits uint16) {
	for _, s := range states {
		bits |= 1 << s
	}
	return bits
}

// CanMove reports whether a task in state from may go to state to.
func CanMove(from, to State) bool {
	return int(from) < len(transitions) && transitions[from]&(1<<to) != 0
}
