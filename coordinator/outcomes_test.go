package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// ending ends as its inputs say.
type ending struct{}

func (ending) Describe() executors.Description {
	return executors.Description{ID: "end_executor", Name: "End", Description: "Ends as its inputs say."}
}

func (ending) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Fail, Kind, Skip string
		Permanent, Wait  bool
		After            float64
		Value            json.RawMessage
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Permanent(err)
	}
	if in.Wait {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if in.Fail != "" {
		err := executors.WithKind(errors.New(in.Fail), in.Kind)
		if in.Permanent {
			err = executors.Permanent(err)
		}
		return nil, executors.RetryAfter(err, time.Duration(in.After*float64(time.Second)))
	}
	if in.Skip != "" {
		return executors.Skip(in.Skip, in.Value), nil
	}
	return executors.Completed(in.Value), nil
}

// ends is a task that ends as the inputs say.
func ends(id, parent, inputs string, deps ...dag.Dependency) *dag.Task {
	return &dag.Task{ID: id, Name: id, ParentRef: parent, Executor: "end_executor", Priority: dag.Normal, Inputs: json.RawMessage(inputs), Dependencies: deps}
}

// edge is a dependency as the words say.
func edge(t *testing.T, ref, accept, otherwise string) dag.Dependency {
	t.Helper()
	var words []string
	if accept != "" {
		words = strings.Split(accept, " ")
	}
	mode, ok := dag.EdgeOf(words, otherwise, false, false)
	if !ok {
		t.Fatalf("no such edge: %s, %s", accept, otherwise)
	}
	return dag.Dependency{Ref: ref, Mode: mode}
}

func outcomes(t *testing.T) *cluster.Cluster {
	return cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{ending{}} }})
}

// became is what control 2 says of a task behind one edge.
func became(outcome string, accept []string, otherwise string, optional bool) string {
	if len(accept) == 0 {
		accept = []string{"success", "skipped"}
		if optional {
			accept = []string{"any"}
		}
	}
	switch {
	case accept[0] == "any" || slices.Contains(accept, outcome):
		return "success"
	case otherwise == "block":
		return "blocked"
	case otherwise == "skip" || outcome == "success" || outcome == "skipped":
		return "skipped"
	}
	return "blocked"
}

// fiveEndings are tasks that end in each outcome, below root. The one called cancelled waits until it is cancelled.
func fiveEndings(t *testing.T) []*dag.Task {
	return []*dag.Task{
		ends("success", "root", `{"value":{"n":1}}`),
		ends("failed", "root", `{"fail":"no luck"}`),
		ends("cancelled", "root", `{"wait":true}`),
		ends("skipped", "root", `{"skip":"nothing","value":{"n":2}}`),
		ends("blocked", "root", `{}`, dag.Dependency{Ref: "failed"}),
	}
}

func TestEveryOutcomeByEveryEdge(t *testing.T) {
	t.Parallel()
	c := outcomes(t)
	tasks := append([]*dag.Task{ends("root", "", `{}`)}, fiveEndings(t)...)
	words := dag.Outcomes()
	want := map[string]string{}
	for _, outcome := range words {
		for set := range 1 << len(words) {
			var accept []string
			for i, word := range words {
				if set>>i&1 != 0 {
					accept = append(accept, word)
				}
			}
			for _, otherwise := range []string{"", "block", "skip"} {
				for _, optional := range []bool{false, true} {
					id := fmt.Sprintf("%s by %v otherwise %q optional %t", outcome, accept, otherwise, optional)
					dep := edge(t, outcome, strings.Join(accept, " "), otherwise)
					dep.Optional = optional
					tasks = append(tasks, ends(id, "root", `{}`, dep))
					want[id] = became(outcome, accept, otherwise, optional)
				}
			}
		}
	}
	out := c.Submit(coordinator.SubmitOptions{}, tasks...)
	c.Eventually("the one to be cancelled runs", func() error {
		if s := c.Tasks("root")["cancelled"].State; s != dag.Running {
			return fmt.Errorf("%s", s)
		}
		return nil
	})
	if _, err := c.Service().Cancel(t.Context(), "cancelled", coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settled(out.TreeID)
	for id, task := range c.Tasks("root") {
		if w := want[id]; w != "" && task.State.Outcome() != w {
			t.Errorf("%s: got %s, want %s", id, task.State.Outcome(), w)
		}
	}
	for _, v := range verified(t, c, out.TreeID) {
		t.Errorf("%+v", v)
	}
}

func TestFoldsTakeTheWorst(t *testing.T) {
	t.Parallel()
	c := outcomes(t)
	fold := func(id string, deps ...dag.Dependency) *dag.Task {
		return &dag.Task{ID: id, Name: id, ParentRef: "root", Priority: dag.Normal, Fold: true, Dependencies: deps}
	}
	on := func(refs ...string) (deps []dag.Dependency) {
		for _, ref := range refs {
			deps = append(deps, dag.Dependency{Ref: ref})
		}
		return deps
	}
	skips, _ := dag.EdgeOf(nil, "", false, true)
	allowed := ends("allowed", "root", `{"fail":"so what"}`)
	allowed.AllowFailure = true
	out := c.Submit(coordinator.SubmitOptions{}, ends("root", "", `{}`),
		ends("ok", "root", `{}`), ends("bad", "root", `{"fail":"no luck","kind":"connect"}`), ends("none", "root", `{"skip":"nothing"}`), allowed,
		ends("stuck", "root", `{}`, dag.Dependency{Ref: "bad"}),
		fold("all well", on("ok", "none", "allowed")...), fold("failed", on("ok", "stuck", "bad")...), fold("blocked", on("ok", "stuck")...), fold("skipped", on("none")...),
		ends("later", "root", `{"fail":"bad luck"}`, edge(t, "bad", "any", "")), fold("first", on("later", "bad")...), // not the first in its list
		fold("asked", dag.Dependency{Ref: "ok"}, dag.Dependency{Ref: "none", Mode: skips}),
		ends("behind", "root", `{}`, on("skipped")...), ends("not behind", "root", `{}`, on("failed")...))
	st := c.Settled(out.TreeID)
	if st.Status != dag.StatusFailed || st.Allowed != 1 || st.Failed != 5 || st.Skipped != 3 {
		t.Errorf("got %+v", *st)
	}
	tasks := c.Tasks("root")
	for id, want := range map[string]string{"all well": "success", "failed": "failed", "blocked": "blocked", "skipped": "skipped", "asked": "skipped", "behind": "success", "not behind": "blocked"} {
		if got := tasks[id].State.Outcome(); got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
	for _, id := range []string{"failed", "first"} {
		if f := tasks[id]; f.Error != "bad: no luck" {
			t.Errorf("the fold %q failed with %q", id, f.Error)
		}
	}
	if tasks["asked"].SkipReason != "nothing" || tasks["skipped"].SkipReason != "dependency_skipped" || tasks["bad"].ErrorKind != "connect" {
		t.Errorf("skipped for %q and %q; failed as %q", tasks["asked"].SkipReason, tasks["skipped"].SkipReason, tasks["bad"].ErrorKind)
	}
	if in := string(tasks["behind"].Inputs); in != `{"skipped":{}}` && !strings.Contains(in, `"skipped":`) {
		t.Errorf("inputs of what is behind a skipped fold: %s", in)
	}
	for _, v := range verified(t, c, out.TreeID) {
		t.Errorf("%+v", v)
	}
}

func TestCompletedTasksAreKept(t *testing.T) {
	t.Parallel()
	c := outcomes(t)
	out := c.Submit(coordinator.SubmitOptions{}, ends("root", "", `{}`), ends("bad", "root", `{"fail":"no luck"}`), ends("handler", "root", `{}`, edge(t, "bad", "failed", "")),
		ends("own", "root", `{"skip":"nothing"}`, edge(t, "bad", "failed", "")), ends("judged", "root", `{}`, edge(t, "bad", "success", "skip")), ends("after", "root", `{}`, dag.Dependency{Ref: "bad"}))
	c.Settled(out.TreeID)
	for _, keep := range []bool{true, false} {
		before := c.Tasks("root")
		if _, err := c.Service().Execute(t.Context(), "root", coordinator.ExecuteOptions{KeepCompleted: keep}); err != nil {
			t.Fatal(err)
		}
		c.Settled(out.TreeID)
		after := c.Tasks("root")
		for id, want := range map[string]struct {
			state dag.State
			again bool
		}{"handler": {dag.Completed, !keep}, "own": {dag.Skipped, !keep}, "judged": {dag.Skipped, true}, "after": {dag.Blocked, false}} {
			if got := after[id]; (got.Attempt > before[id].Attempt) != want.again || got.State != want.state {
				t.Errorf("keep %t: %s is %s at attempt %d, and was at %d", keep, id, got.State, got.Attempt, before[id].Attempt)
			}
		}
	}
}
