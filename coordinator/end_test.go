package coordinator

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// newer makes a result whose end a worker of a later version sent: a message in a field that is reserved for it.
func newer(r *workerv1.Result) *workerv1.Result {
	r.End = nil
	r.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 23, protowire.BytesType), []byte("\x08\x01")))
	return r
}

func TestEndsOnTheWire(t *testing.T) {
	t.Parallel()
	cancelled := func(value string, size uint64) *workerv1.Result_Cancelled {
		return &workerv1.Result_Cancelled{Cancelled: &workerv1.Cancelled{Value: []byte(value), ValueSize: size}}
	}
	// In version 1 a value has the place of a completion's whatever the outcome.
	v1 := func(outcome workerv1.OutcomeV1, r *workerv1.Result) *workerv1.Result {
		r.OutcomeV1 = outcome
		return r
	}
	value := &workerv1.Result_Completed{Completed: []byte("[1]")}
	for _, row := range []struct {
		fact string
		sent *workerv1.Result
		want dag.Result
	}{
		{"completed", &workerv1.Result{End: value}, dag.Result{Outcome: dag.OutcomeCompleted, Value: []byte("[1]")}},
		{"completed with null", &workerv1.Result{End: &workerv1.Result_Completed{}}, dag.Result{Outcome: dag.OutcomeCompleted}},
		{"completed with what is not JSON", &workerv1.Result{End: &workerv1.Result_Completed{Completed: []byte("[")}},
			dag.Result{Outcome: dag.OutcomeFailed, Permanent: true, Error: "the result is not JSON"}},
		{"completed with a name twice", &workerv1.Result{End: &workerv1.Result_Completed{Completed: []byte(`{"a":1,"b":2,"a":3}`)}},
			dag.Result{Outcome: dag.OutcomeCompleted, Value: []byte(`{"b":2,"a":3}`)}},
		{"completed with what nests too deep", &workerv1.Result{End: &workerv1.Result_Completed{Completed: []byte(strings.Repeat("[", 9999))}},
			dag.Result{Outcome: dag.OutcomeFailed, Permanent: true, Error: "the result is nested deeper than 256 levels"}},
		{"completed in chunks", &workerv1.Result{End: &workerv1.Result_CompletedInChunks{CompletedInChunks: 9}},
			dag.Result{Outcome: dag.OutcomeCompleted, Chunked: true}},
		{"completed in no chunks", &workerv1.Result{End: &workerv1.Result_CompletedInChunks{}}, dag.Result{Outcome: dag.OutcomeCompleted}},
		{"failed", &workerv1.Result{End: &workerv1.Result_Failed{}, Error: "no", Detail: "stack"},
			dag.Result{Outcome: dag.OutcomeFailed, Error: "no", Detail: "stack"}},
		{"failed for good", &workerv1.Result{End: &workerv1.Result_Failed{Failed: &workerv1.Failed{Permanent: true}}},
			dag.Result{Outcome: dag.OutcomeFailed, Permanent: true}},
		{"failed until later", &workerv1.Result{End: &workerv1.Result_Failed{Failed: &workerv1.Failed{RetryAfterMs: 1500}}},
			dag.Result{Outcome: dag.OutcomeFailed, RetryAfter: 1500 * time.Millisecond}},
		{"failed until for ever", &workerv1.Result{End: &workerv1.Result_Failed{Failed: &workerv1.Failed{RetryAfterMs: math.MaxInt64}}},
			dag.Result{Outcome: dag.OutcomeFailed, RetryAfter: dag.MaxRetryAfter}},
		{"failed until the past", &workerv1.Result{End: &workerv1.Result_Failed{Failed: &workerv1.Failed{RetryAfterMs: -1}}},
			dag.Result{Outcome: dag.OutcomeFailed}},
		{"timed out", &workerv1.Result{End: &workerv1.Result_TimedOut{}, Error: "late"}, dag.Result{Outcome: dag.OutcomeTimedOut, Error: "late"}},
		{"returned", &workerv1.Result{End: &workerv1.Result_Returned{}}, dag.Result{Outcome: dag.OutcomeReturned}},
		{"cancelled with what was done", &workerv1.Result{End: cancelled("[1]", 0)}, dag.Result{Outcome: dag.OutcomeReturned, Value: []byte("[1]")}},
		{"cancelled with chunks", &workerv1.Result{End: cancelled("", 9)}, dag.Result{Outcome: dag.OutcomeReturned, Chunked: true}},
		{"an end of a later version", newer(&workerv1.Result{}), dag.Result{Outcome: dag.OutcomeFailed, Error: unknownEnd}},
		{"no end", &workerv1.Result{Error: "lost"}, dag.Result{Outcome: dag.OutcomeFailed, Error: unknownEnd}},

		{"version 1, completed", v1(1, &workerv1.Result{End: value}), dag.Result{Outcome: dag.OutcomeCompleted, Value: []byte("[1]")}},
		{"version 1, completed with null", v1(1, &workerv1.Result{}), dag.Result{Outcome: dag.OutcomeCompleted}},
		{"version 1, completed in chunks", v1(1, &workerv1.Result{End: &workerv1.Result_CompletedInChunks{CompletedInChunks: 9}}),
			dag.Result{Outcome: dag.OutcomeCompleted, Chunked: true}},
		{"version 1, failed for good", v1(2, &workerv1.Result{PermanentV1: true, Error: "no"}),
			dag.Result{Outcome: dag.OutcomeFailed, Permanent: true, Error: "no"}},
		{"version 1, cancelled with what was done", v1(3, &workerv1.Result{End: value}), dag.Result{Outcome: dag.OutcomeReturned, Value: []byte("[1]")}},
		{"version 1, returned", v1(4, &workerv1.Result{}), dag.Result{Outcome: dag.OutcomeReturned}},
		{"version 1, timed out", v1(5, &workerv1.Result{}), dag.Result{Outcome: dag.OutcomeTimedOut}},
	} {
		data, err := proto.Marshal(row.sent)
		if err != nil {
			t.Fatal(err)
		}
		r := &workerv1.Result{}
		if err := proto.Unmarshal(data, r); err != nil {
			t.Fatal(err)
		}
		got := plainResult(r, 0, 0, instance{})
		if got.Outcome != row.want.Outcome || got.Permanent != row.want.Permanent || got.Chunked != row.want.Chunked ||
			got.Error != row.want.Error || got.Detail != row.want.Detail || string(got.Value) != string(row.want.Value) {
			t.Errorf("%s: got %+v, want %+v", row.fact, got, row.want)
		}
	}
}
