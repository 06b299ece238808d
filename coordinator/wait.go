package coordinator

import (
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Explanation says what a task that is not running waits for.
type Explanation struct {
	TaskID, TreeID, Name string // Name is the task's
	State                dag.State
	Summary              string // one sentence for people
	Waits                []Wait // empty: it waits for nothing
}

// WaitKind says what sort of thing a task waits for. Surfaces have words of their own for it.
type WaitKind uint8

// The kinds of waits.
const (
	WaitExecute    WaitKind = iota + 1 // a user's word
	WaitDependency                     // another task's end
	WaitNotBefore                      // a time
	WaitRetry                          // the back-off before another attempt
	WaitPool                           // a worker: none that is alive serves the pool
	WaitCapacity                       // a slot: all are taken, or others come first
	WaitDispatch                       // the system itself, for a moment
	WaitWorker                         // it was cancelled, and its worker has not said yet that it stopped
	WaitBlocked                        // a re-run: a required dependency can't succeed
	WaitSlot                           // a slot of the worker that has claimed it
	WaitSignal                         // a signal from outside
	WaitApproval                       // somebody's answer
	WaitTime                           // a time that its executor named; it holds no slot
	WaitTree                           // the end of another tree
	WaitLimit                          // a limit, which others hold: one that it asks for, or an operator's of its pool or its user
	WaitLock                           // a lock, which another task holds
	WaitRate                           // a rate: others have just started
	WaitPause                          // a user's word: everything, its pool or its tree is paused
)

var waitNames = [...]string{"", "execute", "dependency", "not_before", "retry", "pool", "capacity", "dispatch", "worker", "blocked", "slot",
	"signal", "approval", "time", "tree", "limit", "lock", "rate", "pause"}

// String is the kind's name for logs and tests.
func (k WaitKind) String() string {
	if int(k) < len(waitNames) {
		return waitNames[k]
	}
	return fmt.Sprintf("wait kind %d", uint8(k))
}

// Wait is one thing that a task waits for. Fields that do not belong to its kind are zero.
type Wait struct {
	Kind      WaitKind
	Text      string    // one sentence for people
	TaskID    string    // dependency: which; blocked: the task whose end is the cause; tree: its root; limit, lock: the one that has held it longest
	TaskName  string    // of that task
	TaskState dag.State // of that task
	Error     string    // blocked: of that task; retry: of the attempt before
	Pool      string    // pool, capacity, dispatch, slot; limit: of an operator for it
	Until     time.Time // not before, retry, time, rate: the time; slot: then it has started, or is handed back; signal, approval, tree: then it waits no more
	Since     time.Time // pool: since when no live worker serves it; zero: none did for a day at least; signal, approval, time, tree, limit, lock, rate: since when it waits; pause: since when that is paused
	Ahead     int       // capacity: ready tasks that come first; limit, lock, rate: tasks before it in the line
	Capacity  int       // capacity: slots of the pool's live workers
	Attempt   int       // retry: the one to come; worker, slot, signal, approval, time, tree: the one that is open
	Worker    string    // that holds the attempt: worker, which was cancelled; slot
}
