package coordinator

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/envelope"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// TestResultsThatCannotBeOpened fail their attempts, as their tasks' policies have it; what is not sealed counts, as of an attempt that was claimed
// before the cluster sealed.
func TestResultsThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	c := deaf()
	sealedBy := func(task int64, number uint32) *workerv1.Result {
		r := &workerv1.Result{Attempt: &workerv1.Attempt{Task: task, Number: number}, End: &workerv1.Result_Completed{Completed: []byte(`"value"`)}}
		if err := envelope.SealResult(c.tokens.KeyIn(0, dag.Key(task), int32(number)), r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, row := range []struct {
		fact string
		sent func(*workerv1.Result)
		want dag.Outcome
	}{
		{"whole", func(*workerv1.Result) {}, dag.OutcomeCompleted},
		{"not sealed", func(r *workerv1.Result) {
			r.Sealed, r.End = nil, &workerv1.Result_Completed{Completed: []byte(`"value"`)}
		}, dag.OutcomeCompleted},
		{"cut", func(r *workerv1.Result) { r.Sealed = r.Sealed[:len(r.Sealed)-1] }, dag.OutcomeFailed},
		{"another end", func(r *workerv1.Result) { r.End = &workerv1.Result_CompletedInChunks{CompletedInChunks: 7} }, dag.OutcomeFailed},
		{"an earlier attempt's", func(r *workerv1.Result) { r.Sealed = sealedBy(1, 1).Sealed }, dag.OutcomeFailed},
		{"another task's", func(r *workerv1.Result) { r.Sealed = sealedBy(2, 2).Sealed }, dag.OutcomeFailed},
		{"of a generation that nobody knows", func(r *workerv1.Result) { r.Sealed[4] = 9 }, dag.OutcomeFailed},
	} {
		r := sealedBy(1, 2)
		r.Token = c.tokens.Of(1, 2)
		row.sent(r)
		data, err := proto.Marshal(&workerv1.ResultBatch{Instance: "i", Results: []*workerv1.Result{r}})
		if err != nil {
			t.Fatal(err)
		}
		d := c.decodeResults(t.Context(), &queue.ResultMessage{Worker: "w", Data: data})
		if len(d.results) != 1 || d.results[0].Outcome != row.want || d.results[0].Permanent {
			t.Errorf("%s: got %+v", row.fact, d.results)
			continue
		}
		got := d.results[0]
		if opened := string(got.Value) == `"value"`; opened != (row.want == dag.OutcomeCompleted) || !opened && !strings.Contains(got.Error, "can't be opened") {
			t.Errorf("%s: got the value %s and the error %q", row.fact, got.Value, got.Error)
		}
	}
}

// TestPartsThatCannotBeOpened are refused for good.
func TestPartsThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	c := deaf()
	for fact, change := range map[string]func(*workerv1.ChunkRequest){
		"whole": func(*workerv1.ChunkRequest) {}, "moved": func(p *workerv1.ChunkRequest) { p.Index = 1 }, "cut": func(p *workerv1.ChunkRequest) { p.Data = p.Data[:9] },
	} {
		p := &workerv1.ChunkRequest{Grant: own(c, 1), Count: 2, Data: []byte("part")}
		envelope.SealPart(c.tokens.KeyIn(0, 1, 1), p)
		change(p)
		part, refusal, final := c.part(t.Context(), p)
		if whole := fact == "whole"; whole != (refusal == "") || whole == final || whole && string(part.Data) != "part" {
			t.Errorf("%s: got %q, %q, final %v", fact, part.Data, refusal, final)
		}
	}
}
