package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// asker is an executor whose result are the executors of the cluster, as it is told.
type asker struct{ id string }

func (e *asker) Describe() executors.Description {
	return executors.Description{ID: e.id, Name: e.id, Type: "go"}
}

func (e *asker) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	all, err := call.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	again, err := call.Catalogue(ctx)
	if err != nil || len(again) != len(all) {
		return nil, fmt.Errorf("the second time: %d executors, %w", len(again), err)
	}
	ids := map[string]string{}
	for _, d := range all {
		ids[d.ID] = fmt.Sprintf("%d %d %s", len(d.Inputs), len(d.Output)+len(d.Examples), d.Description)
	}
	return executors.Completed(ids), nil
}

// TestWorkersAreToldTheCatalogue: what live workers can run, of the whole cluster, in pages, without what is large.
func TestWorkersAreToldTheCatalogue(t *testing.T) {
	t.Parallel()
	schema := func(size int) json.RawMessage {
		return json.RawMessage(`{"description": "` + strings.Repeat("x", size-19) + `"}`)
	}
	all := []executors.Executor{&asker{"asker"}}
	for i := range 20 { // more than a page
		all = append(all, &told{executors.Description{ID: fmt.Sprintf("large-%02d", i), Name: "n", Type: "go", Description: "d", Inputs: schema(30 << 10), Output: schema(9 << 10)}})
	}
	all = append(all, &told{executors.Description{ID: "too-large", Name: "n", Type: "go", Description: "its inputs are not told", Inputs: schema(40 << 10)}})
	c := cluster.Start(t, cluster.Options{Workers: 1, Executors: func() []executors.Executor { return all }})
	for _, e := range all { // they come in any order
		shown(c, e.Describe().ID, workersOf(1))
	}
	shown(c, "noop_executor", workersOf(1))
	tree := c.Submit(coordinator.SubmitOptions{}, task("r", "asker", `{}`)).TreeID
	c.Settled(tree)
	got, asked := map[string]string{}, c.Tasks(tree)["r"]
	if err := json.Unmarshal(asked.Result, &got); err != nil {
		t.Logf("the task ended with %q", asked.Error)
		t.Fatal(err)
	}
	for i := range 20 {
		if id := fmt.Sprintf("large-%02d", i); got[id] != "30720 0 d" {
			t.Errorf("%s is told as %q", id, got[id])
		}
	}
	if got["too-large"] != "0 0 its inputs are not told" || got["noop_executor"] == "" || got["asker"] == "" {
		t.Errorf("got %v", slices.Sorted(func(yield func(string) bool) {
			for id := range got {
				if !yield(id) {
					return
				}
			}
		}))
	}
	if _, off := got["command_executor"]; off {
		t.Error("an executor that is off everywhere is told")
	}
}
