package dag

import (
	"fmt"
	"slices"
	"time"
)

// WorkerKey is the compact internal name of one run of one worker process; 0 is none.
type WorkerKey int64

// Flags are facts about a task that never change and that scheduling needs at every step. The bits are stored.
type Flags int16

// The flags of a task.
const (
	FlagLeaf       Flags = 1 << iota // no task names it as parent: it counts in the tree's progress
	FlagGroup                        // has no executor: completes when its dependencies allow (spec 1.3)
	FlagRepeatable                   // may start before its claim is confirmed
	FlagDependents                   // some task depends on it
	FlagWide                         // more than [InlineDependents] do: they are unlocked by a followup, in batches
	FlagTimed                        // has a not-before or schedule-to-start time: look at its policy when it gets ready
	FlagTimeout                      // has a start-to-close timeout of its own
	FlagUnknown                      // no worker was ever known to have its executor: fails when it gets ready (spec K13)
)

// FlagPolicy marks tasks whose policy decisions need even when nothing fails.
const FlagPolicy = FlagTimed | FlagTimeout | FlagUnknown

// InlineDependents is the most dependents of one task that are unlocked in the transaction that settles it.
const InlineDependents = 1000

// Unlocks reports whether tasks depend on it, few enough to be unlocked in the transaction that ends it.
func (f Flags) Unlocks() bool { return f&(FlagDependents|FlagWide) == FlagDependents }

// Row is a task's scheduling state, as locked.
type Row struct {
	Key       Key
	State     State
	Flags     Flags
	Priority  Priority
	Pool      int32
	Attempt   int32     // number of the current attempt, or of the next one to be claimed; from 1, never restarts
	Remaining int32     // dependencies that have not ended; meaningful while Waiting
	Failures  int32     // counted attempts that failed, in this execution
	Crashes   int32     // workers lost, in this execution
	Worker    WorkerKey // holds the open attempt. Invariant: set while Running; may stay set when Cancelled, until the receipt
	StartedAt time.Time // of the current attempt; zero before
	BlockedBy Key       // Blocked: the task whose end is the cause
	Policy    *Policy   // loaded where a decision may need it, else nil

	was       Guard // as it was handed in
	changed   bool
	cancelled bool // its tree was cancelled
}

// Guard is what decides whether a row still is what was handed in: a write of rows that are not locked compares it.
type Guard struct {
	State                                 State
	Attempt, Remaining, Failures, Crashes int32
	Worker                                WorkerKey
}

// Guard is the row as it is now.
func (r *Row) Guard() Guard {
	return Guard{r.State, r.Attempt, r.Remaining, r.Failures, r.Crashes, r.Worker}
}

// Policy is the part of a task's specification that decisions read. All zero: the defaults.
type Policy struct {
	Executor        string
	Retry           RetryPolicy
	OnLost          OnLost
	Timeout         time.Duration
	ScheduleToStart time.Duration
	NotBefore       time.Time
}

// Expected is what a write of the row must find. Flags, Priority and Pool never change.
func (r *Row) Expected() Guard { return r.was }

// Outcome is how an attempt ended. The numbers are stored.
type Outcome int16

// The outcomes.
const (
	OutcomeCompleted Outcome = 1
	OutcomeFailed    Outcome = 2
	OutcomeCancelled Outcome = 3
	OutcomeReturned  Outcome = 4 // handed back by its worker, unfinished
	OutcomeTimedOut  Outcome = 5 // start-to-close, or schedule-to-start when it never started
	OutcomeLost      Outcome = 6 // its worker was lost
)

var outcomeNames = [...]string{"", "completed", "failed", "cancelled", "returned", "timed_out", "lost"}

// String is the outcome's name in our own API.
func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomeNames) {
		return fmt.Sprintf("outcome(%d)", int16(o))
	}
	return outcomeNames[o]
}

// Ended is an attempt that came to its end: one row of the history.
type Ended struct {
	Task      Key
	Attempt   int32
	Outcome   Outcome
	Counted   bool // against the retry policy
	Worker    WorkerKey
	StartedAt time.Time // zero: never started
	Result    []byte    // JSON; nil: null
	Error     string
	Detail    string
	// Receipt: the row was written when the task was cancelled; only result and finish are added to it.
	Receipt bool
	Chunked bool // the result waits in the store, in parts
}

// EventType numbers what events report. The numbers are stored.
type EventType uint8

// The types of events.
const (
	EventExecution EventType = 1 // an execution of the tree began
	EventStart     EventType = 2
	EventCompleted EventType = 3
	EventFailed    EventType = 4
	EventCancelled EventType = 5
	EventRetry     EventType = 6
	EventFinal     EventType = 7 // the last of an execution
)

// Event is one thing that happened to a task; the store gives it its place in the tree's sequence.
type Event struct {
	Type    EventType
	Task    Key
	Attempt int32
}

// TreeDelta is what a decision adds to a tree's aggregate.
type TreeDelta struct {
	Held, Unfinished, Running, Completed, Failed, Cancelled, Blocked, LeavesCompleted int
	Events                                                                            []Event
}

// TimerKind numbers what a timer is for. The numbers are stored.
type TimerKind int16

// The kinds of timers.
const (
	TimerDue             TimerKind = 1 // a delayed task may start
	TimerScheduleToStart TimerKind = 2
	TimerStartToClose    TimerKind = 3
	TimerTree            TimerKind = 4 // the tree's deadline; its task is the root
)

// Timer asks for a decision after a delay.
type Timer struct {
	Task    Key
	Attempt int32
	Kind    TimerKind
	Delay   time.Duration // from the decision on
	At      time.Time     // instead of Delay, unless zero
}

// Stop asks a worker to stop an attempt.
type Stop struct {
	Worker  WorkerKey
	Task    Key
	Attempt int32
}

// TimeoutGrace is how long after an attempt's own timeout its worker has to report it, before it is settled without.
const TimeoutGrace = 15 * time.Second

// StartWithin is how long after its worker first asked for it an attempt with a timeout of its own may start. The rest
// of [TimeoutGrace] is for stopping.
const StartWithin = 10 * time.Second

// TooLate reports whether a granted attempt must be handed back, unstarted and uncounted: the store counts its timeout
// from the claim, which may be as old as the first request for it, so that it could be timed out, and the next attempt
// started, while it ran. timeout is the task's own, 0 for none; waited is the time since the attempt was first asked for,
// or since the offer that it was handed over for was made.
func TooLate(timeout, waited time.Duration) bool { return timeout > 0 && waited > StartWithin }

// Decision is the pure core of one transaction: the locked rows go in, then what happened, and what is to be written
// comes out. It knows no clock: now is the store's. One goroutine.
//
// Rows may also be what is thought to be there. Then the time is not known either, and the write has to find out whether they
// are; so nothing may be handed in that needs a time: no policy, no group, no result of work that started early.
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
	// Handovers are the tasks that [Decision.HandOver] claimed.
	Handovers []Handover
}

// Dependent is one edge from its dependency's side.
type Dependent struct {
	Key      Key
	Required bool
}

// NewDecision starts one; now is zero when it is not known. random must give numbers in [0,1).
func NewDecision(now time.Time, random func() float64) *Decision {
	return &Decision{now: now, random: random, rows: map[Key]*Row{}, deps: map[Key][]Dependent{}, Trees: map[TreeKey]*TreeDelta{}}
}

// Add hands in a row; treeCancelled tells whether its tree's cancellation is on record.
func (d *Decision) Add(r Row, treeCancelled bool) *Row {
	row := &r
	row.was = r.Guard()
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
		if r.State == Ready && (r.was.State != Ready || r.was.Attempt != r.Attempt) {
			out = append(out, r)
		}
	}
	return out
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

// transitions is the table of states: which may follow which. A re-run, at a user's word, may go from any settled
// state back to the beginning (spec 3.7, 12.3); nothing else leaves a settled state.
var transitions = [...]uint16{
	Held:      set(Waiting, Ready, Blocked, Cancelled),
	Waiting:   set(Delayed, Ready, Blocked, Completed, Failed, Cancelled),
	Delayed:   set(Ready, Cancelled),
	Ready:     set(Ready, Running, Delayed, Completed, Failed, Cancelled),
	Running:   set(Ready, Delayed, Completed, Failed, Cancelled),
	Blocked:   set(Waiting, Ready, Cancelled),
	Completed: set(Waiting, Ready, Blocked),
	Failed:    set(Waiting, Ready, Blocked),
	Cancelled: set(Waiting, Ready, Blocked),
}

func set(states ...State) (bits uint16) {
	for _, s := range states {
		bits |= 1 << s
	}
	return bits
}

// CanMove reports whether a task in state from may go to state to.
func CanMove(from, to State) bool {
	return int(from) < len(transitions) && transitions[from]&(1<<to) != 0
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

// Count adds n tasks of a state and flags to the aggregate.
func (t *TreeDelta) Count(s State, f Flags, n int) {
	switch s {
	case Held:
		t.Held += n
	case Completed:
		t.Completed += n
		if f&FlagLeaf != 0 {
			t.LeavesCompleted += n
		}
	case Failed:
		t.Failed += n
	case Cancelled:
		t.Cancelled += n
	case Blocked:
		t.Blocked += n
	default:
		t.Unfinished += n
	}
}

// Verdict answers a claim.
type Verdict int

// The verdicts.
const (
	Undecided Verdict = iota // ask again
	Yes
	No // final
)

// Claim asks for an attempt on behalf of a worker whose lease is alive.
//
// The worker that holds the attempt gets the same yes again; everyone else a final no. A task of a cancelled tree
// never starts.
func (d *Decision) Claim(k Key, attempt int32, w WorkerKey) Verdict {
	r := d.rows[k]
	if r == nil || r.Attempt != attempt {
		return No
	}
	switch r.State {
	case Running:
		if r.Worker == w {
			return Yes
		}
		return No
	case Ready:
		if r.cancelled {
			return No
		}
		d.start(r, w)
		return Yes
	}
	return No
}

// Handover is a task that was claimed, as soon as it was ready, for the worker whose result unlocked it.
type Handover struct {
	After        Key // the result's task, whose slot it takes
	AfterAttempt int32
	Task         Key
	Attempt      int32
	Worker       WorkerKey
}

// HandOver claims one of the tasks that a result has just unlocked for the worker that reported it, in the slot that
// it offers: the claim that would follow anyway, without the way through the queue. The result must have been settled
// by this decision, and its worker's lease be alive. may tells whether nothing older waits in the task's pool: an
// unlocked task passes nobody.
func (d *Decision) HandOver(res Result, may func(*Row) bool) {
	from := d.rows[res.Task]
	if from == nil || !res.Offer || res.Worker == 0 || from.State != Completed || from.Attempt != res.Attempt {
		return
	}
	for _, dep := range d.deps[res.Task] {
		r := d.rows[dep.Key]
		if r == nil || r.State != Ready || r.was.State == Ready || r.Pool != from.Pool || !may(r) {
			continue
		}
		if d.Claim(r.Key, r.Attempt, res.Worker) == Yes {
			d.Handovers = append(d.Handovers, Handover{After: from.Key, AfterAttempt: from.Attempt, Task: r.Key, Attempt: r.Attempt, Worker: res.Worker})
			return
		}
	}
}

func (d *Decision) start(r *Row, w WorkerKey) {
	d.move(r, Running)
	d.hold(r, w)
	r.StartedAt = d.now
	if r.Flags&FlagTimeout != 0 && r.Policy != nil && r.Policy.Timeout > 0 {
		d.Timers = append(d.Timers, Timer{Task: r.Key, Attempt: r.Attempt, Kind: TimerStartToClose, Delay: r.Policy.Timeout + TimeoutGrace})
	}
	d.event(EventStart, r, r.Attempt)
}

// Result is what a worker reports of an attempt. Its token was checked.
type Result struct {
	Task           Key
	Attempt        int32
	Worker         WorkerKey   // 0: not known (any more)
	Before         []WorkerKey // earlier runs of the same worker: it reports for them after losing its lease
	Outcome        Outcome
	Value          []byte // JSON; nil: null
	Chunked        bool   // the value waits in the store, in parts
	Error          string
	Detail         string
	Permanent      bool
	Early          bool // started before its claim was confirmed
	Offer          bool // its slot waits for a task that it unlocks
	UnlocksNothing bool // its worker was not told that it unlocks anything: a hint which rows to load; a followup tells dependents that are not
	Facts          Facts
	StartedAt      time.Time
}

// from reports whether the result comes from the worker.
func (res *Result) from(w WorkerKey) bool { return w == res.Worker || slices.Contains(res.Before, w) }

// Settle records a result and unlocks what waited for it. It reports whether the result changed anything: an old
// attempt's, a second copy, or one that comes after the end changes nothing (design §2.2).
func (d *Decision) Settle(res Result) bool {
	r := d.rows[res.Task]
	if r == nil || r.Attempt != res.Attempt {
		return false
	}
	repeatable := r.Flags&FlagRepeatable != 0
	switch {
	case r.State == Running && (res.from(r.Worker) || repeatable && res.Early):
	case r.State == Ready && repeatable && res.Early && !r.cancelled:
		d.start(r, res.Worker)
		if !res.StartedAt.IsZero() && res.StartedAt.Before(d.now) {
			r.StartedAt = res.StartedAt
		}
	case r.State == Cancelled && r.Worker != 0 && res.from(r.Worker):
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeCancelled, Worker: r.Worker,
			StartedAt: r.StartedAt, Result: res.Value, Chunked: res.Chunked, Receipt: true})
		d.hold(r, 0)
		return true
	default:
		return false
	}
	end := Ended{Outcome: res.Outcome, Result: res.Value, Chunked: res.Chunked, Error: res.Error, Detail: res.Detail}
	switch res.Outcome {
	case OutcomeCompleted:
		end.Counted = true
		d.end(r, end)
		d.finish(r, Completed)
	case OutcomeFailed, OutcomeTimedOut:
		end.Counted = true
		if end.Error == "" {
			end.Error = "failed without a reason"
		}
		d.fail(r, end, res.Permanent)
	default: // handed back
		end.Outcome = OutcomeReturned
		if end.Error == "" {
			end.Error = "handed back by its worker"
		}
		d.interrupt(r, end)
	}
	return true
}

// end closes the open attempt in the history.
func (d *Decision) end(r *Row, e Ended) {
	e.Task, e.Attempt, e.Worker, e.StartedAt = r.Key, r.Attempt, r.Worker, r.StartedAt
	d.Ended = append(d.Ended, e)
	d.hold(r, 0)
}

// fail ends a counted attempt, and tries again or fails the task, as the policy says.
func (d *Decision) fail(r *Row, e Ended, permanent bool) {
	d.end(r, e)
	r.Failures++
	policy := r.policy()
	if permanent || policy.Retry.Exhausted(int(r.Failures)) {
		d.finish(r, Failed)
		return
	}
	d.again(r, policy.Retry.Delay(int(r.Failures), d.random()))
}

// interrupt ends an attempt that was cut off by a drain or a lost worker; that burns no attempt.
func (d *Decision) interrupt(r *Row, e Ended) {
	fails := r.policy().OnLost == FailLost || r.Crashes >= PoisonLimit
	e.Counted = fails
	d.end(r, e)
	if fails {
		d.finish(r, Failed)
		return
	}
	d.again(r, 0)
}

// again makes a new attempt, after the delay.
func (d *Decision) again(r *Row, delay time.Duration) {
	d.event(EventRetry, r, r.Attempt)
	r.Attempt++
	r.StartedAt = time.Time{}
	if delay > 0 {
		d.delay(r, Timer{Delay: delay})
		return
	}
	d.ready(r)
}

func (d *Decision) delay(r *Row, t Timer) {
	d.move(r, Delayed)
	t.Task, t.Attempt, t.Kind = r.Key, r.Attempt, TimerDue
	d.Timers = append(d.Timers, t)
}

func (r *Row) policy() Policy {
	if r.Policy == nil {
		return Policy{}
	}
	return *r.Policy
}

// release lets a task go whose dependencies all allow it: to its pool, to wait for its time, or, a group, to its end.
func (d *Decision) release(r *Row) {
	if r.Flags&FlagGroup != 0 {
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeCompleted, Counted: true, StartedAt: d.now, Result: []byte("{}")})
		r.StartedAt = d.now
		d.event(EventStart, r, r.Attempt)
		d.finish(r, Completed)
		return
	}
	if r.Flags&FlagUnknown != 0 {
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeFailed, Counted: true, Error: UnknownExecutor(r.policy().Executor)})
		d.finish(r, Failed)
		return
	}
	if due := r.policy().NotBefore; due.After(d.now) {
		d.delay(r, Timer{At: due})
		return
	}
	d.ready(r)
}

// Unlocked tells some dependents, whose rows are at hand, of a settled task, whose row is too: for a followup.
func (d *Decision) Unlocked(k Key, dependents []Dependent) {
	r := d.rows[k]
	if r == nil || !r.State.Settled() {
		return
	}
	for _, dep := range dependents {
		d.DependencyEnded(dep, r.State, r.cause())
	}
}

// Release lets a task go that waits for no dependency; for those that a submission or a re-run left to a followup.
func (d *Decision) Release(k Key) {
	if r := d.rows[k]; r != nil && r.State == Waiting && r.Remaining == 0 {
		d.release(r)
	}
}

// UnknownExecutor is the failure text of a task whose executor nobody has (spec 1.3, K13).
func UnknownExecutor(id string) string {
	return fmt.Sprintf("Task executor not found. method='%s'. No worker has registered an executor of this id.", id)
}

func (d *Decision) ready(r *Row) {
	d.move(r, Ready)
	if limit := r.policy().ScheduleToStart; limit > 0 {
		d.Timers = append(d.Timers, Timer{Task: r.Key, Attempt: r.Attempt, Kind: TimerScheduleToStart, Delay: limit})
	}
}

// finish settles a task and tells its dependents, those that are at hand at once.
func (d *Decision) finish(r *Row, to State) {
	d.move(r, to)
	switch to {
	case Completed:
		d.event(EventCompleted, r, r.Attempt)
	case Failed:
		d.event(EventFailed, r, r.Attempt)
	case Cancelled:
		d.event(EventCancelled, r, r.Attempt)
	}
	d.announce(r)
}

// announce tells the dependents of a settled task, or leaves it to a followup when they are many or not at hand.
func (d *Decision) announce(r *Row) {
	if r.Flags&FlagDependents == 0 {
		return
	}
	dependents, loaded := d.deps[r.Key]
	if !loaded || r.Flags&FlagWide != 0 {
		d.Unlock = append(d.Unlock, r.Key)
		return
	}
	for _, dep := range dependents {
		d.DependencyEnded(dep, r.State, r.cause())
	}
}

// cause is the task that dependents are blocked by when this one can't succeed.
func (r *Row) cause() Key {
	if r.State == Blocked {
		return r.BlockedBy
	}
	return r.Key
}

// DependencyEnded tells a dependent, whose row is at hand, that one of its dependencies was settled (spec 3.2, K9).
// Each edge must be told once for each end of its dependency.
func (d *Decision) DependencyEnded(dep Dependent, state State, cause Key) {
	r := d.rows[dep.Key]
	if r == nil || r.State != Waiting {
		return // held, cancelled, or blocked by another dependency already
	}
	if dep.Required && state != Completed {
		r.BlockedBy = cause
		d.move(r, Blocked)
		d.announce(r)
		return
	}
	r.Remaining--
	d.touch(r)
	if r.Remaining == 0 {
		d.release(r)
	}
}

// Disowned is the error of an attempt that its worker does not know: what told it was lost.
const Disowned = "its worker does not know it any more"

// Lost takes an attempt back from a worker that is lost, or that disowned it.
func (d *Decision) Lost(k Key, w WorkerKey, crash bool) bool {
	r := d.rows[k]
	if r == nil || r.Worker != w || w == 0 {
		return false
	}
	switch r.State {
	case Running:
		outcome, text := OutcomeReturned, Disowned
		if crash {
			r.Crashes++
			outcome, text = OutcomeLost, "its worker was lost"
			if r.Crashes >= PoisonLimit {
				text = fmt.Sprintf("its worker was lost; that was the case %d times", r.Crashes)
			}
		}
		d.interrupt(r, Ended{Outcome: outcome, Error: text})
		return true
	case Cancelled:
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeCancelled, Worker: w, StartedAt: r.StartedAt, Receipt: true})
		d.hold(r, 0)
		return true
	}
	return false
}

// Cancel cancels an unfinished task (spec 3.8). A running attempt is stopped by its worker and stays open until the
// receipt. quiet: the whole tree is being cancelled and its row says why; dependents are cancelled too, so nobody is
// told.
func (d *Decision) Cancel(k Key, message string, quiet bool) bool {
	r := d.rows[k]
	if r == nil || !r.State.Unfinished() && r.State != Held && r.State != Blocked {
		return false
	}
	running := r.State == Running
	if running || !quiet {
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeCancelled, Worker: r.Worker, StartedAt: r.StartedAt, Error: message})
	}
	if running {
		d.Stops = append(d.Stops, Stop{Worker: r.Worker, Task: r.Key, Attempt: r.Attempt})
	}
	was := r.State
	if was.Unfinished() && !quiet {
		d.finish(r, Cancelled)
		return true
	}
	d.move(r, Cancelled)
	if was.Unfinished() { // of what no execution waits for, nothing is told: its tree's final event may be past
		d.event(EventCancelled, r, r.Attempt)
	}
	if was == Held && !quiet {
		d.announce(r)
	}
	return true
}

// Due handles a timer that went off. It reports whether anything changed: a timer of an older attempt, or one whose
// task has moved on, changes nothing.
func (d *Decision) Due(t Timer) bool {
	r := d.rows[t.Task]
	if r == nil || r.Attempt != t.Attempt {
		return false
	}
	switch {
	case t.Kind == TimerDue && r.State == Delayed:
		d.ready(r)
	case t.Kind == TimerScheduleToStart && r.State == Ready:
		d.Ended = append(d.Ended, Ended{Task: r.Key, Attempt: r.Attempt, Outcome: OutcomeTimedOut, Counted: true,
			Error: fmt.Sprintf("not started within %s of being ready", r.policy().ScheduleToStart)})
		d.finish(r, Failed)
	case t.Kind == TimerStartToClose && r.State == Running:
		d.Stops = append(d.Stops, Stop{Worker: r.Worker, Task: r.Key, Attempt: r.Attempt})
		d.fail(r, Ended{Outcome: OutcomeTimedOut, Counted: true, Error: fmt.Sprintf("timeout after %s", r.policy().Timeout)}, false)
	default:
		return false
	}
	return true
}
