package coordinator

import (
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// What the service shows: trees, tasks, attempts, logs, workers and pools.

// Dependency is an edge as shown.
type Dependency struct {
	ID       string
	Required bool
	Type     string
	Mode     dag.EdgeMode // what it says beyond the protocol
}

// Task is one task as shown. JSON fields are nil for null.
type Task struct {
	Key                     dag.Key
	Namespace               string
	ID, TreeID, ParentID    string // ParentID is empty for the root
	Ref                     string // what its submission calls it, under which its result gets into inputs: the id given, or the name
	UserID, Name            string
	State                   dag.State
	Priority                dag.Priority
	Dependencies            []Dependency
	Inputs                  json.RawMessage // merged ones once started (spec 3.6)
	Params, Schemas, Custom json.RawMessage
	Result                  json.RawMessage
	Outputs                 json.RawMessage // the values that it names, once it has completed; nil: none
	Error                   string
	Beyond
	Progress               float64
	Executor, Pool, Worker string
	Attempt                int
	BlockedBy              []string
	HasChildren            bool
	OriginalID             string            // the task that this one was copied from; empty: none
	HasCopy                bool              // it was copied
	Labels                 map[string]string // of the root: those of its tree; nil: none
	Repeatable             bool              // may run twice at once without harm, by its own word or its executor's
	CreatedAt, UpdatedAt   time.Time
	ReadyAt                time.Time  // since when its newest attempt waited for nothing but a slot, or what it asks for; zero: it never did, or it is not known
	StartedAt, CompletedAt time.Time  // zero: null
	DueAt                  time.Time  // delayed, awaiting: until when
	Waiting                *Waiting   // awaiting: for what; nil otherwise
	MayAnswer              bool       // with [TaskFilter.Approvals]: the caller may answer it
	Expansion              *Expansion // expanded: what it found; nil otherwise
	SubtreeID              string     // the tree that its attempt has submitted; empty: none
	Options                TaskOptions
	Usage                  *Usage // of all its attempts that ended; nil: none, or a list, which does not tell
}

// Beyond is what a task shows beyond the protocol (control 1 to 4).
type Beyond struct {
	SkipReason   string   // of a skipped one
	ErrorKind    dag.Kind // of a failed one
	When         string   // its condition
	Fold         bool
	AllowFailure bool
	Template     bool            // strings of its inputs are templates
	Repeat       *dag.Repeat     // nil: it runs once
	Repeats      int             // how often it ran and was run once more
	Cache        *dag.Cache      // by which earlier successes it may end; nil: by none
	CachedFrom   *dag.CachedFrom // whose success ended it; nil: it ran, or has not ended
	Limiting     *dag.Limiting   // what it asks for before it starts, with the keys that were made of templates; as submitted where that is asked for; nil: nothing
	Exhausted    bool            // it completed as it had run as often as it may, and its condition did not hold
}

// TaskOptions are what a task was submitted with, besides what it shows. They are told with [TaskFilter.AsSubmitted] only.
type TaskOptions struct {
	dag.Policy
	TreeTimeout time.Duration   // of the root
	Retention   time.Duration   // of the root; [dag.KeepForever]; 0: as the operator says
	Outputs     json.RawMessage // an object of templates; nil: none
	Artifacts   []string        // patterns of the files that it makes
	FlowStep    json.RawMessage // what a step of a flow says of that, see [dag.FlowStep]; nil: it is none
	Imported    *dag.Imported   // it was submitted as settled, and has not run since; nil otherwise
	Found       bool            // another task found it when it ran: no submission has it
}

// IsZero reports whether nothing was said.
func (o TaskOptions) IsZero() bool {
	return o.Executor == "" && o.Retry.IsZero() && o.OnLost == 0 && o.Timeout == 0 && o.ScheduleToStart == 0 && o.NotBefore.IsZero() && o.TreeTimeout == 0 && o.Retention == 0 &&
		o.Outputs == nil && o.Artifacts == nil && o.FlowStep == nil && o.Imported == nil && !o.Found
}

// TreeStatus is the aggregate of one tree: one row, whatever its size.
type TreeStatus struct {
	Key                                   dag.TreeKey
	Namespace                             string
	ID, Name, UserID                      string
	Status                                dag.Status // spec 3.9 R
	Progress                              float64    // share of the leaves that completed
	Tasks, Held, Unfinished, Running      int
	Completed, Failed, Cancelled, Blocked int
	Skipped, Allowed                      int               // parts of Completed and of Failed: failures that tasks allow
	Labels                                map[string]string // of the root; nil: none
	Sequence                              int64             // of the last event; 0: the tree has never been executed
	CreatedAt, StartedAt, FinishedAt      time.Time
	// OnlyOptionalFailed: all that failed was optional to tasks that ran, and the rest completed. Lists don't tell.
	OnlyOptionalFailed bool
	Due, Late          time.Time     // by when it is to have ended, and since when it was late; zero: never
	Retention          time.Duration // of its own, once it has ended; [dag.KeepForever]; 0: as the operator says. Lists don't tell
	Hold               *HoldInfo     // that keeps it from being deleted; nil: none, or a list, which does not tell
	Unique             *UniqueKey    // that it has, as no other tree; nil: none, or no longer, or a list, which does not tell
	Usage              *Usage        // of its attempts that ended, by model; nil: none, or a list, which does not tell
}

// UniqueKey is the key of a tree of which one tree has each at a time, of a user in a namespace.
type UniqueKey struct {
	Key   string
	Until time.Time // zero: until the tree has ended
}

// ExecutionStatus is how the tree's last execution ended. It is the tree's status, but for an execution of a part that went well: that
// has completed while the tree waits for the rest to be executed.
func (t *TreeStatus) ExecutionStatus() dag.Status {
	if t.Status == dag.StatusPending && t.Unfinished == 0 && t.Sequence > 0 {
		return dag.StatusCompleted
	}
	return t.Status
}

// Page is a part of a list; Next is empty on the last.
type Page[T any] struct {
	Items []T
	Next  string
}

// Attempt is one ended try, or the one that is still open.
type Attempt struct {
	Number                int
	Running               bool        // open: it has no outcome yet
	Outcome               dag.Outcome // of one that ended
	Counted               bool        // against the retry policy
	Kind                  dag.Kind    // of the error of one that failed
	Error, Detail, Worker string
	Result                json.RawMessage
	Outputs               json.RawMessage // the values that its task names; nil: none
	StartedAt, FinishedAt time.Time       // StartedAt is zero if it never began
	// CancelledAt is when a cancelled attempt was told to stop; its work had stopped at FinishedAt. Zero: it was not cancelled, or its worker has
	// not answered: then FinishedAt is when it was told.
	CancelledAt time.Time
	Usage       *Usage // by model; nil: it used none, or is open
}

// LogLine is one line that an executor wrote.
type LogLine struct {
	TaskID, Name string // of its task
	Attempt      int
	Number       int64 // from 1, within the attempt
	Stream       string
	Text         string
	At           time.Time
}

// WorkerState says whether a worker takes tasks.
type WorkerState uint8

// The states of a worker.
const (
	WorkerAlive    WorkerState = iota + 1
	WorkerDraining             // it finishes what it has, and takes nothing
	WorkerGone                 // it has left by itself
	WorkerLost                 // its lease ran out
)

// Worker is a worker as shown.
type Worker struct {
	ID, Instance, Host, Build string
	Level                     dag.Level // feature level
	State                     WorkerState
	Pools                     map[string]int        // name to concurrency
	Faults                    []string              // what keeps it from work, a sentence each
	Counts                    map[string]PoolCounts // by pool, as its last beat says
	Unasked                   int                   // how many of them, the last ones, are of built-in executors that are off and that its operator has not named
	Running                   int                   // attempts in hand, by its last beat: those that run, wait for a slot, or are not settled
	InLine                    int                   // those of them that wait for a slot: they are claimed ahead
	StartedAt, LeaseUntil     time.Time
}

// Pool is a pool as shown.
type Pool struct {
	Name              string
	Ready, Queued     int // waiting in Postgres; sent to NATS and not claimed
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

// PoolCounts are what a worker runs in a pool, and how much it began and ended there since its process began.
type PoolCounts struct {
	Running        int
	Started, Ended int64
}
