package coordinator

import (
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// unknownEnd is the error of an attempt whose worker reports an end that this coordinator does not know. It counts
// against the task's policy like any failure: one that were handed back instead would run and end so for ever.
const unknownEnd = "the worker reports an end of the attempt that this coordinator does not know; the worker may be newer than the coordinator"

// readEnd puts into res how the attempt of r ended, and its value. A value that is not JSON fails the attempt. Of names
// that an object has several times the last is taken: workers see to that, but need not be ours.
func readEnd(res *dag.Result, r *workerv1.Result) {
	var value []byte
	switch end := r.End.(type) {
	case *workerv1.Result_Completed:
		res.Outcome, value = dag.OutcomeCompleted, end.Completed
	case *workerv1.Result_CompletedInChunks:
		res.Outcome, res.Chunked = dag.OutcomeCompleted, end.CompletedInChunks > 0
	case *workerv1.Result_Failed:
		res.Outcome, res.Permanent = dag.OutcomeFailed, end.Failed.GetPermanent()
		res.RetryAfter = time.Duration(min(max(0, end.Failed.GetRetryAfterMs()), dag.MaxRetryAfter.Milliseconds())) * time.Millisecond
	case *workerv1.Result_TimedOut:
		res.Outcome = dag.OutcomeTimedOut
	case *workerv1.Result_Cancelled: // a task that we cancelled takes what comes along; another is handed back
		res.Outcome, value = dag.OutcomeReturned, end.Cancelled.GetValue()
		res.Chunked = end.Cancelled.GetValueSize() > 0 && len(value) == 0
	case *workerv1.Result_Returned:
		res.Outcome = dag.OutcomeReturned
	default:
		res.Outcome, res.Error = dag.OutcomeFailed, unknownEnd
	}
	if r.OutcomeV1 != workerv1.OutcomeV1_OUTCOME_V1_UNSPECIFIED {
		readEndV1(res, r)
	}
	if len(value) == 0 || string(value) == "null" {
		return
	}
	value, err := rawjson.LastNames(value)
	if err != nil {
		res.Outcome, res.Permanent, res.Error = dag.OutcomeFailed, true, "the result is "+err.Error()
		return
	}
	res.Value = value
}

// readEndV1 corrects what readEnd made of a result of version 1, whose value is always in the place of a completion's.
func readEndV1(res *dag.Result, r *workerv1.Result) {
	res.Error, res.Permanent = clean(r.Error), r.PermanentV1
	switch r.OutcomeV1 {
	case workerv1.OutcomeV1_OUTCOME_V1_COMPLETED:
		res.Outcome = dag.OutcomeCompleted
	case workerv1.OutcomeV1_OUTCOME_V1_FAILED:
		res.Outcome = dag.OutcomeFailed
	case workerv1.OutcomeV1_OUTCOME_V1_TIMED_OUT:
		res.Outcome = dag.OutcomeTimedOut
	default:
		res.Outcome = dag.OutcomeReturned
	}
}
