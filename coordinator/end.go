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
		res.Outcome, res.Kind = dag.OutcomeTimedOut, dag.KindTimeout
	case *workerv1.Result_Skipped:
		res.Outcome, value = dag.OutcomeSkipped, end.Skipped.GetValue()
		res.Chunked = end.Skipped.GetValueSize() > 0 && len(value) == 0
		if !res.Chunked {
			value = dag.SkippedResult(skipReason(end.Skipped.GetReason()), value)
		}
	case *workerv1.Result_Expanded:
		res.Outcome, value = dag.OutcomeExpanded, end.Expanded.GetTasks()
		res.Chunked = end.Expanded.GetTasksSize() > 0 && len(value) == 0
	case *workerv1.Result_Awaiting:
		res.Outcome = dag.OutcomeAwaiting
		readAwait(res, end.Awaiting)
	case *workerv1.Result_Repeated:
		res.Outcome, value = dag.OutcomeRepeated, end.Repeated.GetValue()
		res.Chunked = end.Repeated.GetValueSize() > 0 && len(value) == 0
		res.After.Delay = time.Duration(min(max(0, end.Repeated.GetDelayMs()), dag.MaxDuration.Milliseconds())) * time.Millisecond
	case *workerv1.Result_Cancelled: // a task that we cancelled takes what comes along; another is handed back
		res.Outcome, value = dag.OutcomeReturned, end.Cancelled.GetValue()
		res.Chunked = end.Cancelled.GetValueSize() > 0 && len(value) == 0
	case *workerv1.Result_Returned:
		res.Outcome = dag.OutcomeReturned
	default:
		res.Outcome, res.Error = dag.OutcomeFailed, unknownEnd
	}
	if k := dag.Kind(r.Kind); k.Valid() && res.Kind == "" {
		res.Kind = k
	}
	readOutputs(res, r.Outputs)
	if r.OutcomeV1 != workerv1.OutcomeV1_OUTCOME_V1_UNSPECIFIED {
		readEndV1(res, r)
	}
	if len(value) == 0 || string(value) == "null" {
		return
	}
	value, err := rawjson.LastNames(value)
	if err != nil {
		res.Outcome, res.Permanent, res.Kind, res.Error = dag.OutcomeFailed, true, dag.KindOutput, "the result is "+err.Error()
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

// skipReason is the reason of a skip, as a worker reports it.
func skipReason(word string) string {
	if !dag.Kind(word).Valid() {
		return "unknown"
	}
	return word
}

// readAwait puts into res what its attempt waits for. A wait that can't be stored fails the attempt.
func readAwait(res *dag.Result, end *workerv1.Awaiting) {
	a := dag.Await{Kind: dag.AwaitKind(end.GetKind()), Name: end.GetName(), Resume: end.GetResume(), Data: end.GetData(),
		Timeout: time.Duration(min(max(0, end.GetTimeoutMs()), dag.MaxDuration.Milliseconds())) * time.Millisecond}
	if us := end.GetUntilUnixUs(); us > 0 {
		a.Until = time.UnixMicro(us)
	}
	fail := func(why string) {
		res.Outcome, res.Permanent, res.Kind, res.Error = dag.OutcomeFailed, true, dag.KindOutput, "the wait that the worker reports "+why
	}
	switch {
	case a.Kind < dag.AwaitSignal || a.Kind > dag.AwaitTree:
		fail("is of a kind that this coordinator does not know")
		return
	case len(a.Data) > dag.MaxAwaitData:
		fail("carries too much")
		return
	case !dag.Storable(a.Name) || len(a.Name) > dag.DefaultLimits.IDChars:
		fail("has a name that can't be stored")
		return
	}
	if len(a.Data) > 0 {
		data, err := rawjson.LastNames(a.Data)
		if err != nil {
			fail("is " + err.Error())
			return
		}
		a.Data = data
	}
	res.After.Await = a
}

// readOutputs puts into res the values that its task names. Outputs that can't be stored fail the attempt.
func readOutputs(res *dag.Result, outputs []byte) {
	if len(outputs) == 0 {
		return
	}
	outputs, err := rawjson.LastNames(outputs)
	if err != nil || outputs[0] != '{' || len(outputs) > dag.DefaultLimits.PayloadBytes {
		res.Outcome, res.Permanent, res.Kind, res.Error = dag.OutcomeFailed, true, dag.KindOutput, "the outputs are no object that can be stored"
		return
	}
	res.Outputs = outputs
}
