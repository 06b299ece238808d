package worker_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
)

// TestCatalogueWithoutACoordinatorThatTellsIt: coordinators before 0.6 know no such request. The worker's own executors do, and nobody waits.
func TestCatalogueWithoutACoordinatorThatTellsIt(t *testing.T) {
	h := newHarness(t)
	e := does(func(ctx context.Context, call *executors.Call) (any, error) {
		all, err := call.Catalogue(ctx)
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, d := range all {
			ids = append(ids, d.ID+" "+string(d.Inputs))
		}
		return ids, nil
	})
	e.description.Inputs = json.RawMessage(`{"type":"object"}`)
	h.runWorker(e)
	begin := time.Now()
	for _, task := range []int64{1, 2} {
		h.offer(work(task))
		r := h.wantResult(task, dag.OutcomeCompleted)
		if got, want := string(r.GetCompleted()), `["test {\"type\":\"object\"}"]`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}
