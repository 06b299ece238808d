package coordinator_test

import (
	"encoding/json"
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

// TestRules holds rules of time and size against a cluster; those that a story tells are in testdata/stories.
func TestRules(t *testing.T) {
	t.Parallel()
	shared := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2})
	for _, rule := range []struct {
		name string
		test func(t *testing.T, c *cluster.Cluster)
	}{
		{"a task waits for its time", ruleNotBefore},
		{"a task that is not started in time fails", ruleScheduleToStart},
		{"an attempt's timeout fails it", ruleTimeout},
		{"a tree's timeout cancels it", ruleTreeTimeout},
		{"ids that are taken get new ones", ruleTakenIDs},
		{"large results and inputs get through", ruleLargeValues},
		{"many dependents are unlocked, and blocked, in batches", ruleManyDependents},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			rule.test(t, shared.For(t))
		})
	}
}

func ruleNotBefore(t *testing.T, c *cluster.Cluster) {
	task := noop("nb-root", "")
	task.NotBefore = time.Now().Add(400 * time.Millisecond)
	c.Submit(coordinator.SubmitOptions{}, task)
	c.Settled("nb-root")
	if got := c.Tasks("nb-root")["nb-root"].StartedAt; got.Before(task.NotBefore) {
		t.Errorf("started at %s, not before %s", got, task.NotBefore)
	}
}

func ruleScheduleToStart(t *testing.T, c *cluster.Cluster) {
	task := noop("sts-root", "")
	task.Pool, task.ScheduleToStart = "nobody-serves-this", 50*time.Millisecond
	c.Submit(coordinator.SubmitOptions{}, task)
	c.Settled("sts-root")
	expect(t, c, "sts-root", map[string]dag.State{"sts-root": dag.Failed})
}

func ruleTimeout(t *testing.T, c *cluster.Cluster) {
	task := sleeper("to-root", "", `{"seconds":60}`)
	task.Timeout = 50 * time.Millisecond
	c.Submit(coordinator.SubmitOptions{}, task)
	c.Settled("to-root")
	expect(t, c, "to-root", map[string]dag.State{"to-root": dag.Failed})
}

func ruleTreeTimeout(t *testing.T, c *cluster.Cluster) {
	c.Submit(coordinator.SubmitOptions{Timeout: 300 * time.Millisecond}, sleeper("tt-root", "", `{"seconds":60}`))
	c.Settled("tt-root")
	expect(t, c, "tt-root", map[string]dag.State{"tt-root": dag.Cancelled})
	if got := c.Tasks("tt-root")["tt-root"].Error; got != "Tree timeout" {
		t.Errorf("error: got %q", got)
	}
}

func ruleTakenIDs(t *testing.T, c *cluster.Cluster) {
	c.Submit(coordinator.SubmitOptions{}, noop("id-root", ""), noop("id-a", "id-root"))
	out := c.Submit(coordinator.SubmitOptions{}, noop("id-root", "", "id-a"), noop("id-a", "id-root"))
	if len(out.IDMap) != 2 || out.TreeID != out.IDMap["id-root"] {
		t.Fatalf("got %+v", *out)
	}
	if st := c.Settled(out.TreeID); st.Completed != 2 {
		t.Errorf("got %+v", *st)
	}
}

func ruleLargeValues(t *testing.T, c *cluster.Cluster) {
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
}

func ruleManyDependents(t *testing.T, c *cluster.Cluster) {
	tasks := []*dag.Task{noop("w-root", ""), noop("w-ok", "w-root"), with(noop("w-bad", "w-root"), `{"fail":"x"}`)}
	for i := range 3000 {
		tasks = append(tasks, noop(fmt.Sprintf("w-a%d", i), "w-root", "w-ok"), noop(fmt.Sprintf("w-b%d", i), "w-root", "w-bad"))
	}
	c.Submit(coordinator.SubmitOptions{}, tasks...)
	if st := c.Settled("w-root"); st.Completed != 3002 || st.Blocked != 3000 {
		t.Errorf("got %+v", *st)
	}
}
