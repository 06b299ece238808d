// Package history describes what happened in a run of the system, and judges it.
//
// It owns the types for calls, runs of executors, attempts, events and ends, and the rules for them. It must not know whether
// real processes or a simulation recorded them, and must not use the engine's decisions: it shares only the names of states,
// and the oracle says how trees must end.
package history

import (
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// History is what was recorded from outside of the system, and what the system says of itself at the end. Times count from
// one beginning, on one clock. Check only reads it.
type History struct {
	Submits  []Submit           // one for each tree, of those to be judged
	Runs     []Run              // by the executors' own journal, in any order
	Attempts map[string][]Ended // by task: the ended attempts that the system lists, in its order
	Events   map[string][]Event // by the tree's root, or a name for one of its executions: from the first event on, in the order in which they came
	Ends     map[string]End     // by task, as the system tells it after the last tree had time to end
	Slots    map[string]int     // by pool: how many attempts one process may run at a time; a missing pool has no limit
	Left     []Leftover         // processes of attempts that were found after all had ended
	Exact    bool               // no worker was lost: attempts count exactly as the oracle says, and there are no others
}

// Answer is how a call ended for the client.
type Answer int

// The answers. The zero Answer is Unknown, for a call whose answer got lost.
const (
	Unknown  Answer = iota // it may have taken effect or not
	Accepted               // it took effect
	Refused                // it had no effect
)

// Submit is a client's call that submits and starts a tree.
type Submit struct {
	Root    string // id of the tree's root
	Answer  Answer
	Steered bool // tasks were cancelled while others ran: the oracle can't know how they end
	Partial bool // only parts of the tree were executed: how it ended is not judged
	Whole   bool // the tree may have been cancelled as a whole, which gives no attempt to a task that had not started
}

// Run is one execution of an attempt by an executor.
type Run struct {
	Task       string
	Attempt    int    // from 1
	Process    int    // that runs the executor
	Key        string // the idempotency key that it was given; empty: nobody looked
	Pool       string // empty: not limited
	Start, End time.Duration
	Open       bool          // it had not ended when the history was read; End means nothing
	Repeatable bool          // the task may run twice at once
	Frozen     bool          // it works inside a process that stood still past its lease, and so couldn't stop in time
	FrozenAt   time.Duration // since when it stood still: it is excused of what begins later. 0: not known
	Execution  int           // of its task: dependencies are judged within one execution, and across none
	Barred     bool          // its attempt was cancelled before it had started, and the run began later
	Held       []Held        // what it holds while it runs
	Abandoned  bool          // its attempt had an end before the run had stopped: it was cancelled, or lost with its frozen process, or timed out there
}

// excused reports whether a run may overlap others of its task, and what depends on it, that begin at a time.
func (r Run) excused(at time.Duration) bool { return r.Repeatable || r.stood(at) }

// stood reports whether a run could not stop in time for what begins at a time.
func (r Run) stood(at time.Duration) bool { return r.Frozen && r.FrozenAt <= at }

// over reports whether a run had ended by a time.
func (r Run) over(at time.Duration) bool { return !r.Open && r.End <= at }

// Ended is an attempt in the system's own list.
type Ended struct {
	Number  int // from 1, without gaps
	Outcome dag.State
	Counted bool // against the task's policy
	Repeats bool // it completed, and the task ran once more
	Lost    bool // given up with its worker, or given back; Outcome means nothing
	Resumes bool // what it waited for has come, and another attempt goes on; it is Lost, too
	Excused bool // its grant was lost on the way or came too late, or its worker is on record as lost: see [History.Exact]
}

// Event is what the system told of a tree.
type Event struct {
	Sequence  int64  // of the tree, from 1, without gaps
	Task      string // empty: of the tree
	Attempt   int    // of Starts and Completes; 0: it isn't known, and not judged
	Starts    bool   // an attempt began
	Ends      bool   // the task completed, failed or was cancelled
	Completes bool   // it completed
	Final     bool   // the tree has ended; nothing follows
}

// End is how the system says that a task ended.
type End struct {
	State  dag.State
	Result any            // as encoding/json decodes it
	Inputs map[string]any // merged, without the script; nil: not looked at
	Unread bool           // nobody looked at the result

	Execution int // that the task ended in; see [Run.Execution]
	First     int // the first attempt of that execution, the first one that is listed; 0: 1
}

// Leftover is a process that outlived the attempt that started it.
type Leftover struct {
	Task    string
	Process int
}
