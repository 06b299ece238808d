package dag

import (
	"fmt"
	"slices"
	"time"
)

// Decision is the pure core of one transaction: the locked rows go in, then what happened, and what is to be written
// comes out. It knows no clock: now is the store's, read after the rows were locked, so that it is not before anything that
// other transactions wrote of them. All times that are written of tasks and attempts are this one. One goroutine.
//
// Rows may be predictions rather than rows that were read. Then the time is not known either, and the write has to find out
// whether the predictions hold; so nothing may be handed in that needs a time: no policy, no group, no result of work that
// started early.
type Decision struct {
	now    time.Time
	random func() float64 // [0,1), for jitter
	rows   map[Key]*Row
	deps   map[Key][]Dependent

	changed []*Row
	// Ended, Timers, Stops, Unlock and Trees are the effects, in the order they came up. Unlock names tasks whose
	// dependents are yet to be told, by a followup.
	Ended  []Ended
	Timers []Timer
	Stops  []Stop
	Unlock []Key
	Trees  map[TreeKey]*TreeDelta
	// ToJudge names tasks whose dependencies have ended and of which [Decision.JudgeAtOnce], or a followup, decides what becomes of them; ToCollect, expanded tasks whose
	// children have ended, which a followup ends; ToCancel, cancelled ones whose children a followup cancels.
	ToJudge, ToCollect, ToCancel []Key
	// ToTimeUp names groups whose time is up: a followup fails them, and cancels what is below.
	ToTimeUp   []Key
	Awaits     []Awaits
	Expansions []Expands
	// Spent is what attempts used of models that wait from now on; nothing else of these is said.
	Spent []Ended
	// ToCache names completed tasks that others may end by.
	ToCache []Key
	// Handovers are the tasks that [Decision.HandOver] claimed.
	Handovers []Handover
}

// Dependent is one edge from its dependency's side.
type Dependent struct {
	Key      Key
	Required bool
	Mode     EdgeMode
}

// NewDecision starts one; now is zero when it is not known, or not yet (see [Decision.SetNow]). random must give numbers in
// [0,1).
func NewDecision(now time.Time, random func() float64) *Decision {
	return &Decision{now: now, random: random, rows: map[Key]*Row{}, deps: map[Key][]Dependent{}, Trees: map[TreeKey]*TreeDelta{}}
}

// SetNow tells the time. It comes before anything that happens.
func (d *Decision) SetNow(now time.Time) { d.now = now }

// Now is the time of all that is written; zero when it is not known.
func (d *Decision) Now() time.Time { return d.now }

// Add hands in a row; treeCancelled tells whether its tree's cancellation is on record.
func (d *Decision) Add(r Row, treeCancelled bool) *Row {
	row := &r
	row.was, row.wasFixed, row.repeats = r.Guard(), r.fixed(), r.Repeats
	row.cancelled = treeCancelled
	d.rows[r.Key] = row
	return row
}

// AddDependent hands in an edge whose dependent's row is added too.
func (d *Decision) AddDependent(dependency Key, dep Dependent) {
	d.deps[dependency] = append(d.deps[dependency], dep)
}

// Row is the row of a key, or nil.
func (d *Decision) Row(k Key) *Row { return d.rows[k] }

// Changed are the rows to be written, by key.
func (d *Decision) Changed() []*Row {
	slices.SortFunc(d.changed, func(a, b *Row) int { return int(min(max(a.Key-b.Key, -1), 1)) })
	return d.changed
}

// Readied are the changed rows that are Ready for a new reason: first time, retry, return. By key.
func (d *Decision) Readied() []*Row {
	var out []*Row
	for _, r := range d.Changed() {
		if r.gotReady() {
			out = append(out, r)
		}
	}
	return out
}

// gotReady reports whether the task is ready for a new reason.
func (r *Row) gotReady() bool {
	return r.State == Ready && (r.was.State != Ready || r.was.Attempt != r.Attempt)
}

func (d *Decision) tree(k Key) *TreeDelta {
	t := d.Trees[k.Tree()]
	if t == nil {
		t = &TreeDelta{}
		d.Trees[k.Tree()] = t
	}
	return t
}

func (d *Decision) event(t EventType, r *Row, attempt int32) {
	delta := d.tree(r.Key)
	delta.Events = append(delta.Events, Event{Type: t, Task: r.Key, Attempt: attempt})
}

func (d *Decision) touch(r *Row) {
	if !r.changed {
		r.changed = true
		d.changed = append(d.changed, r)
	}
}

// move is the one place where a task changes state. It panics on a change that the table does not have: that is a
// programmer's error, and the transaction is given up.
func (d *Decision) move(r *Row, to State) {
	if !CanMove(r.State, to) {
		panic(fmt.Sprintf("task %d: invalid state transition from %s to %s", r.Key, r.State, to))
	}
	d.count(r, -1)
	r.State = to
	d.count(r, +1)
	d.touch(r)
}

// hold gives the open attempt to a worker, or to none; it keeps the tree's count of open attempts.
func (d *Decision) hold(r *Row, w WorkerKey) {
	d.count(r, -1)
	r.Worker = w
	d.count(r, +1)
	d.touch(r)
}

// count adds the row to its tree's aggregate n times.
func (d *Decision) count(r *Row, n int) {
	t := d.tree(r.Key)
	t.Count(r.State, r.Flags, n)
	if r.Worker != 0 {
		t.Running += n
	}
}
