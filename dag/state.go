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
	Skipped   State = 9  // ended without a run, or with nothing to do: no failure (control 1)
	Expanded  State = 10 // its run found tasks: waits for these to end, without a worker (control 5)
	Awaiting  State = 11 // its run asked for something from outside: waits for it, without a worker (control 6)
)

// stage is how far an execution is with a task.
type stage int

const (
	stored     stage = iota // no execution includes it
	unfinished              // an execution has to bring it to an end
	settled                 // it changes only when a user asks for it
)

// states says all that the rules know of a state by itself; every set of states and every predicate is made of it.
// next are the states that may follow. A re-run, at a user's word, may go from any settled state back to the beginning
// (spec 3.7, 12.3), and an update may end what is pending, or change what it waits for (2.3); nothing else leaves a settled state.
var states = [...]struct {
	name    string // in our own API, logs and metrics
	status  Status // on the wire
	stage   stage
	outcome string // of a settled task (control 13); empty: it has none
	next    StateSet
}{
	Held:    {"held", StatusPending, stored, "", setOf(Waiting, Ready, Blocked, Completed, Failed, Cancelled, Skipped)},
	Waiting: {"waiting", StatusPending, unfinished, "", setOf(Delayed, Ready, Blocked, Completed, Failed, Cancelled, Skipped)},
	Delayed: {"delayed", StatusPending, unfinished, "", setOf(Waiting, Ready, Blocked, Completed, Failed, Cancelled, Skipped)},
	Ready:   {"ready", StatusPending, unfinished, "", setOf(Waiting, Ready, Running, Delayed, Blocked, Completed, Failed, Cancelled, Skipped)},
	Running: {"running", StatusInProgress, unfinished, "", setOf(Ready, Delayed, Completed, Failed, Cancelled, Skipped, Expanded, Awaiting)},
	Blocked: {"blocked", StatusPending, settled, "blocked", setOf(Held, Waiting, Ready, Completed, Failed, Cancelled, Skipped, Expanded)},

	Completed: {"completed", StatusCompleted, settled, "success", setOf(Waiting, Ready, Blocked, Expanded)},
	Failed:    {"failed", StatusFailed, settled, "failed", setOf(Waiting, Ready, Blocked, Expanded)},
	Cancelled: {"cancelled", StatusCancelled, settled, "cancelled", setOf(Waiting, Ready, Blocked, Expanded)},
	Skipped:   {"skipped", StatusCompleted, settled, "skipped", setOf(Waiting, Ready, Blocked)},
	Expanded:  {"expanded", StatusInProgress, unfinished, "", setOf(Completed, Failed, Cancelled)},
	Awaiting:  {"awaiting", StatusInProgress, unfinished, "", setOf(Ready, Delayed, Completed, Failed, Cancelled, Skipped)},
}

// StateSet is a set of states, one bit for each. It is what stores list when they look for such tasks.
type StateSet uint16

// The sets of states that rules speak of.
var (
	AllStates = statesThat(func(State) bool { return true })
	// UnfinishedStates are those of tasks that an execution still has to bring to an end.
	UnfinishedStates = statesThat(func(s State) bool { return states[s].stage == unfinished })
	// SettledStates are those of tasks that do not change again unless a user asks for it. A tree has ended when every task
	// of its execution is settled; held tasks belong to no execution.
	SettledStates = statesThat(func(s State) bool { return states[s].stage == settled })
	// UnsettledStates are all others: who depends on such a task may still wait for it.
	UnsettledStates = AllStates &^ SettledStates
	// SuccessfulStates are those of tasks that ended well: they let go who requires them.
	SuccessfulStates = setOf(Completed, Skipped)
	// UnsuccessfulStates are those of tasks that are settled, and not successful: they block who requires them.
	UnsuccessfulStates = SettledStates &^ SuccessfulStates
	// OutcomeStates are those of tasks that ended by themselves or by a user's word, so that their last attempt has an
	// outcome. A blocked task is settled without one.
	OutcomeStates = SettledStates &^ setOf(Blocked)
	// CancellableStates are those that may be followed by [Cancelled].
	CancellableStates = statesThat(func(s State) bool { return CanMove(s, Cancelled) })
)

func setOf(members ...State) (set StateSet) {
	for _, s := range members {
		set |= 1 << s
	}
	return set
}

func statesThat(fit func(State) bool) (set StateSet) {
	for s := range State(len(states)) {
		if fit(s) {
			set |= setOf(s)
		}
	}
	return set
}

// Has reports whether the state is in the set.
func (set StateSet) Has(s State) bool { return s >= 0 && set>>s&1 != 0 }

// States are the members, by number.
func (set StateSet) States() (members []State) {
	for s := range State(len(states)) {
		if set.Has(s) {
			members = append(members, s)
		}
	}
	return members
}

// Set is the set of this state alone.
func (s State) Set() StateSet { return setOf(s) }

// CanMove reports whether a task in state from may go to state to.
func CanMove(from, to State) bool { return AllStates.Has(from) && states[from].next.Has(to) }

// Settled reports whether the state is one of [SettledStates].
func (s State) Settled() bool { return SettledStates.Has(s) }

// Unfinished reports whether the state is one of [UnfinishedStates].
func (s State) Unfinished() bool { return UnfinishedStates.Has(s) }

// Cancellable reports whether the state is one of [CancellableStates].
func (s State) Cancellable() bool { return CancellableStates.Has(s) }

// Outcome is the word for how a settled task ended: success, skipped, failed, cancelled or blocked (control 13); empty before that.
func (s State) Outcome() string {
	if !AllStates.Has(s) {
		return ""
	}
	return states[s].outcome
}

// ParseOutcome reads the word for an outcome.
func ParseOutcome(word string) (State, bool) {
	for s := range State(len(states)) {
		if word != "" && states[s].outcome == word {
			return s, true
		}
	}
	return 0, false
}

// String is the state's name in our own API, logs and metrics.
func (s State) String() string {
	if !AllStates.Has(s) {
		return fmt.Sprintf("state(%d)", int16(s))
	}
	return states[s].name
}

// ParseState reads a state's name.
func ParseState(name string) (State, bool) {
	for s := range State(len(states)) {
		if states[s].name == name {
			return s, true
		}
	}
	return 0, false
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

// Set is the set of the states that show as the status.
func (s Status) Set() StateSet { return setOf(s.States()...) }

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
	if !AllStates.Has(s) {
		return StatusPending
	}
	return states[s].status
}

// States are the states that show as the status on the wire.
func (s Status) States() []State {
	return statesThat(func(st State) bool { return st.Status() == s }).States()
}
