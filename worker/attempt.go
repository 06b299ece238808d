package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// key names an attempt.
type key struct {
	task   int64
	number uint32
}

func keyOf(a *workerv1.Attempt) key { return key{a.GetTask(), a.GetNumber()} }

// phase is how far an attempt has come.
type phase uint8

const (
	waiting  phase = iota // taken, not started: its claim is not answered
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

// attempt is one try at a task, from its message to its receipt.
type attempt struct {
	key     key
	work    *workerv1.Work
	header  nats.Header // of its message: trace context
	session *session    // the instance that took it
	pool    *pool
	kind    *kind // nil: no such executor here
	early   bool  // repeatable, first delivery: starts beside its claim
	taken   time.Time
	asked   time.Time // when a claim of it may have been granted at the earliest; zero: never asked. Set once, before it starts unless early

	ctx  context.Context // ends by stop only; a timeout is added where it runs
	stop context.CancelCauseFunc

	// Guarded by the ledger's mu.
	delivery  *queue.WorkDelivery // of its message, the newest; nil once it is acknowledged
	phase     phase
	claim     claim
	holdsSlot bool
	cancelled bool // a coordinator said so: whatever it returns is a cancellation's receipt
	disowned  bool // a coordinator said so: whatever it returns is dropped
	listed    uint64
	listedBy  *session // the number of the first beat of this session that listed it as ours
	result    *workerv1.Result
	sending   bool // the result is on its way to RESULTS, or queued for it
	sends     int
	sendAfter time.Time // when it is sent again without a receipt
	offers    bool      // its result offers its slot, which it holds until the receipt
	offered   time.Time // since when

	claimTries int // the claimer's: one request at a time holds the attempt

	out output
}

// size is what a kept result counts for.
func (a *attempt) size() int {
	const overhead = 128
	return overhead + len(valueOf(a.result)) + len(a.result.Error) + len(a.result.Detail)
}

func (a *attempt) grant() *workerv1.Grant {
	return &workerv1.Grant{Attempt: a.work.Attempt, Token: a.work.Token, Facts: a.work.Facts}
}

// newResult is a result of the attempt that lacks its value.
func (a *attempt) newResult(outcome dag.Outcome, started, finished time.Time) *workerv1.Result {
	r := &workerv1.Result{
		Attempt: a.work.Attempt, Token: a.work.Token, UnlocksNothing: !a.work.Unlocks, Facts: a.work.Facts,
		StartedUnixUs: started.UnixMicro(), FinishedUnixUs: finished.UnixMicro(),
	}
	setEnd(r, outcome)
	return r
}

// unstarted is the result of an attempt that was granted and never began.
func (a *attempt) unstarted(outcome dag.Outcome, why error) *workerv1.Result {
	now := time.Now()
	r := a.newResult(outcome, now, now)
	r.Error = why.Error()
	return r
}

// ErrLate is the error of an attempt that was granted so late that it could be timed out while it ran; see [dag.TooLate].
var ErrLate = errors.New("the answer to its claim came too late for its timeout")

// late reports whether the attempt may not start any more. One that starts before its claim is never late.
func (a *attempt) late(now time.Time) bool {
	return !a.early && dag.TooLate(time.Duration(a.work.TimeoutMs)*time.Millisecond, now.Sub(a.asked))
}

// outcomeOf decides what an ended attempt is reported as. cause is why its context ended, nil if it did not; err is
// what its executor returned.
//
// A cancellation stands whatever came of the work. So does a timeout, whose point is that later is too late. Work that
// was done in spite of a drain or a lost lease is done; the coordinator's guards decide whether it still counts.
func outcomeOf(cancelled bool, cause, err error) dag.Outcome {
	switch {
	case cancelled:
		return dag.OutcomeCancelled
	case errors.Is(cause, executors.ErrTimeout):
		return dag.OutcomeTimedOut
	case err == nil:
		return dag.OutcomeCompleted
	case errors.Is(cause, executors.ErrDraining), errors.Is(cause, executors.ErrLeaseLost):
		return dag.OutcomeReturned
	default:
		return dag.OutcomeFailed
	}
}
