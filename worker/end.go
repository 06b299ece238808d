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
	case *workerv1.Result_Skipped:
		return dag.OutcomeSkipped
	case *workerv1.Result_Expanded:
		return dag.OutcomeExpanded
	case *workerv1.Result_Awaiting:
		return dag.OutcomeAwaiting
	case *workerv1.Result_Repeated:
		return dag.OutcomeRepeated
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
	case dag.OutcomeSkipped:
		r.End = &workerv1.Result_Skipped{Skipped: &workerv1.Skipped{}}
	case dag.OutcomeExpanded:
		r.End = &workerv1.Result_Expanded{Expanded: &workerv1.Expanded{}}
	case dag.OutcomeAwaiting:
		r.End = &workerv1.Result_Awaiting{Awaiting: &workerv1.Awaiting{}}
	case dag.OutcomeRepeated:
		r.End = &workerv1.Result_Repeated{Repeated: &workerv1.Repeated{}}
	case dag.OutcomeTimedOut:
		r.End = &workerv1.Result_TimedOut{TimedOut: &workerv1.TimedOut{}}
	default:
		r.End = &workerv1.Result_Returned{Returned: &workerv1.Returned{}}
	}
}

// setValue puts the value, or the size of one that was sent as chunks, into a result that has room for one.
func setValue(r *workerv1.Result, value []byte, size uint64) {
	switch end := r.End.(type) {
	case *workerv1.Result_Cancelled:
		end.Cancelled.Value, end.Cancelled.ValueSize = value, size
	case *workerv1.Result_Skipped:
		end.Skipped.Value, end.Skipped.ValueSize = value, size
	case *workerv1.Result_Expanded:
		end.Expanded.Tasks, end.Expanded.TasksSize = value, size
	case *workerv1.Result_Awaiting:
		end.Awaiting.Data = value
	case *workerv1.Result_Repeated:
		end.Repeated.Value, end.Repeated.ValueSize = value, size
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
	case *workerv1.Result_Skipped:
		return end.Skipped.Value
	case *workerv1.Result_Expanded:
		return end.Expanded.Tasks
	case *workerv1.Result_Awaiting:
		return end.Awaiting.Data
	case *workerv1.Result_Repeated:
		return end.Repeated.Value
	}
	return nil
}
