package executors_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

type ending struct {
	How string `json:"how"`
}

// ends ends as it is told.
func ends(ctx context.Context, in ending) (*executors.Outcome, error) {
	switch in.How {
	case "skip":
		return executors.Skip("no_files", map[string]int{"seen": 3}), nil
	case "expand":
		return executors.Expanding(executors.Expand{Tasks: json.RawMessage(`[{"id":"a","name":"a"}]`), Collect: "map"}), nil
	case "await":
		return executors.Awaiting(executors.Await{Kind: executors.AwaitSignal, Name: "go", Resume: true}), nil
	case "busy":
		return nil, executors.RetryAfter(executors.WithKind(errors.New("busy"), "executor"), time.Minute)
	case "slow":
		<-ctx.Done()
		return executors.Partial("half"), ctx.Err()
	}
	return executors.Completed(in.How), nil
}

func TestAFunctionMayEndOtherwise(t *testing.T) {
	conformance.Test(t, func(*testing.T) executors.Executor { return executors.Func("ends", ends) }, conformance.Features{
		Quick: `{"how": "well"}`, Slow: `{"how": "slow"}`,
		Missing: map[string]string{`{}`: "[ends] how"},
		Ends: map[string]executors.Kind{
			`{"how": "skip"}`: executors.KindSkipped, `{"how": "expand"}`: executors.KindExpanding, `{"how": "await"}`: executors.KindAwaiting,
		},
	})
}

// TestWhatIsNoOutcome: the suite finds what a worker would fail an attempt for.
func TestWhatIsNoOutcome(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*executors.Outcome{
		"no reason": executors.Skip("", nil), "two words": executors.Skip("two words", nil), "no JSON": executors.Completed(func() {}),
		"no list": executors.Expanding(executors.Expand{Tasks: json.RawMessage(`{}`)}), "nothing": executors.Expanding(executors.Expand{}),
		"items alone": executors.Expanding(executors.Expand{Items: json.RawMessage(`[]`)}), "collect": executors.Expanding(executors.Expand{Tasks: json.RawMessage(`[]`), Collect: "all"}),
		"no kind": executors.Awaiting(executors.Await{}), "no name": executors.Awaiting(executors.Await{Kind: executors.AwaitSignal}),
		"no object": executors.Awaiting(executors.Await{Kind: executors.AwaitApproval, Data: 5}),
	} {
		if conformance.Valid(o) == nil {
			t.Errorf("%s: nothing is wrong with it", name)
		}
	}
	if err := conformance.Valid(nil); err != nil {
		t.Errorf("no outcome at all stands for null: %v", err)
	}
}
