package dag

import (
	"fmt"
	"time"
)

// After is what a run asks for that ended its slot and not its task. The zero value asks for nothing.
type After struct {
	Delay    time.Duration // of [OutcomeRepeated]: before the next run
	Await    Await         // of [OutcomeAwaiting]
	Children int32         // of [OutcomeExpanded]: how many tasks were found
	// First is the index of the first of them in their tree; the store reserves it.
	First int32
}

// AwaitKind numbers what an attempt may wait for. The numbers are stored.
type AwaitKind int16

// The kinds of waits.
const (
	AwaitSignal   AwaitKind = 1 // a signal of a name
	AwaitApproval AwaitKind = 2 // somebody's choice
	AwaitTime     AwaitKind = 3 // a time
	AwaitTree     AwaitKind = 4 // the end of another tree
)

// MaxAwaitData bounds [Await.Data], in bytes.
const MaxAwaitData = 64 << 10

// Await is what an attempt waits for.
type Await struct {
	Kind    AwaitKind
	Name    string        // of the signal
	Timeout time.Duration // from now on; 0: none
	Until   time.Time     // instead of Timeout, unless zero
	// Resume: the answer makes a further attempt, which goes on from there, and does not end the task.
	Resume bool
	// Data is what whoever answers, or shows it, has to know: a JSON object of the kind, at most [MaxAwaitData] bytes.
	Data []byte
}

// Awaits is an attempt that waits from now on.
type Awaits struct {
	Task    Key
	Attempt int32
	Await
}

// Expands is an attempt that waits for tasks that it found, from now on.
type Expands struct {
	Task     Key
	Attempt  int32
	First    int32 // index in the tree
	Children int32
}

// spend notes what an attempt used that ends its slot and stays open: its end brings nothing more.
func (d *Decision) spend(r *Row, used []Used) {
	if len(used) > 0 {
		d.Spent = append(d.Spent, Ended{Task: r.Key, Attempt: r.Attempt, Used: used})
	}
}

// await lets an attempt wait for something from outside: it holds no slot.
func (d *Decision) await(r *Row, after After) {
	d.park(r, Awaiting, EventAwaiting)
	if after.Await.Kind == AwaitTree {
		after.Await.bound(r)
	}
	d.Awaits = append(d.Awaits, Awaits{r.Key, r.Attempt, after.Await})
	if after.Await.Timeout > 0 || !after.Await.Until.IsZero() {
		d.Timers = append(d.Timers, Timer{Task: r.Key, Attempt: r.Attempt, Kind: TimerAwait, Delay: after.Await.Timeout, At: after.Await.Until})
	}
}

// bound has the wait for a tree end with the task's timeout, which goes on from the attempt's start: the tree does the attempt's work.
func (a *Await) bound(r *Row) {
	timeout := r.policy().Timeout
	if timeout <= 0 {
		return
	}
	if end := r.StartedAt.Add(timeout); a.Until.IsZero() || end.Before(a.Until) {
		a.Until, a.Timeout = end, 0
	}
}

// expand lets an attempt wait for the tasks that it found.
func (d *Decision) expand(r *Row, after After) {
	r.Remaining = after.Children
	d.park(r, Expanded, EventExpanded)
	d.Expansions = append(d.Expansions, Expands{r.Key, r.Attempt, after.First, after.Children})
	if r.Remaining == 0 {
		d.ToCollect = append(d.ToCollect, r.Key)
	}
}

// park takes the attempt from its worker; it stays open.
func (d *Decision) park(r *Row, to State, event EventType) {
	d.hold(r, 0)
	d.move(r, to)
	d.event(event, r, r.Attempt)
}

// childEnded counts a child of an expanded task that has ended.
func (d *Decision) childEnded(r *Row) {
	r.Remaining--
	d.touch(r)
	if r.Remaining == 0 {
		d.ToCollect = append(d.ToCollect, r.Key)
	}
}

// Shrink has an expanded task wait for fewer tasks: so many of those that it found are not made.
func (d *Decision) Shrink(k Key, by int32) {
	r := d.rows[k]
	if r == nil || r.State != Expanded || r.cancelled || by <= 0 {
		return
	}
	r.Remaining -= by
	d.touch(r)
	if r.Remaining == 0 {
		d.ToCollect = append(d.ToCollect, r.Key)
	}
}

// TreeCancelled reports whether the tree's cancellation was on record when the task was locked.
func (d *Decision) TreeCancelled(k Key) bool {
	r := d.rows[k]
	return r != nil && r.cancelled
}

// Answer is how the wait of an attempt ends.
type Answer struct {
	Outcome Outcome // [OutcomeCompleted], [OutcomeFailed], [OutcomeSkipped]; [OutcomeReturned]: a further attempt goes on
	Result  []byte  // JSON; nil: null. Of a skip: the whole, see [SkippedResult]
	Outputs []byte
	Error   string
	Kind    Kind
}

// Answer ends the wait of an attempt, or the one of an expanded task for its children. An answer to another attempt, or to a task that waits for nothing,
// changes nothing.
func (d *Decision) Answer(k Key, attempt int32, a Answer) bool {
	r := d.rows[k]
	if r == nil || r.Attempt != attempt || r.cancelled || r.State != Awaiting && r.State != Expanded {
		return false
	}
	e := Ended{Outcome: a.Outcome, Counted: true, Result: a.Result, Outputs: a.Outputs, Error: a.Error, Kind: a.Kind}
	switch a.Outcome {
	case OutcomeCompleted:
		d.end(r, e)
		d.finish(r, Completed)
	case OutcomeSkipped:
		d.end(r, e)
		d.finish(r, Skipped)
	case OutcomeReturned:
		e.Counted = false
		d.end(r, e)
		r.again = true
		d.again(r, 0)
	case OutcomeFailed:
		if r.State == Expanded { // what it found has failed: another run would find it anew
			d.end(r, e)
			r.Failures++
			d.finish(r, Failed)
			return true
		}
		d.fail(r, e, false, 0)
	default:
		panic(fmt.Sprintf("task %d: a wait can't end as %s", k, a.Outcome))
	}
	return true
}

// DropSignal notes that a signal that was kept is not what the attempt waits for, so that it waits on.
func (d *Decision) DropSignal(k Key, attempt int32) {
	if r := d.rows[k]; r != nil && r.Attempt == attempt && r.State == Awaiting {
		d.event(EventSignal, r, attempt)
	}
}

// repeat ends an attempt that completed, and runs the task once more: a run of its own (control 5).
func (d *Decision) repeat(r *Row, e Ended, delay time.Duration) {
	e.Counted = true
	d.end(r, e)
	d.event(EventRepeat, r, r.Attempt)
	r.Attempt++
	r.Failures, r.Crashes = 0, 0
	r.Repeats++
	r.StartedAt = time.Time{}
	if delay > 0 {
		d.delay(r, Timer{Delay: delay})
		return
	}
	d.ready(r)
}
