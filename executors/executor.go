package executors

import (
	"context"
	"encoding/json"
	"runtime"
	"time"
)

// Executor runs the attempts of one kind of task. Implementations are used by many goroutines at once.
//
// The life of an attempt:
//  1. The worker checks the call's inputs against Describe().Inputs and the task's own schema.
//  2. It calls Run in a goroutine of its own. A panic is that attempt's failure.
//  3. The context ends when the attempt's time is up, the task is cancelled, the worker drains or its lease is lost;
//     context.Cause tells which ([ErrCancelled], [ErrTimeout], [ErrDraining], [ErrLeaseLost]).
//     Run must then stop what it started, and return soon.
//  4. What Run returns becomes the attempt's outcome. Together with an error, [Partial] may hold what was done until then.
//
// An executor that keeps something open between attempts is an io.Closer too; its worker closes it at the end.
//
// Package conformance has the tests that every executor passes.
type Executor interface {
	Describe() Description
	// Run does the work and returns [Completed] with its result, or an error. Errors are failures that may be retried,
	// unless made by [Permanent] (or [Invalid]). Their texts are shown to users: no secrets.
	Run(ctx context.Context, call *Call) (*Outcome, error)
}

// Checker is implemented by executors that may be unable to run on a machine, because something is missing or forbidden there.
// A worker calls Check once, before it connects, and does not start if it returns an error.
type Checker interface {
	// Check says what is missing, in a text for operators; nil: nothing.
	Check(ctx context.Context) error
}

// Disabler is implemented by executors that their settings may turn off. A worker asks once, before it connects. It does not serve
// a pool that is called like an executor that is off, and the cluster's list of workers shows why.
type Disabler interface {
	// Disabled says why the executor is off and how it is turned on, in a text for operators; empty: it is on.
	Disabled() string
}

// Delegator is implemented by executors whose tasks are done by programs that differ from task to task, each with a description of its own.
type Delegator interface {
	// Delegate is the description of what does a call. The worker puts secrets and the connection into the call's inputs by it, and errors about these name its ID. It is
	// asked before that, when the bundle of the call has its place. It starts nothing.
	Delegate(call *Call) (Description, error)
}

// Demonstrator is implemented by executors that have a result of their own for tasks that are only demonstrated (spec 3.10). Others have
// [DemoResult].
type Demonstrator interface {
	// Demo is the result, which looks like a real one, and how long the work would take. It does nothing outside.
	Demo(call *Call) (result any, takes time.Duration)
}

// Adviser is implemented by executors whose settings may be a mistake. A worker asks them once, before it connects, and logs
// what they say.
type Adviser interface {
	// Advice is what an operator should think over, a sentence each.
	Advice() []string
}

// Description describes an executor.
type Description struct {
	ID, Name, Description string
	Type                  string // what a task's schemas.type may name instead of the ID: stdio, http, core, ...
	Tags                  []string
	Inputs, Output        json.RawMessage // JSON Schemas (draft 2020-12); nil: anything
	Cancelable            bool            // stops its work when the context ends
	Repeatable            bool            // running twice at once does no harm; no effect for executors of your own, see [Repeatable]
	Timeout               time.Duration   // start-to-close when the task names none; 0: unlimited
	// Concurrency is how many slots the executor's pool has in a worker whose operator says nothing: work that keeps a core busy wants
	// as many as there are cores ([PerCore]), work that waits for others more ([Waiting]). 0: [DefaultConcurrency]. It is no limit: in a pool
	// that several executors share, as many attempts run as that pool has slots.
	Concurrency int
	// Secrets: values of the inputs may be {"secret": "name"}. The worker puts the secret in its place before the inputs are checked, in the
	// fields that Inputs names, or in all if it names none. Elsewhere such a value is data like any other.
	Secrets bool
	// Workspace: works in a directory that a flow's job shares. Its tasks are told in their params which step of which job they are, and of what run.
	Workspace bool
	// Connection says what the input "connection" may name; nil: it is a field like any other.
	Connection *Connection
	// Examples are shown in the documentation and the catalogue. Tests run them.
	Examples []Example
	// Kinds are those of its errors, beside those that every executor's may have (timeout, input and so on).
	Kinds []ErrorKind
}

// Connection says what an executor takes from a connection that the worker's operator has named: where to go, and as whom.
type Connection struct {
	Types []string // of the connections that fit: ssh, postgres, ...
	// TypeField is the input that the connection's type goes into, unless the connection sets it; empty: none.
	TypeField string
	// Fields are the inputs that say where to go and as whom. A connection may set any of them, and a task that names one may set none:
	// else it could send the connection's password to a place of its own. A field "driver" that a connection sets neither by itself nor by a
	// "url" is the connection's type.
	Fields []string
}

// Example is a use of an executor that a reader can copy.
type Example struct {
	Title  string          // what it does, as a heading
	Inputs json.RawMessage // a JSON object
	// Params, and what schemas hold beside the executor's id: JSON objects; nil: nothing.
	Params, Schemas json.RawMessage
}

// DefaultConcurrency is how many attempts of an executor a worker runs at the same time if neither its operator nor the executor says.
const DefaultConcurrency = 16

// PerCore is a [Description.Concurrency] for work that keeps a core busy: one attempt for each core that this process may use, and
// two at least.
func PerCore() int { return max(2, runtime.GOMAXPROCS(0)) }

// Waiting is a [Description.Concurrency] for work that mostly waits for the network or the clock.
const Waiting = 64

// Call is one attempt, as an executor sees it. The worker owns it; an executor must not keep it after Run returns.
type Call struct {
	TaskID, TreeID, Name, UserID string
	Attempt                      int             // from 1, never restarts: a fencing token
	IdempotencyKey               string          // stable across the attempts of one run of the task
	Inputs                       json.RawMessage // merged inputs, a JSON object; secrets and the fields of a connection are in their places
	Pool                         string          // that the attempt came from: what it may do may depend on it
	Connection                   string          // the name of the connection that its inputs were taken from; empty: none
	Params, Schemas              json.RawMessage // JSON objects, or nil
	Reporter                     Reporter        // never nil
	// Redact takes the secrets that are in Inputs out of a text that goes elsewhere than to Reporter, the result or the error, which need
	// none: to the log of the worker. It may be kept. nil: there are none.
	Redact func(text string) string
	Lease  Lease // never nil
	Trace  Trace // that processes and services are told of

	// Submitted are the inputs that count only as the task was submitted, of those that are: names of secrets, connection, and what people
	// alone may allow (allow_commands, executors). A result of a dependency may have written all others. nil: nobody knows.
	Submitted []string

	// Checkpoint is what an earlier attempt of this run noted last; nil: nothing.
	Checkpoint json.RawMessage
	// Answer is how the wait has ended that an earlier attempt began with [Await.Resume]; nil: there was none.
	Answer *Answer
	// Repeat is how many runs of a repeated task came before this one.
	Repeat int
	// Lock is the lock that the attempt holds, or else the nearest one that is held around its task; nil: there is none.
	Lock *Lock
	// Files keeps files that the attempt makes, and gives those that it is told of; nil: the worker has no place for them.
	Files Files
	// JobDirs are where steps of flows work that share files; nil: the worker has no place for them.
	JobDirs JobDirs
	// Bundle is that of the run of a flow which the task is a step of; nil: the run has none, or the step has no use for it.
	Bundle *Bundle
	// Artifacts are patterns of files that the task makes, below its working directory: see package workdir. An executor that has such a
	// directory saves them when it has completed.
	Artifacts []string
	// KeepOutputs: an output over its bound becomes an artifact, and its reference is in the result, where it would be cut otherwise.
	KeepOutputs bool

	// What executors of models and agents use. In each a nil means that there is none; [Call.Tell] and [Call.Record] mind that.
	Live      func(Piece)                                                // see [Call.Tell]
	Used      func(model string, u Usage)                                // see [Call.Record]
	Spent     Usage                                                      // of earlier attempts of this run of the task, as far as is known
	Toolbox   Toolbox                                                    // other executors as tools
	Catalogue func(ctx context.Context) ([]Description, error)           // the executors of the whole cluster, as live workers describe them
	ModelKey  func(ctx context.Context, provider string) (string, error) // the key that whoever started the task sent along (spec 5.7); empty: none
}

// Stored waits until what the attempt noted last ([Reporter.Checkpoint]) is stored, some seconds at most: for who is about to do what must not be
// done twice. Its error says that it is not stored, or not known to be, and ends nothing but the wait.
func (c *Call) Stored(ctx context.Context) error {
	if s, ok := c.Reporter.(interface {
		Stored(ctx context.Context) error
	}); ok {
		return s.Stored(ctx)
	}
	return nil
}

// Reporter takes what an executor says while it runs. Its methods never block for long, may be called from several
// goroutines, and may drop what exceeds their bounds.
type Reporter interface {
	// Log records a line of output; stream is "stdout", "stderr" or "log".
	Log(stream, line string)
	// Progress records how much is done, 0 to 1, and what is being done.
	Progress(fraction float64, message string)
	// Checkpoint notes where the work has come: JSON of at most [MaxCheckpointBytes], in place of what was noted before. It is stored soon, not at
	// once; the next attempt, if there is one, finds the last note that was stored in [Call.Checkpoint]. An error says that it is no JSON, or too large.
	Checkpoint(data json.RawMessage) error
}

// MaxCheckpointBytes is how large a note may be that [Reporter.Checkpoint] takes.
const MaxCheckpointBytes = 64 << 10

// Lease is how long the worker may still own its attempts. Executors that start something which outlives a frozen
// worker must have it stopped at the lease's end by someone else (see package guardian).
type Lease interface {
	// Until is when the lease ends, on this process's monotonic clock.
	Until() time.Time
	// Changed is closed at the next extension.
	Changed() <-chan struct{}
}
