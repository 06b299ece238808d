package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Errors of the service, one closed list; each API maps them in one function. Anything else is internal: clients get
// "internal" and an id, the log gets the whole.
var (
	// ErrNotFound: no such task or tree.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the state does not allow it; the text says why and is safe to show.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable: Postgres or NATS can't be reached, or too much is going on; try again.
	ErrUnavailable = errors.New("unavailable")
)

// Faults in what the client sent are *dag.InvalidError (dag.InvalidTaskErrors for trees) and *InvalidArgumentError.

// InvalidArgumentError reports a parameter that can't be accepted. Its text is safe to show.
type InvalidArgumentError struct {
	Field  string // "limit", "cursor"
	Reason string // lower case, no full stop
}

// Error names field and reason.
func (e *InvalidArgumentError) Error() string { return e.Field + ": " + e.Reason }

// SubmitOptions go with a tree.
type SubmitOptions struct {
	IdempotencyKey string        // at most 255 bytes; empty: none
	UserID         string        // owner of tasks that name none
	Hold           bool          // store only (spec K1); Execute starts it
	Timeout        time.Duration // of the whole tree, from its start; 0: none
}

// Submitted is the answer to a submission; it is given after the commit.
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

// Execution is the answer to Execute.
type Execution struct {
	TreeID string
	Status string // "started", "already_running", "completed" (nothing to do)
	Tasks  int    // how many were started
}

// Dependency is an edge as shown.
type Dependency struct {
	ID       string
	Required bool
	Type     string
}

// Task is one task as shown. JSON fields are nil for null.
type Task struct {
	Key                     dag.Key
	ID, TreeID, ParentID    string // ParentID is empty for the root
	UserID, Name            string
	State                   dag.State
	Priority                dag.Priority
	Dependencies            []Dependency
	Inputs                  json.RawMessage // merged ones once started (spec 3.6)
	Params, Schemas, Custom json.RawMessage
	Result                  json.RawMessage
	Error                   string
	Progress                float64
	Executor, Pool, Worker  string
	Attempt                 int
	BlockedBy               []string
	HasChildren             bool
	CreatedAt, UpdatedAt    time.Time
	StartedAt, CompletedAt  time.Time // zero: null
	DueAt                   time.Time // delayed: until when
}

// TreeStatus is the aggregate of one tree: one row, whatever its size.
type TreeStatus struct {
	Key                                   dag.TreeKey
	ID, Name, UserID                      string
	Status                                dag.Status // spec 3.9 R
	Progress                              float64    // mean over leaves
	Tasks, Held, Unfinished, Running      int
	Completed, Failed, Cancelled, Blocked int
	Sequence                              int64 // of the last event
	CreatedAt, StartedAt, FinishedAt      time.Time
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

// Page is a part of a list; Next is empty on the last.
type Page[T any] struct {
	Items []T
	Next  string
}

// Attempt is one ended try, or the one that runs (Outcome "running").
type Attempt struct {
	Number                int
	Outcome               string
	Counted               bool // against the retry policy
	Error, Detail, Worker string
	Result                json.RawMessage
	StartedAt, FinishedAt time.Time
}

// CancelOptions steer a cancellation (spec 3.8).
type CancelOptions struct {
	Force   bool // changes the text only
	Message string
	Cascade *bool // nil: true for a root, false otherwise
}

// CancelResult is the answer for one id.
type CancelResult struct {
	Status        string // "cancelled" or "failed"
	Message       string
	CurrentStatus dag.Status // when it had ended already
	NotFound      bool
}

// Event is something that happened in a tree.
type Event struct {
	Sequence int64  // rising within the tree, without gaps; 0: progress, which can't be replayed
	Type     string // EventStart and so on
	TreeID   string
	TaskID   string
	Name     string
	Status   dag.Status
	Attempt  int
	Progress float64 // of the tree, 0..1
	Message  string
	Result   json.RawMessage
	Error    string
	At       time.Time
	Tree     *TreeStatus // with EventFinal
}

// The types of events (spec 5.4).
const (
	EventStarted   = "progress" // with Message "Task tree execution started"; later ones report progress
	EventStart     = "task_start"
	EventCompleted = "task_completed"
	EventFailed    = "task_failed"
	EventCancelled = "task_cancelled"
	EventRetry     = "task_retry" // an attempt failed or was lost, another will follow
	EventProgress  = "progress"
	EventFinal     = "final"
)

// LogLine is one line that an executor wrote.
type LogLine struct {
	Attempt int
	Number  int64 // from 1, within the attempt
	Stream  string
	Text    string
	At      time.Time
}

// Worker is a worker as shown.
type Worker struct {
	ID, Instance, Host, State, Build string // State: alive, draining, gone, lost
	Pools                            map[string]int
	Running                          int
	StartedAt, LeaseUntil            time.Time
}

// Pool is a pool as shown.
type Pool struct {
	Name              string
	Ready, Queued     int // waiting in Postgres, in NATS
	Capacity, Workers int
	Oldest            time.Duration // age of the oldest that waits
}

// Violation is a rule of the system that does not hold in what is stored.
type Violation struct {
	Kind   string // as in taskgrove_invariant_violations_total
	TreeID string // empty: not of one tree, or of one that is not there
	TaskID string // empty: not of one task, or of one that is not there
	Text   string // what is stored, and what the rule wants
}

// Explanation says what a task that is not running waits for.
type Explanation struct {
	TaskID, TreeID string
	State          dag.State
	Summary        string // one sentence for people
	Waits          []Wait // empty: it waits for nothing
}

// Wait is one thing that a task waits for. Fields that do not belong to its kind are zero.
type Wait struct {
	Kind      string    // WaitExecute and so on
	Text      string    // one sentence for people
	TaskID    string    // dependency: which; blocked: the task whose end is the cause
	TaskState string    // of that task
	Error     string    // blocked: of that task; retry: of the attempt before
	Pool      string    // pool, capacity, dispatch
	Until     time.Time // not_before, retry: the time
	Since     time.Time // pool: since when no live worker serves it; zero: none did for a day at least
	Ahead     int       // capacity: ready tasks that come first
	Capacity  int       // capacity: slots of the pool's live workers
	Attempt   int       // retry: the one to come; worker: the one that is open
	Worker    string    // worker: holds the cancelled attempt that is still open
}

// The kinds of waits.
const (
	WaitExecute    = "execute"    // a user's word
	WaitDependency = "dependency" // another task's end
	WaitNotBefore  = "not_before" // a time
	WaitRetry      = "retry"      // the back-off before another attempt
	WaitPool       = "pool"       // a worker: none that is alive serves the pool
	WaitCapacity   = "capacity"   // a slot: all are taken, or others come first
	WaitDispatch   = "dispatch"   // the system itself, for a moment
	WaitWorker     = "worker"     // it was cancelled, and its worker has not said yet that it stopped
	WaitBlocked    = "blocked"    // a re-run: a required dependency can't succeed
)

// Service is what every API stands on. *Coordinator implements it; it is declared here, with the types it speaks,
// so that APIs can be tested against it.
type Service interface {
	// Submit validates and stores a tree. tasks is consumed once; an error that it yields ends the submission and is
	// returned. Nothing is stored unless all is valid.
	Submit(ctx context.Context, opts SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*Submitted, error)
	Execute(ctx context.Context, taskID string, opts ExecuteOptions) (*Execution, error)
	Task(ctx context.Context, id string) (*Task, error)
	Tasks(ctx context.Context, f TaskFilter) (Page[*Task], error)
	Attempts(ctx context.Context, taskID string) ([]Attempt, error)
	// Why says what a task that is not running waits for, as of one moment.
	Why(ctx context.Context, taskID string) (*Explanation, error)
	Tree(ctx context.Context, id string) (*TreeStatus, error)
	Trees(ctx context.Context, f TreeFilter) (Page[*TreeStatus], error)
	// Running counts trees with an execution in progress; userID may be empty.
	Running(ctx context.Context, userID string) (int, error)
	Cancel(ctx context.Context, id string, opts CancelOptions) (CancelResult, error)
	// Watch yields the events of the current execution after the sequence given (0: from its start) and ends after
	// the final one, with ctx, or with an error. It misses nothing that is still stored.
	Watch(ctx context.Context, id string, after int64) iter.Seq2[*Event, error]
	Logs(ctx context.Context, taskID string, attempt int, follow bool) iter.Seq2[*LogLine, error]
	// Verify derives the rules of the system anew from what is stored, of the tree of a task or, when that is empty, of
	// everything, and yields each violation. It ends after an error; nothing yielded: nothing was found.
	Verify(ctx context.Context, treeOf string) iter.Seq2[*Violation, error]
	Workers(ctx context.Context) ([]Worker, error)
	Pools(ctx context.Context) ([]Pool, error)
	// Ready is nil when Postgres and NATS can be reached.
	Ready(ctx context.Context) error
}
