package coordinator

import (
	"iter"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/pg"
)

// Service is all that surfaces stand on. *[Coordinator] implements it. Surfaces don't get it directly: [Access] gives
// it to them on behalf of a caller. What needs one role only should ask for that.
type Service interface {
	Submitter
	Reader
	Steerer
	Answerer
	Editor
	Agent
	Watcher
	Snapshots
	Operator
	Webhooks
	KeyKeeper
	APIKeys
	Recorded
	PoolKeeper
	Limiter
	Scheduling
	Scheduler
	FlowKeeper
	ProfileKeeper
	BundleKeeper
	TreeKeeper
	Eraser
	Bindings
	Introspection
	Sealing
	NamespaceKeeper
	Doctor
	Scaler
}

// SubmitOptions go with a tree.
type SubmitOptions struct {
	IdempotencyKey string        // at most 255 characters; empty: none
	UserID         string        // owner of tasks that name none
	Hold           bool          // store only (spec K1); Execute starts it
	Timeout        time.Duration // of the whole tree, from its start; 0: none
	Retention      time.Duration // how long the tree is kept once it has ended; [dag.KeepForever]; 0: as its root says. It wins over that
	Due            *dag.Due      // by when the tree is to have ended; nil: as its root says. It wins over that
	Demo           bool          // nothing runs: workers make up results (spec 3.10); not together with Hold
	ModelKey       modelkey.Key  // for the models that the tree's tasks ask (spec 5.7); kept in memory only; not together with Hold
	NoCache        bool          // no task is ended by an earlier success: all run
	// RequireExisting refuses a tree unless each id that it names is stored already (spec 3.1).
	RequireExisting bool
	existingOf      string            // whose tasks count for that; empty: everybody's
	fire            int64             // the run of a schedule that the tree is; 0: of none
	run             *pg.FlowRun       // the run of a flow that the tree is; nil: of none
	waiter          *pg.Waiter        // the attempt for which the tree is submitted; nil: a user does it
	Webhook         *Webhook          // told of the execution that begins; nil: none. Not together with Hold
	Attach          []Attachment      // likewise, at most [MaxAttachments]
	Labels          map[string]string // of the tree, see [dag.CheckLabels]; they win over those of its root
	Unique          *dag.Unique       // of the tree; it wins over that of its root. nil: what the root says
	// Show asks for the tasks as they are stored, if the tree is held and has no more than this. The tasks' payloads must not change before
	// the answer.
	Show ShowLimits
	// More are further trees, to which the other options apply, too, but for the idempotency key, the timeout, the retention and when they are due: they are stored in one transaction
	// with the first, all or none. At most [MaxTogether] trees, without webhooks. What is wrong with them is a *[TreesError].
	More []NewTree
}

// NewTree is a tree that is stored beside others.
type NewTree struct {
	IdempotencyKey string        // of this tree; empty: none
	Timeout        time.Duration // likewise; 0: none
	Retention      time.Duration // likewise; 0: as its root says
	Due            *dag.Due      // likewise; nil: as its root says
	Tasks          iter.Seq2[*dag.Task, error]
}

// ShowLimits are how much the answer to a submission may show.
type ShowLimits struct {
	Tasks int // 0: nothing is shown
	Bytes int // of inputs, params, schemas and custom keys
}

// Submitted is the answer to a submission.
type Submitted struct {
	TreeID   string // the root task's id
	Tasks    int
	Replayed bool              // the idempotency key was known: this is the first answer
	IDMap    map[string]string // ids that were taken already, given -> actual (spec 2.1); nil when none
	Warnings []dag.Warning     // keys that have no effect and were likely meant to, at most [treedoc.MaxWarnings]
	// Shown are the tasks as they were stored, in their order; nil: not asked for, more than may be shown, or replayed.
	Shown []*Task
	// Existing: nothing was stored, as the tree that is named has the key that this one asked for ([dag.Unique]).
	Existing bool
	More     []*Submitted // of the further trees, in their order
}

// ExecuteOptions steer a start or re-run (spec 3.7).
type ExecuteOptions struct {
	Force             bool         // the task though it has completed or was cancelled; of a root, all of the tree
	RerunCancelled    bool         // cancelled tasks, too: also those that the task depends on
	RerunDependencies bool         // completed dependencies of what is run again, too
	KeepCompleted     bool         // completed tasks stay as they are, even where what they depend on runs again
	Demo              bool         // nothing runs: workers make up the results of what starts (spec 3.10)
	NoCache           bool         // no task is ended by an earlier success: what starts runs
	ModelKey          modelkey.Key // for the models that what starts asks (spec 5.7); kept in memory only
	DryRun            bool         // start nothing: say what would start; refused with Webhook and Attach
	Webhook           *Webhook     // told of the execution that begins; nil: none
	Attach            []Attachment // likewise, at most [MaxAttachments]
}

// ExecuteOutcome says what became of an execute.
type ExecuteOutcome uint8

// The outcomes of an execute.
const (
	Started        ExecuteOutcome = iota + 1
	AlreadyRunning                // an execution of the tree is in progress; nothing was started
	NothingToDo                   // nothing needs a run: all that was asked for has completed
	WasCancelled                  // the task was cancelled, or one that it depends on: nothing was started
	Planned                       // tasks would start: it was a dry run
)

// MaxPlanned is how many of the tasks that would start a dry run names.
const MaxPlanned = 100

// Execution is the answer to Execute.
type Execution struct {
	TreeID    string
	Outcome   ExecuteOutcome
	Tasks     int     // how many were started
	Cancelled string  // with WasCancelled: the id of the task that was
	Planned   []Match // with Planned: of the tasks that would start, the first [MaxPlanned] in the order of the tree
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
	TreeOf      string // any task of the tree; then oldest first in submission order, else newest tree first
	ParentID    string // children of this task, by priority, then submission order
	UserID      string
	Status      dag.Status
	States      dag.StateSet // of those of the status, if that is given, too
	Name        string
	Executor    string            // its id
	Since       time.Time         // of trees that were created then or later; refused with ParentID and TreeOf
	Before      time.Time         // of trees that were created before; as Since
	OriginalID  string            // copies of this task
	Custom      map[string]string // own keys of tasks, by the text of their value; at most [MaxCustomFilters]
	Labels      map[string]string // of the tree, whose roots are asked for: only with RootOnly; an empty value stands for any
	RootOnly    bool
	Places      []int  // of these places in the tree, from 1; with TreeOf, AsSubmitted and Cursor only; at most 1000
	Error       string // that their errors have, in upper or lower case; with TreeOf
	Approvals   bool   // those that wait for approvals: with UserID, AsSubmitted, Since, Before and the page only
	AsSubmitted bool   // with Options, and without results of dependencies among the inputs
	Limit       int    // default 100, at most 1000
	Offset      int    // spec 5.3; prefer Cursor
	Cursor      string // from the page before
}

// TreeFilter selects trees, newest first.
type TreeFilter struct {
	UserID  string
	Status  dag.Status
	Name    string            // of the root
	Part    string            // that the name of the root has, in upper or lower case
	Since   time.Time         // created then or later
	Before  time.Time         // created before
	Running bool              // with an execution in progress
	Labels  map[string]string // that the tree has; an empty value stands for any
	Limit   int
	Cursor  string
}

// LogFilter selects lines of logs; zero fields don't filter.
type LogFilter struct {
	TaskID  string
	Tree    bool      // of all tasks of its tree, [MaxLogTasks] at most
	Attempt int       // only this one, which must have begun; not with Tree
	Tail    int       // only so many of the lines that are there, the last ones; at most [MaxTail]
	Since   time.Time // only lines that were written then or later
	Follow  bool      // then also what is written until the task, or with Tree the tree's execution, has ended
}

// Bounds of what [Watcher] reads of logs.
const (
	MaxLogTasks = 1000
	MaxTail     = 10_000
)
