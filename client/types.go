package client

import (
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// CachedFrom is the task whose success ended another one.
type CachedFrom struct {
	TaskID string
	TreeID string
}

// Task is a task as the cluster shows it. JSON fields are nil for null.
type Task struct {
	ID, TreeID, ParentID string // ParentID is empty for the root
	Ref                  string // what its submission calls it, under which its result gets into inputs: the id given there, or the name
	UserID, Name         string
	Status               Status
	State                State
	Priority             Priority
	Dependencies         []Dependency
	Inputs               json.RawMessage // merged ones once started
	Params, Schemas      json.RawMessage
	Custom               json.RawMessage
	Result               json.RawMessage
	Outputs              json.RawMessage // an object of the values that it names, once it has completed; nil: none
	Error                string
	Outcome              string      // of a settled task: success, skipped, failed, cancelled or blocked
	SkipReason           string      // of a skipped one
	ErrorKind            string      // of a failed one: a word for why, that retry policies name
	When                 string      // its condition
	Template             bool        // strings of its inputs are templates
	Repeat               *Repeat     // nil: it runs once
	Repeats              int         // how often it ran and was run once more
	Cache                *Cache      // by which earlier successes it may end; nil: by none
	CachedFrom           *CachedFrom // whose success ended it; nil: it ran, or has not ended
	RepeatExhausted      bool        // it completed as it had run as often as it may, and its condition did not hold
	Fold, AllowFailure   bool        // see [NewTask]
	Progress             float64     // 0 to 1
	Executor, Pool       string      // Executor is empty for a group
	Worker               string
	Attempt              int
	BlockedBy            []string
	HasChildren          bool
	OriginalID           string            // the task that this one was copied from; empty: none
	HasCopy              bool              // it was copied
	Labels               map[string]string // of the root: those of its tree; nil: none
	Repeatable           bool              // may run twice at once without harm, if the task or its executor says so
	CreatedAt, UpdatedAt time.Time
	ReadyAt              time.Time // since when its newest attempt waited for nothing but a slot, or what it asks for; zero: it never did, or before 0.14
	StartedAt            time.Time // zero: not yet
	CompletedAt          time.Time // zero: not yet
	DueAt                time.Time // when a delayed task becomes ready
	Options              *TaskOptions
	Usage                *Usage // of models, by all its attempts that ended; nil: none, or a list, which does not tell
	Waiting              *Waiting
	MayAnswer            bool   // with [TaskFilter.Approvals]: the caller may answer it
	SubtreeID            string // the tree that its attempt has submitted; empty: none
	Expansion            *Expansion
	Limits               []TaskLimit // what it asks for before it starts; keys that were templates are rendered, but with [TaskFilter.AsSubmitted]
	Lock                 *TaskLock   // likewise; nil: none
	Rates                []TaskRate  // likewise
}

// Expansion is what a task found when it ran, while its state is [StateExpanded].
type Expansion struct {
	Tasks      int `json:"tasks"`
	Made       int `json:"made"`       // of them are stored; the others are yet to be
	Unfinished int `json:"unfinished"` // have not ended, those that are yet to be stored among them
	Window     int `json:"window"`     // items in progress at most; 0: all
}

// Waiting is what a task waits for from outside, while its state is [StateAwaiting].
type Waiting struct {
	Kind   string          `json:"kind"`           // signal, approval, time or tree
	Name   string          `json:"name,omitempty"` // of the signal
	Since  time.Time       `json:"since"`
	Until  time.Time       `json:"until,omitzero"`    // zero: for ever
	Data   json.RawMessage `json:"data,omitempty"`    // an object: message, choices and approvers of an approval, schema of a signal
	TreeID string          `json:"tree_id,omitempty"` // whose end it waits for
}

func waitingOf(w *pb.Waiting) *Waiting {
	if w == nil {
		return nil
	}
	return &Waiting{Kind: w.Kind, Name: w.Name, Since: at(w.Since), Until: at(w.Until), Data: w.Data, TreeID: w.TreeId}
}

// TaskOptions are what a task was submitted with, besides what [Task] shows. They are told with [TaskFilter.AsSubmitted] only; zero fields
// were not given.
type TaskOptions struct {
	Retry                    RetryPolicy
	Timeout, ScheduleToStart time.Duration
	NotBefore                time.Time
	FailLost                 bool
	TreeTimeout              time.Duration   // of the root
	Retention                string          // of the root: how long its tree is kept once it has ended; empty: as the operator says
	Outputs                  json.RawMessage // an object of templates; nil: none
	Artifacts                []string        // patterns of the files that it makes
	FlowStep                 json.RawMessage // what a step of a flow says of that; nil: it is none
	Imported                 *Imported       // it was submitted as settled, and has not run since; nil otherwise
	Found                    bool            // another task found it when it ran: no submission has it
}

// Tree is the aggregate of one tree.
type Tree struct {
	ID, Name, UserID                      string
	Status                                Status
	Progress                              float64 // share of the leaves that completed, 0 to 1
	Tasks, Held, Unfinished, Running      int
	Completed, Failed, Cancelled, Blocked int
	Skipped, FailuresAllowed              int   // parts of Completed and of Failed
	Sequence                              int64 // sequence number of its last event
	CreatedAt, StartedAt, FinishedAt      time.Time
	Retention                             string     // how long it is kept once it has ended: "30d", "keep"; empty: as the operator says, or a list, which does not tell
	Hold                                  *TreeHold  // that keeps it from being deleted; nil: none, or a list
	Unique                                *UniqueKey // that it has, as no other tree; nil: none, or no longer, or a list
	Due, Late                             time.Time  // by when it is to have ended, and since when it was late; zero: never
	// OnlyOptionalFailed: the tree's status is failed, but all that failed was optional to tasks that ran, and the rest completed.
	// [Client.Trees] doesn't tell.
	OnlyOptionalFailed bool
	Labels             map[string]string // nil: none
	Usage              *Usage            // of models, by its attempts that ended; nil: none, or a list, which does not tell
}

// UniqueKey is the key that a tree has, as no other one of its user in its namespace.
type UniqueKey struct {
	Key   string    `json:"key"`
	Until time.Time `json:"until,omitzero"` // zero: until the tree has ended
}

// Ended reports whether no execution of the tree is in progress. A tree that was only stored counts as ended, too.
func (t *Tree) Ended() bool { return t.Unfinished == 0 }

// Attempt is one try at a task.
type Attempt struct {
	Number                int
	Outcome               Outcome
	Counted               bool   // against the retry policy
	Kind                  string // of the error
	Error, Detail, Worker string
	Result                json.RawMessage
	Outputs               json.RawMessage // an object of the values that its task names; nil: none
	StartedAt, FinishedAt time.Time       // StartedAt is zero if it never began
	// CancelledAt is when a cancelled attempt was told to stop; its work had stopped at FinishedAt. Zero: it was not cancelled, or its worker has
	// not answered: then FinishedAt is when it was told.
	CancelledAt time.Time
	Usage       *Usage // nil: it used no models, or is open
}

// Event is something that happened in a tree.
type Event struct {
	Sequence int64 // rises within the tree; 0: progress, which can't be replayed
	Type     EventType
	TreeID   string
	TaskID   string // with the tree's own progress, and with EventFinal: the root's
	Place    int    // of the task in its tree, from 1, as in [SnapshotTask]; 0: of the whole tree, or of EventProgress
	Name     string // may be empty with EventProgress
	Status   Status
	Attempt  int
	// Progress is the tree's, 0 to 1, as it was when the event was read: replayed events show the tree's progress of that
	// moment. Only what an executor reports (EventProgress with an Attempt) has the task's own.
	Progress float64
	Message  string // what an executor said with its progress
	Result   json.RawMessage
	Error    string
	At       time.Time
	Tree     *Tree // with EventFinal
	// Usage is that of the attempt that ended, or of the whole tree with EventFinal; nil: none. That of a cancelled attempt is known once its
	// worker has stopped it, which may be later.
	Usage *Usage
	// Pieces are what the attempt tells live, in order; with EventProgress. They are stored nowhere: who watches later does not get them,
	// and what comes faster than it can be sent is missing.
	Pieces []Piece
}

// Piece is a part of what a model says, or what an agent does.
type Piece struct {
	Kind  PieceKind
	Agent string // who speaks, if the task has several agents
	Name  string // of the tool or the model
	Text  string
}

// PieceKind is what a [Piece] is.
type PieceKind string

// The kinds of pieces. Servers may add others.
const (
	PieceToken      PieceKind = "token"       // more text of a model's answer
	PieceToolCall   PieceKind = "tool_call"   // a tool is called: Text is its arguments, JSON
	PieceToolResult PieceKind = "tool_result" // what it answered, or why it failed; may be cut
	PieceModelCall  PieceKind = "model_call"  // a model is asked
	PieceDropped    PieceKind = "dropped"     // Text is how many bytes are missing here
)

// EventType is what happened.
type EventType string

// The types of events. Servers may add others.
const (
	EventStart     EventType = "task_start"
	EventCompleted EventType = "task_completed"
	EventFailed    EventType = "task_failed"
	EventCancelled EventType = "task_cancelled"
	EventRetry     EventType = "task_retry"
	EventProgress  EventType = "progress"
	EventFinal     EventType = "final"
	EventSkipped   EventType = "task_skipped"
	EventExpanded  EventType = "task_expanded" // an attempt found tasks, and the task waits for them
	EventAwaiting  EventType = "task_awaiting" // the task waits for something from outside, see [Task.Waiting]
	EventRepeat    EventType = "task_repeat"   // an attempt completed, and the task runs once more
	EventLate      EventType = "late"          // the tree has not ended when it was due; it goes on
	EventSignal    EventType = "task_signal"   // a signal that was kept for the task is not what it asks for: it is dropped
)

// Dependency is what a task waits for.
type Dependency struct {
	Ref      string // id, or name where tasks have no ids; of a task that is shown, always the id
	Optional bool   // it need only end, successfully or not
	Type     string // stored and shown, but without effect; usually "result"
	// Accept are the outcomes that let the task go on: success, skipped, failed, cancelled, blocked, or any alone. Nil: success and skipped, or, of an optional
	// one, any. Otherwise is what becomes of the task after another one: block or skip; empty: block after a failure, a cancellation or a block, else skip.
	Accept    []string
	Otherwise string
	OrderOnly bool // its result is not merged into the inputs
	Skips     bool // of a fold: if the dependency is skipped, so is the fold
}

// LogLine is one line that an executor wrote.
type LogLine struct {
	TaskID, Name string // of its task; empty when the server is of version 0.2.0
	Attempt      int
	Number       int64 // from 1, within the attempt
	Stream, Text string
	At           time.Time
}

// at is the zero time for an absent stamp.
func at(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func taskOf(t *pb.Task) *Task {
	out := &Task{
		ID: t.Id, Ref: t.Ref, TreeID: t.TreeId, ParentID: t.ParentId, UserID: t.UserId, Name: t.Name,
		Status: Status(t.Status), State: State(t.State), Priority: priorityOf(t.Priority),
		Inputs: t.Inputs, Params: t.Params, Schemas: t.Schemas, Custom: t.Custom, Result: t.Result, Outputs: t.Outputs, Error: t.Error,
		Progress: t.Progress, Executor: t.Executor, Pool: t.Pool, Worker: t.Worker, Attempt: int(t.Attempt),
		BlockedBy: t.BlockedBy, HasChildren: t.HasChildren, MayAnswer: t.MayAnswer, OriginalID: t.OriginalTaskId, HasCopy: t.HasCopy, Labels: t.Labels, Repeatable: t.Repeatable,
		CreatedAt: at(t.CreatedAt), UpdatedAt: at(t.UpdatedAt), ReadyAt: at(t.ReadyAt), StartedAt: at(t.StartedAt),
		CompletedAt: at(t.CompletedAt), DueAt: at(t.DueAt), Usage: usageOf(t.Usage),
	}
	if o := t.Options; o != nil {
		out.Options = &TaskOptions{Timeout: o.Timeout.AsDuration(), ScheduleToStart: o.ScheduleToStart.AsDuration(), NotBefore: at(o.NotBefore),
			FailLost: o.OnLost == "fail", TreeTimeout: o.TreeTimeout.AsDuration(), Retention: o.Retention}
		if r := o.Retry; r != nil {
			out.Options.Retry = retryOf(r)
		}
		out.Options.Outputs, out.Options.Artifacts, out.Options.FlowStep, out.Options.Found = o.Outputs, o.Artifacts, o.FlowStep, o.Found
		if i := o.Imported; i != nil {
			out.Options.Imported = &Imported{Outcome: i.Outcome, Error: i.Error, Attempts: int(i.Attempts)}
			if i.Result != nil {
				out.Options.Imported.Result = json.RawMessage(i.Result)
			}
		}
	}
	for _, d := range t.Dependencies {
		out.Dependencies = append(out.Dependencies, dependencyOf(d))
	}
	out.Outcome, out.SkipReason, out.ErrorKind, out.When, out.Fold, out.AllowFailure = t.Outcome, t.SkipReason, t.ErrorKind, t.When, t.Fold, t.AllowFailure
	out.Waiting, out.SubtreeID = waitingOf(t.Waiting), t.SubtreeId
	out.Template, out.Repeats, out.RepeatExhausted = t.Template, int(t.Repeats), t.RepeatExhausted
	if r := t.Repeat; r != nil {
		out.Repeat = &Repeat{Until: r.Until, Max: int(r.Max), Delay: r.Delay.AsDuration()}
	}
	if c := t.Cache; c != nil {
		out.Cache = &Cache{c.Key, c.Version, c.For.AsDuration()}
	}
	if from := t.CachedFrom; from != nil {
		out.CachedFrom = &CachedFrom{from.TaskId, from.TreeId}
	}
	for _, l := range t.Limits {
		out.Limits = append(out.Limits, TaskLimit{l.Key, int(l.Max), int(l.Cost)})
	}
	if l := t.Lock; l != nil {
		out.Lock = &TaskLock{l.Key, l.OnContention, l.WaitTimeout.AsDuration(), l.Hold}
	}
	for _, r := range t.Rates {
		out.Rates = append(out.Rates, TaskRate{r.Key, r.Per, int(r.Max), int(r.Burst)})
	}
	if e := t.Expansion; e != nil {
		out.Expansion = &Expansion{int(e.Tasks), int(e.Made), int(e.Unfinished), int(e.Window)}
	}
	return out
}

func treeOf(t *pb.Tree) *Tree {
	if t == nil {
		return nil
	}
	return &Tree{
		ID: t.Id, Name: t.Name, UserID: t.UserId, Status: Status(t.Status), Progress: t.Progress,
		Tasks: int(t.Tasks), Held: int(t.Held), Unfinished: int(t.Unfinished), Running: int(t.Running),
		Completed: int(t.Completed), Failed: int(t.Failed), Cancelled: int(t.Cancelled), Blocked: int(t.Blocked),
		Skipped: int(t.Skipped), FailuresAllowed: int(t.FailuresAllowed),
		Sequence: t.Sequence, CreatedAt: at(t.CreatedAt), StartedAt: at(t.StartedAt), FinishedAt: at(t.FinishedAt),
		OnlyOptionalFailed: t.OnlyOptionalFailed, Usage: usageOf(t.Usage), Labels: t.Labels,
		Retention: t.Retention, Hold: holdOf(t.Hold), Unique: uniqueOf(t.Unique), Due: at(t.Due), Late: at(t.Late),
	}
}

func uniqueOf(u *pb.UniqueKey) *UniqueKey {
	if u == nil {
		return nil
	}
	return &UniqueKey{Key: u.Key, Until: at(u.Until)}
}

func eventOf(e *pb.Event) *Event {
	out := &Event{
		Sequence: e.Sequence, Type: EventType(e.Type), TreeID: e.TreeId, TaskID: e.TaskId, Place: int(e.Place), Name: e.Name,
		Status: Status(e.Status), Attempt: int(e.Attempt), Progress: e.Progress, Message: e.Message,
		Result: e.Result, Error: e.Error, At: at(e.At), Tree: treeOf(e.Tree), Usage: usageOf(e.Usage),
	}
	for _, p := range e.Pieces {
		out.Pieces = append(out.Pieces, Piece{PieceKind(p.Kind), p.Agent, p.Name, p.Text})
	}
	return out
}
