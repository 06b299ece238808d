package coordinator_test

import (
	"encoding/json"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// imported is a task that has ended.
func imported(id, parent string, state dag.State, result string, deps ...dag.Dependency) *dag.Task {
	t := ends(id, parent, `{"fail":"it must not run"}`, deps...)
	t.Imported = &dag.Imported{State: state, Attempts: 3}
	if result != "" {
		t.Imported.Result = json.RawMessage(result)
	}
	return t
}

func TestImportedTasksNeverRun(t *testing.T) {
	t.Parallel()
	c := outcomes(t)
	tasks := func() []*dag.Task {
		return []*dag.Task{
			ends("root", "", `{}`, edge(t, "handler", "any", ""), edge(t, "after", "any", ""), edge(t, "not", "any", "")),
			imported("done", "root", dag.Completed, `{"n":1}`),
			imported("bad", "root", dag.Failed, ""),
			imported("none", "root", dag.Skipped, `{"reason":"nothing"}`),
			imported("stopped", "root", dag.Cancelled, ""),
			imported("stuck", "root", dag.Blocked, "", dag.Dependency{Ref: "bad"}),
			ends("after", "root", `{}`, dag.Dependency{Ref: "done"}, dag.Dependency{Ref: "none"}),
			ends("handler", "root", `{}`, edge(t, "bad", "failed", "")),
			ends("not", "root", `{}`, dag.Dependency{Ref: "bad"}),
			ends("behind", "root", `{}`, dag.Dependency{Ref: "not"}),
			ends("over", "root", `{}`, edge(t, "done", "failed", "")),
		}
	}
	want := map[string]string{"root": "success", "done": "success", "bad": "failed", "none": "skipped", "stopped": "cancelled", "stuck": "blocked", "after": "success",
		"handler": "success", "not": "blocked", "behind": "blocked", "over": "skipped"}
	check := func(t *testing.T, c *cluster.Cluster, id string, st *coordinator.TreeStatus) {
		t.Helper()
		got := c.Tasks(id)
		for name, outcome := range want {
			if task := got[name]; task.State.Outcome() != outcome {
				t.Errorf("%s: got %q, want %q", name, task.State.Outcome(), outcome)
			}
		}
		if st.Completed != 6 || st.Skipped != 2 || st.Failed != 1 || st.Cancelled != 1 || st.Blocked != 3 || st.Status != dag.StatusFailed {
			t.Errorf("got %+v", *st)
		}
		if a := got["done"]; a.Attempt != 3 || !a.StartedAt.IsZero() || a.CompletedAt.IsZero() || string(a.Result) != `{"n":1}` {
			t.Errorf("got %+v", a)
		}
		if s := got["none"]; s.SkipReason != "nothing" {
			t.Errorf("skipped for %q", s.SkipReason)
		}
	}
	out := c.Submit(coordinator.SubmitOptions{}, tasks()...)
	check(t, c, "root", c.Settled(out.TreeID))
	for _, v := range verified(t, c, out.TreeID) {
		t.Errorf("%+v", v)
	}
}

func TestATreeThatHasEndedBeforeItIsSubmittedEndsAtOnce(t *testing.T) {
	t.Parallel()
	c := outcomes(t)
	out := c.Submit(coordinator.SubmitOptions{}, imported("root", "", dag.Completed, `1`), imported("a", "root", dag.Failed, ""))
	st, err := c.Service().Tree(t.Context(), out.TreeID)
	if err != nil || st.Status != dag.StatusFailed || st.Unfinished != 0 || st.FinishedAt.IsZero() {
		t.Errorf("got %+v, %v", st, err)
	}
	final := false
	for e, err := range c.Service().Watch(t.Context(), out.TreeID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == coordinator.EventFinal {
			final = true
			break
		}
	}
	if !final {
		t.Error("no final event")
	}
}

// verified is what the auditor finds of a tree.
func verified(t *testing.T, c *cluster.Cluster, tree string) (all []*coordinator.Violation) {
	t.Helper()
	for v, err := range c.Service().Verify(t.Context(), tree) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}
