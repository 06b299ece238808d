package coordinator

import (
	"context"
	"iter"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Service is all that surfaces stand on. *[Coordinator] implements it. Surfaces don't get it directly: [Access] gives
// it to them on behalf of a caller. What needs one role only should ask for that.
type Service interface {
	Submitter
	Reader
	Steerer
	Watcher
	Operator
}

// Submitter stores trees.
type Submitter interface {
	// Submit validates and stores a tree and, unless it is held, starts it. tasks is consumed once; an error that it
	// yields ends the submission and is returned. Nothing is stored unless all is valid. It answers after the commit.
	// *[dag.LevelError] when a live process could not handle the tree.
	Submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error)
}

// Reader shows what is stored. Where an id names a task or a tree that is not there, the error is [ErrNotFound].
type Reader interface {
	Task(ctx context.Context, id string) (*Task, error)
	Tasks(ctx context.Context, f TaskFilter) (Page[*Task], error)
	// Attempts lists a task's attempts, oldest first.
	Attempts(ctx context.Context, taskID string) ([]Attempt, error)
	// Why says what a task that is not running waits for, as of one moment.
	Why(ctx context.Context, taskID string) (*Explanation, error)
	// Tree shows the tree of a task.
	Tree(ctx context.Context, id string) (*TreeStatus, error)
	Trees(ctx context.Context, f TreeFilter) (Page[*TreeStatus], error)
	// Running counts trees with an execution in progress; userID may be empty.
	Running(ctx context.Context, userID string) (int, error)
}

// Steerer changes the course of what is stored.
type Steerer interface {
	// Execute starts a held tree, or runs again what a user asks for. [ErrNotFound], *[StillStoppingError].
	Execute(ctx context.Context, taskID string, opts ExecuteOptions) (*Execution, error)
	// Cancel cancels a task, or a whole tree by its root. [ErrNotFound].
	Cancel(ctx context.Context, id string, opts CancelOptions) (*Cancellation, error)
}

// Watcher follows what happens. Each iterator ends after the first error that it yields.
type Watcher interface {
	// Watch yields the events of the current execution after the sequence given (0: from its start) and ends after
	// the final one, with ctx, or with an error. It misses nothing that is still stored. A tree that has never been executed
	// is watched until it has.
	Watch(ctx context.Context, id string, after int64) iter.Seq2[*Event, error]
	// Logs yields what the executors of a task wrote, in one attempt or, for 0, in all; with follow also what they
	// write until the task settles.
	Logs(ctx context.Context, taskID string, attempt int, follow bool) iter.Seq2[*LogLine, error]
}

// Operator looks after the cluster itself.
type Operator interface {
	Workers(ctx context.Context) ([]Worker, error)
	Pools(ctx context.Context) ([]Pool, error)
	// Verify derives the rules of the system anew from what is stored, of the tree of a task or, when that is empty, of
	// everything, and yields each violation. It ends after an error; nothing yielded: nothing was found.
	Verify(ctx context.Context, treeOf string) iter.Seq2[*Violation, error]
	// Ready is nil when Postgres and NATS can be reached.
	Ready(ctx context.Context) error
}

// SubmitOptions go with a tree.
type SubmitOptions struct {
	IdempotencyKey string        // at most 255 characters; empty: none
	UserID         string        // owner of tasks that name none
	Hold           bool          // store only (spec K1); Execute starts it
	Timeout        time.Duration // of the whole tree, from its start; 0: none
}

// Submitted is the answer to a submission.
type Submitted struct {
	TreeID   string // the root task's id
	Tasks    int
	Replayed bool              // the idempotency key was known: this is the first answer
	IDMap    map[string]string // ids that were taken already, given -> actual (spec 2.1); nil when none
}

// ExecuteOptions steer a start or re-run (spec 3.7).
type ExecuteOptions struct {
	Force             bool // completed and cancelled tasks too
	RerunDependencies bool // completed dependencies of what is run again, too
}

// ExecuteOutcome says what became of an execute.
type ExecuteOutcome uint8

// The outcomes of an execute.
const (
	Started        ExecuteOutcome = iota + 1
	AlreadyRunning                // an execution of the tree is in progress; nothing was started
	NothingToDo                   // all that was asked for has ended well
)

// Execution is the answer to Execute.
type Execution struct {
	TreeID  string
	Outcome ExecuteOutcome
	Tasks   int // how many were started
}

// CancelOptions steer a cancellation (spec 3.8).
type CancelOptions struct {
	Reason  string // recorded as the error of what is cancelled; empty: [DefaultCancelReason]
	Cascade *bool  // what is below the task too; nil: true for a root, false otherwise
}

// DefaultCancelReason is recorded when a cancellation gives no reason.
const DefaultCancelReason = "Cancelled by user"

// CancelOutcome says what became of a cancellation.
type CancelOutcome uint8

// The outcomes of a cancellation.
const (
	Cancelled    CancelOutcome = iota + 1
	AlreadyEnded               // the task had settled before; it stays as it is
)

// Cancellation is the answer to Cancel.
type Cancellation struct {
	Outcome CancelOutcome
	Reason  string     // as recorded, with Cancelled
	Status  dag.Status // what it has ended as, with AlreadyEnded
}

// TaskFilter selects tasks; zero fields don't filter.
type TaskFilter struct {
	TreeOf   string // any task of the tree; then oldest first in submission order, else newest tree first
	ParentID string // children of this task, by priority, then submission order
	UserID   string
	Status   dag.Status
	Name     string
	RootOnly bool
	Limit    int    // default 100, at most 1000
	Offset   int    // spec 5.3; prefer Cursor
	Cursor   string // from the page before
}

// TreeFilter selects trees, newest first.
type TreeFilter struct {
	UserID  string
	Status  dag.Status
	Running bool // with an execution in progress
	Limit   int
	Cursor  string
}
