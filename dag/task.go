package dag

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
)

// indexBits is how many bits of a [Key] number the tasks of one tree.
const indexBits = 24

// MaxTreeTasks is the most tasks that one tree can ever have; configured limits are lower.
const MaxTreeTasks = 1 << indexBits

// TreeKey is the compact internal name of a tree: a number from 1, rising with submission, below 2^39.
type TreeKey int64

// NamespaceKey is the internal key of a namespace. It never changes, and no other namespace ever gets it.
type NamespaceKey int32

// DefaultNamespaceKey is that of the namespace of who names none, which is always there.
const DefaultNamespaceKey NamespaceKey = 0

// Key is the compact internal name of a task: its tree's key and its index within the submission. Keys of one tree are
// adjacent, so that a tree is a key range, and rise with submission order, so that key order is a global lock order.
type Key int64

// Key is the key of the tree's task number index (from 0).
func (t TreeKey) Key(index int) Key { return Key(int64(t)<<indexBits | int64(index)) }

// TreeKeys is how many keys a tree has.
const TreeKeys = 1 << indexBits

// Range is the half-open range of keys that the tree's tasks lie in.
func (t TreeKey) Range() (first, end Key) { return t.Key(0), (t + 1).Key(0) }

// Tree is the tree that the task belongs to.
func (k Key) Tree() TreeKey { return TreeKey(k >> indexBits) }

// Index is the task's place in its submission, from 0.
func (k Key) Index() int { return int(k & (1<<indexBits - 1)) }

// Priority orders ready tasks within a pool; lower goes first (spec 1.1).
type Priority int16

// The priorities of spec 1.1. A task without one is Normal (spec K23).
const (
	Urgent Priority = iota
	High
	Normal
	Low
)

// Priorities is how many there are.
const Priorities = 4

// OnLost says what becomes of a task whose worker was lost while running it.
type OnLost int16

const (
	// RetryLost starts a new attempt that does not count against the policy, until the poison limit. The default.
	RetryLost OnLost = iota
	// FailLost fails the task: for work that must not be started twice.
	FailLost
)

// Backoff is how the delay grows from one retry to the next.
type Backoff string

// The back-offs of spec 12.5 and their usual siblings. Every delay is drawn with full jitter.
const (
	Exponential Backoff = "exponential"
	Linear      Backoff = "linear"
	Fixed       Backoff = "fixed"
)

// RetryPolicy is how often and how soon a failed attempt is tried again (spec 12.5).
type RetryPolicy struct {
	MaxAttempts  int           // attempts in all, from 1; 0 means 1
	Backoff      Backoff       // empty: Exponential
	InitialDelay time.Duration // before the second attempt; 0: [DefaultInitialDelay]
	MaxDelay     time.Duration // the most between two attempts; 0: [DefaultMaxDelay]

	// Beside the protocol's (control 4).
	Multiplier float64 // of an exponential back-off, from one delay to the next; 0: 2
	NoJitter   bool    // delays are as long as they may be; else they are drawn from 0 up to that
	NoDelay    bool    // InitialDelay is zero by the task's own word
	RetryOn    []Kind  // only failures of these kinds are tried again; empty: of all
	NoRetryOn  []Kind  // failures of these kinds are not, whatever RetryOn says
}

// Defaults of a [RetryPolicy], from the example of spec 12.5.
const (
	DefaultInitialDelay = time.Second
	DefaultMaxDelay     = time.Minute
)

// PoisonLimit is how many workers may be lost while running a task before it fails (design §4).
const PoisonLimit = 3

// Dependency is an edge as submitted (spec 1.4). Ref is an id, or a name where the tree's tasks have no ids.
type Dependency struct {
	Ref      string
	Optional bool   // required:false: wait until it has ended in any way (spec K9)
	Type     string // stored and echoed, never acted upon; empty means "result"
	Legacy   bool   // given as a plain string; read as {id, required: true}
	ByName   bool   // given as {"name": ref}
	Mode     EdgeMode
}

// Task is one task as submitted, in the engine's own words. Inputs, Params, Schemas and Custom are JSON objects, valid
// and compact, or nil.
type Task struct {
	ID, Name, ParentRef, UserID string
	Priority                    Priority
	Dependencies                []Dependency
	Inputs, Params              json.RawMessage
	Schemas, Custom             json.RawMessage

	// Executor is the id of what runs the task (spec 1.3); empty for a group, which runs nothing.
	Executor string
	// Pool is the queue that the task waits in; empty: named like the executor.
	Pool string

	Retry           RetryPolicy
	OnLost          OnLost
	Repeatable      bool              // may run twice at once without harm: may start before its claim is confirmed
	Timeout         time.Duration     // start to close, of one attempt; 0: the executor's own
	ScheduleToStart time.Duration     // ready to started; 0: none
	Fold            bool              // groups only: takes the worst outcome of its dependencies as its own (control 2)
	AllowFailure    bool              // its failure does not make its tree fail (control 2)
	Control         *Control          // what it says beyond the protocol; nil: nothing
	Imported        *Imported         // it is settled already (control 4); nil: it is not
	Limiting        *Limiting         // what it asks for before it starts (control 7); nil: nothing
	Demo            bool              // is only demonstrated by the execution that it is submitted for (spec 3.10)
	Keyed           bool              // the execution that it is submitted for came with the key of a language model (spec 5.7)
	KeyStored       bool              // its owner has stored such keys; no part of what is submitted: the same submission may find others later
	TreeTimeout     time.Duration     // root only: start to end of the whole tree; 0: none
	Retention       time.Duration     // root only: how long its tree is kept once it has ended, or [KeepForever]; 0: as the operator says
	Due             *Due              // root only: by when its tree is to have ended; nil: it is never late
	NotBefore       time.Time         // zero: none
	Labels          map[string]string // root only: of the tree, see [CheckLabels]; the task keeps them
	NoCache         bool              // the execution that it is submitted for takes nothing from the cache
	Unique          *Unique           // root only: which other tree must not be there (control 12); nil: any may

	// Calls are the dependencies that its condition names: [Builder] looks for them.
	Calls []Call
	// Faults are what a reader of documents found wrong with fields, whose values are zero then. [Builder] reports them.
	Faults []*InvalidTaskError
}

// QueueName is the pool that the task waits in.
func (t *Task) QueueName() string {
	if t.Pool != "" {
		return t.Pool
	}
	return PoolOf(t.Executor)
}

// PoolOf is the pool that tasks of an executor wait in which name none: it is called like the executor, with _ for each character that pools can't
// have in their names (see [ValidPool]).
func PoolOf(executor string) string {
	if ValidPool(executor) || len(executor) > MaxPoolBytes {
		return executor
	}
	return strings.Map(func(c rune) rune {
		if c > unicode.MaxASCII || !ValidPool(string(c)) {
			return '_'
		}
		return c
	}, executor)
}
