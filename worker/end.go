package worker

import (
	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// endOf is how a result says that the attempt ended.
func endOf(r *workerv1.Result) dag.Outcome {
	switch r.End.(type) {
	case *workerv1.Result_Completed, *workerv1.Result_CompletedInChunks:
		return dag.OutcomeCompleted
	case *workerv1.Result_Failed:
		return dag.OutcomeFailed
	case *workerv1.Result_Cancelled:
		return dag.OutcomeCancelled
	case *workerv1.Result_TimedOut:
		return dag.OutcomeTimedOut
	default:
		return dag.OutcomeReturned
	}
}

// setEnd says in a result how the attempt ended. A value that it holds goes along with a cancellation, and is dropped
// with any other end. A failure is not permanent.
func setEnd(r *workerv1.Result, o dag.Outcome) {
	switch o {
	case dag.OutcomeCompleted:
		r.End = &workerv1.Result_Completed{}
	case dag.OutcomeFailed:
		r.End = &workerv1.Result_Failed{Failed: &workerv1.Failed{}}
	case dag.OutcomeCancelled:
		cancelled := &workerv1.Cancelled{}
		switch end := r.End.(type) {
		case *workerv1.Result_Completed:
			cancelled.Value = end.Completed
		case *workerv1.Result_CompletedInChunks:
			cancelled.ValueSize = end.CompletedInChunks
		}
		r.End = &workerv1.Result_Cancelled{Cancelled: cancelled}
	case dag.OutcomeTimedOut:
		r.End = &workerv1.Result_TimedOut{TimedOut: &workerv1.TimedOut{}}
	default:
		r.End = &workerv1.Result_Returned{Returned: &workerv1.Returned{}}
	}
}

// setValue puts the value, or the size of one that was sent as chunks, into a result that is completed or cancelled.
func setValue(r *workerv1.Result, value []byte, size uint64) {
	switch end := r.End.(type) {
	case *workerv1.Result_Cancelled:
		end.Cancelled.Value, end.Cancelled.ValueSize = value, size
	case *workerv1.Result_Completed:
		if end.Completed = value; size > 0 {
			r.End = &workerv1.Result_CompletedInChunks{CompletedInChunks: size}
		}
	}
}

// valueOf is the value that travels in a result.
func valueOf(r *workerv1.Result) []byte {
	switch end := r.End.(type) {
	case *workerv1.Result_Completed:
		return end.Completed
	case *workerv1.Result_Cancelled:
		return end.Cancelled.Value
	}
	return nil
}
