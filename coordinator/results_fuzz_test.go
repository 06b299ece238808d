package coordinator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// FuzzResults: only results with their tokens are left, each of which can be stored.
func FuzzResults(f *testing.F) {
	c := deaf()
	g := own(c, 1)
	result := func(change func(*workerv1.Result)) *workerv1.Result {
		r := &workerv1.Result{Attempt: g.Attempt, Token: g.Token, End: &workerv1.Result_Completed{Completed: []byte(`{"a":1}`)}, StartedUnixUs: 1}
		change(r)
		return r
	}
	seed(f, &workerv1.ResultBatch{Version: 1, Instance: "i", Results: []*workerv1.Result{
		result(func(*workerv1.Result) {}),
		result(func(r *workerv1.Result) {
			r.End, r.Error, r.Detail = &workerv1.Result_Completed{Completed: []byte("nojson")}, "a\x00b", "x"
		}),
		result(func(r *workerv1.Result) {
			r.End, r.Offer = &workerv1.Result_CompletedInChunks{CompletedInChunks: math.MaxUint64}, true
		}),
		result(func(r *workerv1.Result) { r.OutcomeV1, r.StartedUnixUs = 99, math.MaxInt64 }),
		result(func(r *workerv1.Result) {
			r.End = &workerv1.Result_Cancelled{Cancelled: &workerv1.Cancelled{Value: []byte("[1]"), ValueSize: 5}}
		}),
		newer(result(func(*workerv1.Result) {})),
		result(func(r *workerv1.Result) {
			r.Usage = []*workerv1.Usage{{Model: "m\x00", Currency: "USD", Calls: 1, Prompt: math.MaxInt64}, {Model: "m", Cached: -1}, {Model: "m", Unpriced: 1}}
		}),
		result(func(r *workerv1.Result) { r.Token = nil }),
		{},
		result(func(r *workerv1.Result) {
			r.End, r.PartsBefore = &workerv1.Result_CompletedInChunks{CompletedInChunks: 4}, true
		}),
	}, Parts: []*workerv1.ChunkRequest{{Grant: g, Count: 1, Data: []byte("part")}, {Grant: g, Index: 9, Count: 1}, {}}},
		&workerv1.ResultBatch{Instance: "other", Results: []*workerv1.Result{result(func(*workerv1.Result) {})}})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := deaf()
		b := &workerv1.ResultBatch{}
		readable := proto.Unmarshal(data, b) == nil
		c.meet(b.Instance)
		d := c.decodeResults(t.Context(), &queue.ResultMessage{Worker: "w", Data: data})
		name, results := d.instance, d.results
		for _, part := range d.parts {
			if !slices.ContainsFunc(b.Parts, func(p *workerv1.ChunkRequest) bool {
				return dag.Key(p.GetGrant().GetAttempt().GetTask()) == part.Task && c.holds(p.Grant.Attempt, p.Grant.Token) && bytes.Equal(p.Data, part.Data)
			}) {
				t.Fatalf("got a part of task %d that nobody sent with its token", part.Task)
			}
		}
		if !readable {
			if len(results) > 0 {
				t.Fatalf("got %d results of what can't be read", len(results))
			}
			return
		}
		if name != b.Instance {
			t.Fatalf("got instance %q, want %q", name, b.Instance)
		}
		at := 0
		for _, r := range b.Results {
			if !c.holds(r.Attempt, r.Token) {
				continue
			}
			got := results[at]
			at++
			storable(t, &got, r, b.Instance)
		}
		if at != len(results) {
			t.Fatalf("got %d results, want %d", len(results), at)
		}
	})
}

// storable checks what was made of a result that instance sent.
func storable(t *testing.T, got *dag.Result, r *workerv1.Result, instance string) {
	t.Helper()
	if got.Task != dag.Key(r.Attempt.GetTask()) || got.Attempt != int32(r.Attempt.GetNumber()) {
		t.Fatalf("got result of %d/%d", got.Task, got.Attempt)
	}
	if (got.Worker == 7) != (instance == "i") {
		t.Fatalf("got worker %d for instance %q", got.Worker, instance)
	}
	if sent := cmp.Or(string(r.GetCompleted()), string(r.GetCancelled().GetValue())); len(got.Value) > 0 && (!json.Valid(got.Value) || string(got.Value) != sent) {
		t.Fatalf("got value %q of %q", got.Value, sent)
	}
	if said := r.GetEnd(); got.Outcome == dag.OutcomeCompleted && said == nil && r.OutcomeV1 != workerv1.OutcomeV1_OUTCOME_V1_COMPLETED {
		t.Fatalf("completed without a word of the worker: %v", r)
	}
	if len(got.Error) > 65<<10 || len(got.Detail) > 65<<10 || !text(got.Error) || !text(got.Detail) {
		t.Fatalf("error or detail can't be stored: %d and %d bytes", len(got.Error), len(got.Detail))
	}
	if got.Ran < 0 || got.Ran > 101*365*24*time.Hour {
		t.Fatalf("it ran for %s", got.Ran)
	}
	for i, u := range got.Used {
		if len(u.Model) > modelBytes || len(u.Currency) > currencyBytes || !text(u.Model) || !text(u.Currency) || min(u.Calls, u.Prompt, u.Completion, u.Cached, u.CostNanos, u.Unpriced) < 0 ||
			i >= mostModels || slices.ContainsFunc(got.Used[:i], func(o dag.Used) bool { return o.Model == u.Model && o.Currency == u.Currency }) {
			t.Fatalf("usage can't be stored: %+v", got.Used)
		}
	}
	if got.Chunked && len(got.Value) > 0 {
		t.Fatal("got a value and parts")
	}
}
