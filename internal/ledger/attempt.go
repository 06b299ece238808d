package ledger

import (
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Key names an attempt.
type Key struct {
	Task   int64
	Number uint32
}

// Message is one delivery of an attempt's message. The ledger calls nothing of it.
type Message interface {
	Ack() // it need not be delivered again
	Nak() // it may be delivered to another worker at once
}

// phase is how far an attempt has come.
type phase uint8

const (
	waiting  phase = iota // taken, not started: its claim is not answered, or it is in line
	running               // its executor works; the slot is held
	stopped               // started early and interrupted: only the claim's answer tells whether that is to be reported
	reported              // its result is kept until the receipt
	gone                  // forgotten
)

// claim is how far the asking has come.
type claim uint8

const (
	claimQueued  claim = iota // nobody was asked yet
	claimSent                 // asked; it may have been granted
	claimYes                  // granted
	claimSkipped              // started early and done before anybody was asked
)

// Cause is why an attempt must stop, or may not start.
type Cause uint8

// The causes.
const (
	None      Cause = iota
	Cancelled       // a coordinator said so
	LeaseLost       // the lease is over, or the attempt is not ours
	Draining        // the worker ends
	NoSlot          // it was handed over for a slot that was given up before it came
	Missed          // it was handed over in a message that never came
	Waited          // it was claimed ahead, and no slot was free in time
)

// Refusal is why nothing may start: the lease is over or the worker drains. None: it may.
func Refusal(leaseHolds, draining bool) Cause {
	switch {
	case !leaseHolds:
		return LeaseLost
	case draining:
		return Draining
	}
	return None
}

// Result is what the ledger needs to know of an attempt's result.
type Result struct {
	Outcome dag.Outcome
	Bytes   int           // what it counts for while it is kept
	Ran     time.Duration // how long its executor worked; 0: it never began
	Why     Cause         // an attempt that was granted never began: why
	Early   bool          // set by the ledger: it was not granted when it ended
	Offer   bool          // set by the ledger: its slot waits for a task that it unlocks
}

// unstartedBytes is what a result without a value counts for.
const unstartedBytes = 128

// Entry is what a ledger keeps of one attempt. The caller's own type embeds it and sets the first group of fields before
// it hands the attempt in.
type Entry struct {
	Key        Key
	Token      []byte
	Session    *Session // that took it
	Pool       int      // its place in [Limits.Slots]
	Repeatable bool     // it may start beside its claim
	Ahead      bool     // its message says that it may be claimed before it has a slot
	Priority   dag.Priority
	Passes     bool      // it starts before all in line that do not
	Bytes      int       // of its message
	Taken      time.Time // when its message came
	Delivered  int       // how often its message was delivered, this time included
	Message    Message   // the newest delivery; nil once it is acknowledged

	// Result is written before the attempt is in [Todo.Report], and then only once it is to be reported again.
	Result Result

	early     bool // it started beside its claim
	phase     phase
	claim     claim
	granted   time.Time // when its claim was granted, or it was handed over
	asked     time.Time // when a claim of it may have been granted at the earliest; zero: never asked
	holdsSlot bool
	inLine    bool     // for a slot
	queued    bool     // in line, and in one of its queues
	cancelled bool     // a coordinator said so: whatever it returns is a cancellation's receipt
	disowned  bool     // a coordinator said so: whatever it returns is dropped
	listedBy  *Session // the session whose beat first listed it
	listed    uint64   // the number of that beat
	sending   bool     // the result is on its way to RESULTS, or queued for it
	sends     int
	sendAfter time.Time // when it is sent again without a receipt
	offers    bool      // its result offers its slot, which it holds until the receipt
	offered   time.Time // since when
}

// Self is the entry itself, so that types which embed it are [Attempt]s.
func (e *Entry) Self() *Entry { return e }

// HoldsSlot reports whether the attempt holds a slot of its pool.
func (e *Entry) HoldsSlot() bool { return e.holdsSlot }

// StartedEarly reports whether the attempt started beside its claim.
func (e *Entry) StartedEarly() bool { return e.early }

// Lined reports whether the attempt is in line for a slot.
func (e *Entry) Lined() bool { return e.inLine }

// mayStartEarly reports whether the attempt may start before its claim is answered.
func (e *Entry) mayStartEarly() bool {
	return e.Repeatable && e.Delivered == 1 && e.phase == waiting && e.claim != claimYes && !e.cancelled
}

// mayBeAskedAhead reports whether the attempt may be claimed while it is in line. One that may start beside its claim may have been
// lost while it ran, and nobody knows, once its message comes again.
func (e *Entry) mayBeAskedAhead() bool { return e.Ahead && (!e.Repeatable || e.Delivered == 1) }

// GrantedAt is when the answer to its claim came; zero: it is not granted.
func (e *Entry) GrantedAt() time.Time { return e.granted }

// Granted reports whether a coordinator has granted the attempt.
func (e *Entry) Granted() bool { return e.claim == claimYes }

// Late reports whether so much time has passed since the attempt may have been granted that it may not start any more: it
// could be timed out while it runs (see [dag.TooLate]). One that starts before its claim is never late.
func (e *Entry) Late(now time.Time, timeout time.Duration) bool {
	return !e.early && dag.TooLate(timeout, now.Sub(e.asked))
}

// Attempt is a pointer to the caller's type, which embeds an [Entry].
type Attempt interface {
	comparable
	Self() *Entry
}

// Stop is an attempt whose executor must end.
type Stop[A any] struct {
	Attempt A
	Cause   Cause
}

// Pools is a set of pools, by their places: a worker has at most [MostPools].
type Pools uint64

// Has reports whether the pool is in the set.
func (p Pools) Has(pool int) bool { return p&(1<<pool) != 0 }

// MostPools is how many pools a ledger has places for.
const MostPools = 64

// Todo is what a step leaves to be done. Steps add to it. Lists have no particular order.
type Todo[A any] struct {
	Ack    []Message // to be acknowledged
	Nak    []Message // to be given back to other workers
	Ask    []A       // whose claims are to be asked for
	Again  []A       // whose claims were not answered: they are to be asked for again, after a pause
	Start  []A       // whose executors start
	Stop   []Stop[A] // whose executors must end
	Report []A       // whose results are to be sent
	Freed  Pools     // a slot may be free, or there may be room for results
	Lined  bool      // something is in line: [Ledger.Tire] is to be called
	Quiet  bool      // nothing is in hand any more, or no result is kept
}

// ack adds the attempt's message to those to be acknowledged, once.
func (t *Todo[A]) ack(e *Entry) {
	if e.Message != nil {
		t.Ack = append(t.Ack, e.Message)
		e.Message = nil
	}
}

// giveBack adds the attempt's message to those to be given back.
func (t *Todo[A]) giveBack(e *Entry) {
	if e.Message != nil {
		t.Nak = append(t.Nak, e.Message)
		e.Message = nil
	}
}

// stop adds the attempt to those that must end.
func (t *Todo[A]) stop(a A, cause Cause) { t.Stop = append(t.Stop, Stop[A]{a, cause}) }
