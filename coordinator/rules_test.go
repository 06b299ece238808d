package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

func with(t *dag.Task, inputs string) *dag.Task {
	t.Inputs = json.RawMessage(inputs)
	return t
}

func sleeper(id, parent, inputs string, deps ...string) *dag.Task {
	t := noop(id, parent, deps...)
	t.Executor = "sleep_executor"
	return with(t, inputs)
}

// states of a tree's tasks, by id.
func states(c *cluster.Cluster, id string) map[string]dag.State {
	out := map[string]dag.State{}
	for id, t := range c.Tasks(id) {
		out[id] = t.State
	}
	return out
}

func expect(t *testing.T, c *cluster.Cluster, tree string, want map[string]dag.State) {
	t.Helper()
	got := states(c, tree)
	for id, state := range want {
		if got[id] != state {
			t.Errorf("%s: got %s, want %s", id, got[id], state)
		}
	}
}

func running(c *cluster.Cluster, id string) {
	c.T.Helper()
	c.Eventually(id+" runs", func() error {
		task, err := c.Service().Task(c.T.Context(), id)
		if err == nil && task.State != dag.Running {
			err = fmt.Errorf("%s", task.State)
		}
		return err
	})
}

func TestRules(t *testing.T) {
	shared := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2})
	svc := shared.Service()
	for name, test := range map[string]func(t *testing.T, c *cluster.Cluster){
		"a failure blocks what requires it, not what does not": func(t *testing.T, c *cluster.Cluster) {
			after := noop("f-after", "f-root", "f-b")
			optional := noop("f-opt", "f-root")
			optional.Dependencies = []dag.Dependency{{Ref: "f-a", Optional: true}}
			c.Submit(coordinator.SubmitOptions{}, noop("f-root", ""), with(noop("f-a", "f-root"), `{"fail":"no luck"}`),
				noop("f-b", "f-root", "f-a"), after, optional)
			st := c.Settled("f-root")
			expect(t, c, "f-root", map[string]dag.State{"f-a": dag.Failed, "f-b": dag.Blocked, "f-after": dag.Blocked, "f-opt": dag.Completed})
			if st.Status != dag.StatusFailed || st.Blocked != 2 {
				t.Errorf("got %+v", *st)
			}
			tasks := c.Tasks("f-root")
			if got := tasks["f-after"].BlockedBy; len(got) != 1 || got[0] != "f-a" {
				t.Errorf("blocked by: got %v, want f-a", got)
			}
			if got := tasks["f-a"].Error; !strings.Contains(got, "no luck") {
				t.Errorf("error: got %q", got)
			}
		},
		"a retry policy is kept": func(t *testing.T, c *cluster.Cluster) {
			task := sleeper("r-root", "", `{"seconds":0,"fail_times":2}`)
			task.Retry = dag.RetryPolicy{MaxAttempts: 3, InitialDelay: 10 * time.Millisecond}
			c.Submit(coordinator.SubmitOptions{}, task)
			c.Settled("r-root")
			expect(t, c, "r-root", map[string]dag.State{"r-root": dag.Completed})
			attempts, err := svc.Attempts(t.Context(), "r-root")
			if err != nil || len(attempts) != 3 || attempts[0].Outcome != dag.OutcomeFailed || attempts[2].Outcome != dag.OutcomeCompleted {
				t.Errorf("attempts: got %+v, %v", attempts, err)
			}
		},
		"attempts end when the policy is exhausted": func(t *testing.T, c *cluster.Cluster) {
			task := sleeper("x-root", "", `{"seconds":0,"fail_times":9}`)
			task.Retry = dag.RetryPolicy{MaxAttempts: 2, InitialDelay: time.Millisecond}
			c.Submit(coordinator.SubmitOptions{}, task)
			c.Settled("x-root")
			expect(t, c, "x-root", map[string]dag.State{"x-root": dag.Failed})
		},
		"a group completes with what it depends on": func(t *testing.T, c *cluster.Cluster) {
			root := noop("g-root", "", "g-a")
			root.Executor = ""
			lone := noop("g-lone", "g-root")
			lone.Executor = ""
			c.Submit(coordinator.SubmitOptions{}, root, noop("g-a", "g-root"), lone, noop("g-b", "g-root", "g-lone"))
			c.Settled("g-root")
			expect(t, c, "g-root", map[string]dag.State{"g-root": dag.Completed, "g-lone": dag.Completed, "g-b": dag.Completed})
			if got := string(c.Tasks("g-root")["g-root"].Result); got != "{}" {
				t.Errorf("result of a group: got %s", got)
			}
		},
		"an unknown executor fails its task": func(t *testing.T, c *cluster.Cluster) {
			task := noop("u-a", "u-root")
			task.Executor = "no.such executor"
			c.Submit(coordinator.SubmitOptions{}, noop("u-root", ""), task)
			c.Settled("u-root")
			expect(t, c, "u-root", map[string]dag.State{"u-a": dag.Failed, "u-root": dag.Completed})
			if got := c.Tasks("u-root")["u-a"].Error; !strings.HasPrefix(got, "Task executor not found.") {
				t.Errorf("error: got %q", got)
			}
		},
		"a held tree waits for its execution": func(t *testing.T, c *cluster.Cluster) {
			c.Submit(coordinator.SubmitOptions{Hold: true}, noop("h-root", "", "h-a"), noop("h-a", "h-root"), noop("h-b", "h-root"))
			expect(t, c, "h-root", map[string]dag.State{"h-root": dag.Held, "h-a": dag.Held})
			if out, err := svc.Execute(t.Context(), "h-root", coordinator.ExecuteOptions{}); err != nil || out.Outcome != coordinator.Started || out.Tasks != 3 {
				t.Fatalf("execute: got %+v, %v", out, err)
			}
			if st := c.Settled("h-root"); st.Completed != 3 {
				t.Errorf("got %+v", *st)
			}
			if out, err := svc.Execute(t.Context(), "h-root", coordinator.ExecuteOptions{}); err != nil || out.Outcome != coordinator.NothingToDo {
				t.Errorf("execute again: got %+v, %v", out, err)
			}
			if out, err := svc.Execute(t.Context(), "h-root", coordinator.ExecuteOptions{Force: true}); err != nil || out.Tasks != 3 {
				t.Errorf("execute by force: got %+v, %v", out, err)
			}
			if st := c.Settled("h-root"); st.Completed != 3 {
				t.Errorf("after force: got %+v", *st)
			}
			if got := c.Tasks("h-root")["h-a"].Attempt; got != 2 {
				t.Errorf("attempt after a second execution: got %d, want 2", got)
			}
		},
		"a child runs with what it depends on, and nothing else": func(t *testing.T, c *cluster.Cluster) {
			c.Submit(coordinator.SubmitOptions{Hold: true}, noop("c-root", ""), noop("c-a", "c-root"), noop("c-b", "c-root", "c-a"), noop("c-c", "c-root"))
			if _, err := svc.Execute(t.Context(), "c-b", coordinator.ExecuteOptions{}); err != nil {
				t.Fatal(err)
			}
			c.Settled("c-root")
			expect(t, c, "c-root", map[string]dag.State{"c-root": dag.Held, "c-a": dag.Completed, "c-b": dag.Completed, "c-c": dag.Held})
		},
		"a re-run takes what failed and what depends on it": func(t *testing.T, c *cluster.Cluster) {
			c.Submit(coordinator.SubmitOptions{}, noop("rr-root", "", "rr-b"), sleeper("rr-a", "rr-root", `{"seconds":0,"fail_times":1}`),
				noop("rr-b", "rr-root", "rr-a"), noop("rr-c", "rr-root"))
			c.Settled("rr-root")
			expect(t, c, "rr-root", map[string]dag.State{"rr-a": dag.Failed, "rr-root": dag.Blocked})
			out, err := svc.Execute(t.Context(), "rr-root", coordinator.ExecuteOptions{})
			if err != nil || out.Tasks != 3 {
				t.Fatalf("execute: got %+v, %v", out, err)
			}
			if st := c.Settled("rr-root"); st.Completed != 4 || st.Status != dag.StatusCompleted {
				t.Errorf("got %+v", *st)
			}
			if got := c.Tasks("rr-root")["rr-c"].Attempt; got != 1 {
				t.Errorf("a completed task outside the set ran again: attempt %d", got)
			}
		},
		"a root's cancellation cancels its tree": func(t *testing.T, c *cluster.Cluster) {
			c.Submit(coordinator.SubmitOptions{}, noop("ct-root", "", "ct-b"), sleeper("ct-a", "ct-root", `{"seconds":60}`), noop("ct-b", "ct-root", "ct-a"))
			running(c, "ct-a")
			out, err := svc.Cancel(t.Context(), "ct-root", coordinator.CancelOptions{})
			if err != nil || out.Outcome != coordinator.Cancelled || out.Reason != "Cancelled by user" {
				t.Fatalf("cancel: got %+v, %v", out, err)
			}
			st := c.Settled("ct-root")
			if st.Cancelled != 3 || st.Status != dag.StatusCancelled {
				t.Errorf("got %+v", *st)
			}
			c.Eventually("the attempt has stopped", func() error {
				if st := c.Settled("ct-root"); st.Running != 0 {
					return fmt.Errorf("%d open", st.Running)
				}
				return nil
			})
			if got := c.Tasks("ct-root")["ct-b"].Error; got != "Cancelled by user" {
				t.Errorf("error: got %q", got)
			}
			var told []string
			for e, err := range svc.Watch(t.Context(), "ct-root", 0) {
				if err != nil {
					t.Fatal(err)
				}
				if e.Type == coordinator.EventCancelled {
					told = append(told, e.Error)
				}
			}
			if want := "[Cancelled by user Cancelled by user Cancelled by user]"; fmt.Sprint(told) != want {
				t.Errorf("events: got %v, want %s", told, want)
			}
			again, err := svc.Cancel(t.Context(), "ct-root", coordinator.CancelOptions{})
			if err != nil || again.Outcome != coordinator.AlreadyEnded || again.Status != dag.StatusCancelled {
				t.Errorf("cancel again: got %+v, %v", again, err)
			}
		},
		"a child's cancellation blocks what requires it": func(t *testing.T, c *cluster.Cluster) {
			c.Submit(coordinator.SubmitOptions{}, noop("cc-root", ""), sleeper("cc-a", "cc-root", `{"seconds":60}`), noop("cc-b", "cc-root", "cc-a"))
			running(c, "cc-a")
			if out, err := svc.Cancel(t.Context(), "cc-a", coordinator.CancelOptions{Reason: "enough"}); err != nil || out.Outcome != coordinator.Cancelled {
				t.Fatalf("cancel: got %+v, %v", out, err)
			}
			c.Settled("cc-root")
			expect(t, c, "cc-root", map[string]dag.State{"cc-root": dag.Completed, "cc-a": dag.Cancelled, "cc-b": dag.Blocked})
			if got := c.Tasks("cc-root")["cc-a"].Error; got != "enough" {
				t.Errorf("error: got %q", got)
			}
		},
		"a task waits for its time": func(t *testing.T, c *cluster.Cluster) {
			task := noop("nb-root", "")
			task.NotBefore = time.Now().Add(400 * time.Millisecond)
			c.Submit(coordinator.SubmitOptions{}, task)
			c.Settled("nb-root")
			if got := c.Tasks("nb-root")["nb-root"].StartedAt; got.Before(task.NotBefore) {
				t.Errorf("started at %s, not before %s", got, task.NotBefore)
			}
		},
		"a task that is not started in time fails": func(t *testing.T, c *cluster.Cluster) {
			task := noop("sts-root", "")
			task.Pool, task.ScheduleToStart = "nobody-serves-this", 50*time.Millisecond
			c.Submit(coordinator.SubmitOptions{}, task)
			c.Settled("sts-root")
			expect(t, c, "sts-root", map[string]dag.State{"sts-root": dag.Failed})
		},
		"an attempt's timeout fails it": func(t *testing.T, c *cluster.Cluster) {
			task := sleeper("to-root", "", `{"seconds":60}`)
			task.Timeout = 50 * time.Millisecond
			c.Submit(coordinator.SubmitOptions{}, task)
			c.Settled("to-root")
			expect(t, c, "to-root", map[string]dag.State{"to-root": dag.Failed})
		},
		"a tree's timeout cancels it": func(t *testing.T, c *cluster.Cluster) {
			c.Submit(coordinator.SubmitOptions{Timeout: 300 * time.Millisecond}, sleeper("tt-root", "", `{"seconds":60}`))
			c.Settled("tt-root")
			expect(t, c, "tt-root", map[string]dag.State{"tt-root": dag.Cancelled})
			if got := c.Tasks("tt-root")["tt-root"].Error; got != "Tree timeout" {
				t.Errorf("error: got %q", got)
			}
		},
		"ids that are taken get new ones": func(t *testing.T, c *cluster.Cluster) {
			c.Submit(coordinator.SubmitOptions{}, noop("id-root", ""), noop("id-a", "id-root"))
			out := c.Submit(coordinator.SubmitOptions{}, noop("id-root", "", "id-a"), noop("id-a", "id-root"))
			if len(out.IDMap) != 2 || out.TreeID != out.IDMap["id-root"] {
				t.Fatalf("got %+v", *out)
			}
			if st := c.Settled(out.TreeID); st.Completed != 2 {
				t.Errorf("got %+v", *st)
			}
		},
		"large results and inputs get through": func(t *testing.T, c *cluster.Cluster) {
			big, err := json.Marshal(map[string]any{"value": map[string]string{"text": strings.Repeat("x", 900<<10)}})
			if err != nil {
				t.Fatal(err)
			}
			last := noop("big-root", "", "big-a")
			c.Submit(coordinator.SubmitOptions{}, last, with(noop("big-a", "big-root"), string(big)))
			c.Settled("big-root")
			tasks := c.Tasks("big-root")
			if got := len(tasks["big-a"].Result); got < 900<<10 {
				t.Errorf("result: got %d bytes, %s", got, tasks["big-a"].Error)
			}
			if got := len(tasks["big-root"].Inputs); got < 900<<10 || tasks["big-root"].State != dag.Completed {
				t.Errorf("merged inputs: got %d bytes, %s %s", got, tasks["big-root"].State, tasks["big-root"].Error)
			}
		},
		"many dependents are unlocked, and blocked, in batches": func(t *testing.T, c *cluster.Cluster) {
			tasks := []*dag.Task{noop("w-root", ""), noop("w-ok", "w-root"), with(noop("w-bad", "w-root"), `{"fail":"x"}`)}
			for i := range 3000 {
				tasks = append(tasks, noop(fmt.Sprintf("w-a%d", i), "w-root", "w-ok"), noop(fmt.Sprintf("w-b%d", i), "w-root", "w-bad"))
			}
			c.Submit(coordinator.SubmitOptions{}, tasks...)
			if st := c.Settled("w-root"); st.Completed != 3002 || st.Blocked != 3000 {
				t.Errorf("got %+v", *st)
			}
		},
		"a bad tree leaves nothing behind": func(t *testing.T, c *cluster.Cluster) {
			_, err := svc.Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{noop("bad-root", "", "bad-a"), noop("bad-a", "bad-root", "bad-root")}))
			bad, ok := errors.AsType[*dag.InvalidTreeError](err)
			if !ok || bad.Problems[0].Code != dag.CircularDependency {
				t.Errorf("got %v", err)
			}
			if _, err := svc.Task(t.Context(), "bad-root"); !errors.Is(err, coordinator.ErrNotFound) {
				t.Errorf("task of a rejected tree: got %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, shared.For(t))
		})
	}
}

// watch gathers the events that have a place in the sequence, and checks that it has no gaps.
func watch(t *testing.T, svc coordinator.Service, id string, after int64) (out []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for e, err := range svc.Watch(ctx, id, after) {
		if err != nil {
			t.Fatalf("watch: %v", err)
		}
		if e.Sequence == 0 {
			continue
		}
		if e.Sequence != after+1 {
			t.Errorf("sequence: got %d after %d", e.Sequence, after)
		}
		after = e.Sequence
		out = append(out, e.Type.String())
		if e.Type != coordinator.EventFinal && e.Type != coordinator.EventExecution {
			out = append(out, e.TaskID)
		}
	}
	return out
}
