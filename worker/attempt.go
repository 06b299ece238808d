package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/attemptkey"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

func keyOf(a *workerv1.Attempt) ledger.Key {
	return ledger.Key{Task: a.GetTask(), Number: a.GetNumber()}
}

// attempt is one try at a task, from its message to its receipt. Its step is the ledger's; the rest is set before it
// starts.
type attempt struct {
	ledger.Entry

	work    *workerv1.Work
	given   given       // what it starts from, while it is called
	header  nats.Header // of its message: trace context
	session *session    // the instance that took it
	pool    *pool
	kind    *kind // nil: no such executor here

	key atomic.Pointer[attemptkey.Key] // seals what it sends; nil: none has come, or the cluster does not seal

	ctx  context.Context // ends by stop only; a timeout is added where it runs
	stop context.CancelCauseFunc

	result     *workerv1.Result // set by the goroutine that ran it, or by the one that reports it
	value      []byte           // kept until the receipt if its parts went into RESULTS; set with result
	resending  atomic.Bool      // the value is being sent again
	ran        time.Duration    // how long its executor worked; 0: it never began
	claimTries int              // the claimer's: one request at a time holds the attempt

	out   output
	files files
	used  usage
	held  heldKey
}

// size is what a kept result counts for.
func (a *attempt) size() int {
	const overhead = 128
	return overhead + len(a.value) + len(valueOf(a.result)) + len(a.result.Sealed) + len(a.result.Error) + len(a.result.Detail) + len(a.result.Outputs) + len(a.result.Usage)*usageBytes +
		len(a.result.GetCheckpoint().GetData())
}

func (a *attempt) grant() *workerv1.Grant {
	return &workerv1.Grant{Attempt: a.work.Attempt, Token: a.work.Token, Facts: a.work.Facts}
}

// usageBytes is about what usage of one model counts for.
const usageBytes = 64

// newResult is a result of the attempt that lacks its value. The times differ by what a clock says that nobody sets.
func (a *attempt) newResult(outcome dag.Outcome, started, finished time.Time) *workerv1.Result {
	r := &workerv1.Result{
		Attempt: a.work.Attempt, Token: a.work.Token, UnlocksNothing: !a.work.Unlocks, Facts: a.work.Facts,
		StartedUnixUs: started.UnixMicro(), FinishedUnixUs: started.UnixMicro() + finished.Sub(started).Microseconds(),
	}
	if !a.StartedEarly() { // its claim may be answered at this moment
		if waited := started.Sub(a.GrantedAt()); waited >= noticeable {
			r.WaitedUs = waited.Microseconds()
		}
	}
	setEnd(r, outcome)
	return r
}

// noticeable is from when on the time between the answer to a claim and the start is reported.
const noticeable = time.Millisecond

// unstarted is the result of an attempt that was granted and never began.
func (a *attempt) unstarted(outcome dag.Outcome, why error) *workerv1.Result {
	now := time.Now()
	r := a.newResult(outcome, now, now)
	r.WaitedUs = 0
	switch end := r.End.(type) {
	case *workerv1.Result_Returned:
		end.Returned.Unstarted = true
	case *workerv1.Result_Cancelled:
		end.Cancelled.Unstarted = true
	}
	r.Error = why.Error()
	return r
}

// seal makes the result what the ledger says it is, sealed if the attempt has a key, and lets go of what the executor was given: thousands of
// results may wait for their receipts.
func (a *attempt) seal() {
	a.work.Inputs, a.work.Params, a.work.Schemas, a.work.Spent, a.work.Sealed = nil, nil, nil, nil, nil
	a.work.Checkpoint, a.work.Answer = nil, nil
	a.held.forget()
	if a.result == nil {
		a.result = a.unstarted(a.Result.Outcome, causes[a.Result.Why])
	}
	if endOf(a.result) != a.Result.Outcome { // it was cancelled in its last moment
		setEnd(a.result, a.Result.Outcome)
	}
	a.result.Early, a.result.Offer = a.Result.Early, a.Result.Offer
	if k := a.key.Load(); k != nil {
		if err := envelope.SealResult(k, a.result); err != nil { // a text that is no UTF-8, which clean has seen to
			a.result.Error, a.result.Detail = "the result can't be sealed", ""
		}
	}
}

// keyed takes the key that came with a grant, if one did.
func (a *attempt) keyed(raw []byte) {
	if len(raw) == 0 {
		return
	}
	k, err := attemptkey.Parse(raw)
	if err != nil {
		a.session.w.quiet.warn("key", "the key of an attempt can't be read", "error", err)
		return
	}
	a.key.Store(k)
}

// errSealed: the inputs can't be opened. Another attempt gets them anew.
var errSealed = errors.New("the sealed inputs of the attempt can't be opened")

// open opens what the executor is given. It is for the goroutine that runs the attempt.
func (a *attempt) open() error {
	if envelope.OpenWork(a.key.Load(), a.work) != nil {
		return errSealed
	}
	return nil
}

// ended is what the ledger needs to know of the result.
func (a *attempt) ended() ledger.Result {
	return ledger.Result{Outcome: endOf(a.result), Bytes: a.size(), Ran: a.ran}
}

// Errors of attempts that a worker hands back before they start. No function returns them: their texts are the errors of such
// attempts in a task's history, where tests and operators recognize them.
var (
	// ErrLate: the answer to its claim came so late that it could be timed out while it ran; see [dag.TooLate].
	ErrLate = errors.New("the answer to its claim came too late for its timeout")
	// ErrNoSlot: its slot was already released when the handover arrived.
	ErrNoSlot = errors.New("the slot that was offered was given up before the answer came")
	// ErrWaited: it was claimed ahead, and no slot was free in time: what runs takes longer than what ran before.
	ErrWaited = errors.New("no slot was free in time for what was claimed ahead")
	// ErrMissed: the message that handed it over was lost.
	ErrMissed = errors.New("the message that handed it over was lost")
)

// causes are the errors by which contexts end and unstarted attempts are reported.
var causes = [...]error{
	ledger.Cancelled: executors.ErrCancelled,
	ledger.LeaseLost: executors.ErrLeaseLost,
	ledger.Draining:  executors.ErrDraining,
	ledger.NoSlot:    ErrNoSlot,
	ledger.Missed:    ErrMissed,
	ledger.Waited:    ErrWaited,
}

// outcomeOf decides what an ended attempt is reported as. cause is why its context ended, nil if it did not; failed
// says that its executor returned an error, or did not return.
//
// A cancellation stands whatever came of the work. So does a timeout, whose point is that later is too late. Work that
// was done in spite of a drain or a lost lease is done; the coordinator's guards decide whether it still counts.
func outcomeOf(cancelled bool, cause error, failed bool) dag.Outcome {
	switch {
	case cancelled:
		return dag.OutcomeCancelled
	case errors.Is(cause, executors.ErrTimeout):
		return dag.OutcomeTimedOut
	case !failed:
		return dag.OutcomeCompleted
	case errors.Is(cause, executors.ErrDraining), errors.Is(cause, executors.ErrLeaseLost):
		return dag.OutcomeReturned
	default:
		return dag.OutcomeFailed
	}
}
