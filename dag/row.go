package dag

import "time"

// WorkerKey is the compact internal name of one run of one worker process; 0 is none.
type WorkerKey int64

// Row is a task's scheduling state, as locked.
type Row struct {
	Key       Key
	State     State
	Flags     Flags
	Priority  Priority
	Pool      int32
	Attempt   int32     // number of the current attempt, or of the next one to be claimed; from 1, never restarts
	Remaining int32     // dependencies that have not ended; meaningful while Waiting
	Failures  int32     // counted attempts that failed, in this execution
	Crashes   int32     // workers lost, in this execution
	Repeats   int32     // runs that completed and were followed by another, in this execution; see [Row.Repeated]
	Worker    WorkerKey // holds the open attempt. Invariant: set while Running; may stay set when Cancelled, until the receipt
	StartedAt time.Time // of the current attempt; zero before
	BlockedBy Key       // Blocked: the task whose end is the cause
	Policy    *Policy   // loaded where a decision may need it, else nil

	was       Guard // as it was handed in
	repeats   int32 // likewise
	wasFixed  fixed // likewise
	changed   bool
	cancelled bool   // its tree was cancelled
	judging   bool   // this decision has ended its last dependency, and it is in ToJudge
	again     bool   // an attempt of it was interrupted in this decision
	forbidden string // why its pool's rule forbids it; empty: it does not
}

// Guard is what decides whether a row still is what was handed in: a write of rows that are not locked compares it.
type Guard struct {
	State                                 State
	Attempt, Remaining, Failures, Crashes int32
	Worker                                WorkerKey
}

// Guard is the row as it is now.
func (r *Row) Guard() Guard {
	return Guard{r.State, r.Attempt, r.Remaining, r.Failures, r.Crashes, r.Worker}
}

// Policy is the part of a task's specification that decisions read. All zero: the defaults.
type Policy struct {
	Executor        string
	Retry           RetryPolicy
	OnLost          OnLost
	Timeout         time.Duration
	ScheduleToStart time.Duration
	NotBefore       time.Time
}

// Expected is what a write of the row must find.
func (r *Row) Expected() Guard { return r.was }

// Repeated reports whether Repeats is to be written, too: then the attempt is the first of a run.
func (r *Row) Repeated() bool { return r.Repeats != r.repeats }

// Cancelled reports whether the cancellation of its tree is on record.
func (r *Row) Cancelled() bool { return r.cancelled }

// fixed is what only an update of the task changes, or one of the tasks around it.
type fixed struct {
	flags    Flags
	priority Priority
	pool     int32
}

func (r *Row) fixed() fixed { return fixed{r.Flags, r.Priority, r.Pool} }

// Refixed reports whether Flags, Priority or Pool are to be written, too.
func (r *Row) Refixed() bool { return r.fixed() != r.wasFixed }

func (r *Row) policy() Policy {
	if r.Policy == nil {
		return Policy{}
	}
	return *r.Policy
}

// cause is the task that dependents are blocked by when this one can't succeed.
func (r *Row) cause() Key {
	if r.State == Blocked {
		return r.BlockedBy
	}
	return r.Key
}

// Lane is a pool and a priority. Tasks of one lane and tree are published in the order in which they got ready.
type Lane struct {
	Pool     int32
	Priority Priority
}

// Again reports whether the task is ready because an attempt of it was interrupted: it has waited for its turn before.
func (r *Row) Again() bool { return r.again }

// Lane is where the task waits when it is ready.
func (r *Row) Lane() Lane { return Lane{r.Pool, r.Priority} }

// LaneBefore is where it waited when it was handed in.
func (r *Row) LaneBefore() Lane { return Lane{r.wasFixed.pool, r.wasFixed.priority} }
