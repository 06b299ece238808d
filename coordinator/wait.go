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
)

var waitNames = [...]string{"", "execute", "dependency", "not_before", "retry", "pool", "capacity", "dispatch", "worker", "blocked", "slot"}

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
	TaskID    string    // dependency: which; blocked: the task whose end is the cause
	TaskName  string    // of that task
	TaskState dag.State // of that task
	Error     string    // blocked: of that task; retry: of the attempt before
	Pool      string    // pool, capacity, dispatch, slot
	Until     time.Time // not before, retry: the time; slot: then it has started, or is handed back
	Since     time.Time // pool: since when no live worker serves it; zero: none did for a day at least
	Ahead     int       // capacity: ready tasks that come first
	Capacity  int       // capacity: slots of the pool's live workers
	Attempt   int       // retry: the one to come; worker, slot: the one that is open
	Worker    string    // that holds the attempt: worker, which was cancelled; slot
}
