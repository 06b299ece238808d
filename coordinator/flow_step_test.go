package coordinator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// runOf begins a run of a text, or of the registered flow of that id.
func runOf(t *testing.T, c *cluster.Cluster, spec coordinator.FlowRunSpec) *coordinator.FlowRunInfo {
	t.Helper()
	run, err := c.Service().RunFlow(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func endOf(t *testing.T, c *cluster.Cluster, run *coordinator.FlowRunInfo) *coordinator.FlowRunInfo {
	t.Helper()
	c.For(t).Settled(run.TreeID)
	out, err := c.Service().FlowRun(t.Context(), run.FlowID+"/"+run.RunID)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// flowRunsOf are the runs of a flow, the newest first.
func flowRunsOf(t *testing.T, c *cluster.Cluster, flow string) []*coordinator.FlowRunInfo {
	t.Helper()
	list, err := c.Service().FlowRuns(t.Context(), coordinator.FlowRunFilter{Flow: flow})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// TestStepsThatRunFlows: a step begins one run of a flow for each of its attempts, as its owner, and ends as that does: with what its jobs have come to, or with its failure.
func TestStepsThatRunFlows(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 2})
	for _, text := range []string{
		`flow: {id: child, env: {REGION: none}, parameters: {n: {type: integer, required: true}, day: {default: sunday}}}
jobs:
- {id: probe, steps: [{id: s, type: noop}]}
- {id: load, steps: [{id: s, type: end_executor, inputs: {value: {n: "{{params.n}}", at: "{{params.day}} {{env.REGION}}"}}, outputs: {n: "{{result.n}}", at: "{{result.at}}"}}]}`,
		`flow: {id: failing}
jobs: [{id: j, steps: [{id: s, type: end_executor, inputs: {fail: no luck}}]}]`,
		`flow: {id: waiting}
jobs: [{id: j, steps: [{id: s, type: end_executor, inputs: {wait: true}}]}]`,
		`flow: {id: ring_a}
jobs: [{id: j, steps: [{id: s, type: flow, inputs: {flow: ring_b}}]}]`,
		`flow: {id: ring_b}
jobs: [{id: j, steps: [{id: s, type: flow, inputs: {flow: ring_a}}]}]`,
	} {
		register(t, c, text)
	}
	if _, err := c.Service().ApplyFlow(t.Context(), coordinator.FlowSpec{Text: []byte("flow: {id: bobs}\njobs: [{id: j, steps: [{id: s, type: noop}]}]"), UserID: "bob"}); err != nil {
		t.Fatal(err)
	}
	parent := func(id, call string) coordinator.FlowRunSpec {
		return coordinator.FlowRunSpec{UserID: "alice", Text: []byte("flow: {id: " + id + ", parameters: {day: {default: monday}}}\njobs: [{id: p, steps: [{id: s, type: end_executor, inputs: {value: {n: 3, evil: {secret: x}}}}, {id: call, type: flow, " + call + "}]}]")}
	}

	t.Run("success", func(t *testing.T) {
		t.Parallel()
		out := endOf(t, c, runOf(t, c, parent("well", `inputs: {flow: child, version: 1, params: {n: "{{steps.s.n}}", day: "{{params.day}}"}, env: {REGION: eu}}, outputs: {n: "{{result.jobs.load.outputs.n}}", at: "{{result.jobs.load.outputs.at}}", was: "{{result.outcome}} {{result.jobs.probe.status}}", run: "{{result.run_id}}"}`)))
		runs := flowRunsOf(t, c, "child")
		i := slices.IndexFunc(runs, func(r *coordinator.FlowRunInfo) bool { return `"`+r.RunID+`"` == string(out.Jobs[0].Outputs["run"]) })
		if i < 0 || out.Outcome != "SUCCESS" || string(out.Jobs[0].Outputs["n"]) != "3" || string(out.Jobs[0].Outputs["at"]) != `"monday eu"` || string(out.Jobs[0].Outputs["was"]) != `"SUCCESS SUCCESS"` {
			t.Fatalf("it ended as %s with %s: %+v", out.Outcome, out.Jobs[0].Outputs, out.Jobs[0])
		}
		task, err := c.Service().Task(t.Context(), taskOfStep(t, c, out, "p__call").ID)
		if err != nil {
			t.Fatal(err)
		}
		if run := runs[i]; run.UserID != "alice" || run.Version != 1 || run.CreatedBy != "task "+task.ID || run.TreeID != task.SubtreeID {
			t.Errorf("the run is %+v, of %+v", run, task)
		}
		if want := `{"run_id":"` + runs[i].RunID + `","flow_id":"child","outcome":"SUCCESS","jobs":{"load":{"status":"SUCCESS","outputs":{"at":"monday eu","n":3}},"probe":{"status":"SUCCESS","outputs":{}}}}`; string(task.Result) != want {
			t.Errorf("the result is %s, want %s", task.Result, want)
		}
		sound(t, c, out.TreeID)
		sound(t, c, runs[i].TreeID)
	})
	t.Run("one job, and nobody waits", func(t *testing.T) {
		t.Parallel()
		out := endOf(t, c, runOf(t, c, parent("detached", `inputs: {flow: child, params: {n: 1}, job: probe, wait: no}, outputs: {flow: "{{result.flow_id}}", run: "{{result.run_id}}"}`)))
		if out.Outcome != "SUCCESS" || string(out.Jobs[0].Outputs["flow"]) != `"child"` {
			t.Fatalf("it ended as %s: %+v", out.Outcome, out.Jobs[0])
		}
		run, err := c.Service().FlowRun(t.Context(), "child/"+strings.Trim(string(out.Jobs[0].Outputs["run"]), `"`))
		if err != nil {
			t.Fatal(err)
		}
		if run = endOf(t, c, run); run.Jobs[1].ReasonCode != "not_selected" || run.Jobs[0].Status != "SUCCESS" {
			t.Errorf("the run is %+v", run)
		}
	})
	t.Run("failure, and a retry", func(t *testing.T) {
		t.Parallel()
		out := endOf(t, c, runOf(t, c, parent("fails", `inputs: {flow: failing}, retry: {max_attempts: 2}`)))
		step := out.Jobs[0].Steps[1]
		if runs := flowRunsOf(t, c, "failing"); len(runs) != 2 || runs[0].RunID == runs[1].RunID || runs[0].Outcome != "FAILED" || out.Outcome != "FAILED" || step.Attempts != 2 || step.ErrorKind != "child" || !strings.Contains(step.Error, "no luck") {
			t.Errorf("%d runs; the step is %+v", len(runs), step)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		run := runOf(t, c, parent("stops", `inputs: {flow: waiting}`))
		tree := subtreeOf(t, c, taskOfStep(t, c, run, "p__call").ID)
		if _, err := c.Service().CancelFlowRun(t.Context(), run.FlowID+"/"+run.RunID, "enough"); err != nil {
			t.Fatal(err)
		}
		c.For(t).Settled(tree.ID)
		if out, runs := endOf(t, c, run), flowRunsOf(t, c, "waiting"); out.Outcome != "CANCELLED" || len(runs) != 1 || runs[0].Outcome != "CANCELLED" {
			t.Errorf("it is %+v, of %+v", out, runs)
		}
	})
	t.Run("circle", func(t *testing.T) {
		t.Parallel()
		out := endOf(t, c, runOf(t, c, coordinator.FlowRunSpec{Flow: "ring_a"}))
		if a, b := flowRunsOf(t, c, "ring_a"), flowRunsOf(t, c, "ring_b"); len(a) != 1 || len(b) != 1 || out.Outcome != "FAILED" || !strings.Contains(out.Jobs[0].Steps[0].Error, "flow: runs itself: ring_a runs ring_b runs ring_a") {
			t.Errorf("%d and %d runs; %+v", len(a), len(b), out.Jobs[0])
		}
	})
	for name, row := range map[string]struct{ call, fault string }{
		"unknown":                   {`inputs: {flow: nowhere}`, `flow: there is no flow "nowhere", or no such version`},
		"unknown version":           {`inputs: {flow: child, version: 9, params: {n: 1}}`, `flow: there is no flow "child", or no such version`},
		"others'":                   {`inputs: {flow: bobs}`, `flow: there is no flow "bobs", or no such version`},
		"a parameter of a bad type": {`inputs: {flow: child, params: {n: many}}`, `n`},
		"no job":                    {`inputs: {flow: child, params: {n: 1}, job: zzz}`, "zzz"},
		"a result names a secret":   {`inputs: {flow: child, params: {n: 1, day: "{{steps.s.evil}}"}}`, "params: name a secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := endOf(t, c, runOf(t, c, parent("x"+strings.Map(func(r rune) rune {
				if r == ' ' || r == '\'' {
					return '_'
				}
				return r
			}, name), row.call)))
			if step := out.Jobs[0].Steps[1]; out.Outcome != "FAILED" || step.ErrorKind != "input" || !strings.Contains(step.Error, row.fault) {
				t.Errorf("it is %+v, want %q", step, row.fault)
			}
			if id := taskOfStep(t, c, out, "p__call").SubtreeID; id != "" {
				t.Errorf("it began %s", id)
			}
		})
	}
}

// taskOfStep is the task that a step of a run is.
func taskOfStep(t *testing.T, c *cluster.Cluster, run *coordinator.FlowRunInfo, name string) *coordinator.Task {
	t.Helper()
	page, err := c.Service().Tasks(t.Context(), coordinator.TaskFilter{TreeOf: run.TreeID, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range page.Items {
		if task.Name == name {
			return task
		}
	}
	t.Fatalf("%s has no task %s", run.TreeID, name)
	return nil
}

// TestWhoMayRunFlowsInSteps: who may see no flows can't have a task run one, in whatever way it submits the task.
func TestWhoMayRunFlowsInSteps(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	register(t, c, "flow: {id: seen}\njobs: [{id: j, steps: [{id: s, type: noop}]}]")
	blind := errors.New("may see no flows")
	of := coordinator.NewAccess(c.Service(), func(_ context.Context, _ coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
		if call.Method == "Flows" {
			return coordinator.Grant{}, blind
		}
		return coordinator.Grant{}, nil
	}).For(coordinator.Caller{Name: "alice"})
	register(t, c, "flow: {id: calls}\njobs: [{id: j, steps: [{id: s, type: flow, inputs: {flow: seen}}]}]")
	c.Submit(coordinator.SubmitOptions{Hold: true}, noop("there", ""))
	c.Submit(coordinator.SubmitOptions{Hold: true}, submits("empty", "", `{"copy_of":"there"}`))
	if _, err := of.CreateSchedule(t.Context(), scheduledoc.Spec{ID: "plain", Cron: "@yearly", Tree: []byte(`{"name":"n","schemas":{"method":"noop_executor"}}`)}); err != nil {
		t.Fatal(err)
	}
	runs := func(id, parent string) *dag.Task { return submits(id, parent, `{"flow":"seen"}`) }
	within := submits("within", "", `{"tree":[{"name":"a","schemas":{"method":"subtree_executor"},"inputs":{"flow":"seen"}}]}`)
	escaped := submits("escaped", "", `{"tree":[{"name":"a","schemas":{"method":"\u0073ubtree_executor"},"inputs":{"fl\u006fw":"seen"}}]}`)
	text := []byte("flow: {id: by_text}\njobs: [{id: j, steps: [{id: s, type: flow, inputs: {flow: seen}}]}]")
	for name, call := range map[string]func() error{
		"a tree": func() error {
			_, err := of.Submit(t.Context(), coordinator.SubmitOptions{}, tasksOf(runs("one", "")))
			return err
		},
		"a tree in a task": func() error {
			_, err := of.Submit(t.Context(), coordinator.SubmitOptions{}, tasksOf(within))
			return err
		},
		"a tree in a task, in other letters": func() error {
			_, err := of.Submit(t.Context(), coordinator.SubmitOptions{}, tasksOf(escaped))
			return err
		},
		"inputs that are changed": func() error {
			_, err := of.Update(t.Context(), "empty", coordinator.TaskChange{Inputs: []byte(`{"flow":"seen"}`)})
			return err
		},
		"a schedule of a tree": func() error {
			_, err := of.CreateSchedule(t.Context(), scheduledoc.Spec{ID: "tree", Cron: "@yearly", Tree: []byte(`{"name":"n","schemas":{"method":"subtree_executor"},"inputs":{"flow":"seen"}}`)})
			return err
		},
		"a schedule of a flow": func() error {
			_, err := of.CreateSchedule(t.Context(), scheduledoc.Spec{ID: "flow", Cron: "@yearly", Flow: &scheduledoc.Flow{ID: "calls"}})
			return err
		},
		"a schedule that is changed": func() error {
			_, err := of.UpdateSchedule(t.Context(), scheduledoc.Spec{ID: "plain", Cron: "@yearly", Tree: []byte(`{"name":"n","schemas":{"method":"subtree_executor"},"inputs":{"flow":"seen"}}`)}, 0)
			return err
		},
		"another task": func() error {
			_, err := of.Add(t.Context(), "there", coordinator.SubmitOptions{}, tasksOf(runs("two", "there")))
			return err
		},
		"a flow": func() error {
			_, err := of.RunFlow(t.Context(), coordinator.FlowRunSpec{Text: text})
			return err
		},
	} {
		if err := call(); !errors.Is(err, blind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := of.Submit(t.Context(), coordinator.SubmitOptions{}, tasksOf(submits("plain", "", `{"tree":[{"name":"a","schemas":{"method":"noop_executor"}}]}`))); err != nil {
		t.Error(err)
	}
	if runs := flowRunsOf(t, c, "seen"); len(runs) != 0 {
		t.Errorf("%d runs", len(runs))
	}
}
