package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// plenty finds so many items of a long text, more than fits into a message.
type plenty struct{}

func (plenty) Describe() executors.Description { return executors.Description{ID: "plenty_executor"} }

func (plenty) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Items, Times int
		Text         string
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Permanent(err)
	}
	var items []any
	for i := range in.Items {
		items = append(items, map[string]any{"v": strings.Repeat(in.Text, in.Times), "from": 1 + i%2}) // every other fails once
	}
	list, err := json.Marshal(items)
	if err != nil {
		return nil, executors.Permanent(err)
	}
	each := json.RawMessage(`{"schemas":{"method":"luck_executor"},"inputs":{"value":"{{item.v}}","from":"{{item.from}}"}}`)
	return executors.Expanding(executors.Expand{Items: list, Each: each, Window: 100}), nil
}

// TestExpansionsAreSealedAtRest: what runs find comes into Postgres sealed: the documents, small and in parts, the tasks that are made of them, results and errors. It is
// opened where tasks are made, shown and run again.
func TestExpansionsAreSealedAtRest(t *testing.T) {
	t.Parallel()
	luck := newLucky()
	c := cluster.Start(t, cluster.Options{
		Coordinators: 2, Coordinator: func(c *config.Coordinator) { c.SealKey, c.SealValues = testSeal, true },
		Executors: func() []executors.Executor { return []executors.Executor{finding{}, plenty{}, luck} },
	})
	conn := connected(t, c.URL)
	awaitSealing(t, c)
	text := strings.Repeat(canaryValue, 300)
	want := make([]string, 400) // together over the bound of a message: several parts, and a result in parts
	for i := range want {
		want[i] = text
	}
	out := c.Submit(coordinator.SubmitOptions{}, noop("sealed", "", "small"), expands("large", "sealed", "plenty_executor", `{"items":400,"times":300,"text":"`+canaryValue+`"}`),
		expands("small", "sealed", "find_executor", `{"collect":"map","tasks":[{"name":"a","note":"`+text+`","schemas":{"method":"luck_executor"},"inputs":{"value":"`+text+`","from":2}}]}`))
	c.Settled(out.TreeID)
	shows(t, c, "large", dag.Failed, "", "no luck", 1)
	if tables := tablesWith(t, conn, canaryValue); len(tables) > 0 {
		t.Errorf("%v have a value as it is", tables)
	}
	left := 0 // 204, unless a first attempt was taken back: then the second had luck at once
	for _, state := range states(c, out.TreeID) {
		if state != dag.Completed {
			left++
		}
	}
	again(t, c, out.TreeID, "sealed", coordinator.ExecuteOptions{}, left)
	whole, _ := json.Marshal(want)
	shows(t, c, "large", dag.Completed, string(whole), "", 2)
	shows(t, c, "small", dag.Completed, `{"a":"`+text+`"}`, "", 2)
	again(t, c, out.TreeID, "small", coordinator.ExecuteOptions{Force: true}, 1)
	if tables := tablesWith(t, conn, canaryValue); len(tables) > 0 {
		t.Errorf("%v have a value as it is after re-runs", tables)
	}
}

// TestUnreadableResultsEndExpansions: a result below one that nobody can open fails it, and holds up no other.
func TestUnreadableResultsEndExpansions(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{
		Coordinator: func(c *config.Coordinator) { c.SealKey, c.SealValues = testSeal, true },
		Executors:   func() []executors.Executor { return []executors.Executor{finding{}} },
	})
	conn := connected(t, c.URL)
	awaitSealing(t, c)
	found := func(name string) string {
		return `{"collect":"list","tasks":[{"name":"` + name + ` a","schemas":{"method":"noop_executor"},"inputs":{"value":"fine"}},` +
			`{"name":"` + name + ` b","schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}]}`
	}
	out := c.Submit(coordinator.SubmitOptions{}, noop("both", "", "torn", "whole"), expands("torn", "both", "find_executor", found("torn")), expands("whole", "both", "find_executor", found("whole")))
	waits := map[string]string{}
	c.Eventually("both wait for their second", func() error {
		page, err := c.Service().Tasks(t.Context(), coordinator.TaskFilter{TreeOf: out.TreeID, Limit: 100})
		if err != nil {
			return err
		}
		ended := 0
		for _, task := range page.Items {
			if task.State == dag.Awaiting {
				waits[task.Name] = task.ID
			} else if task.State == dag.Completed {
				ended++
			}
		}
		if len(waits) < 2 || ended < 2 {
			return fmt.Errorf("%d wait, %d have ended", len(waits), ended)
		}
		return nil
	})
	if _, err := conn.Exec(t.Context(), "update attempt set sealed = set_byte(sealed, length(sealed) - 1, (get_byte(sealed, length(sealed) - 1) + 1) % 256) where task = (select key from spec where name = 'torn a')"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"torn b", "whole b"} {
		if _, err := c.Service().Signal(t.Context(), waits[name], coordinator.Signal{Name: "go", Payload: []byte(`1`)}); err != nil {
			t.Fatal(err)
		}
	}
	c.Settled(out.TreeID)
	shows(t, c, "torn", dag.Failed, "", "can't be read", 1)
	shows(t, c, "whole", dag.Completed, `["fine",1]`, "", 1)
}

// spending finds one task that goes on until it is told, after it has used a model and written a line.
type spending struct{}

func (spending) Describe() executors.Description { return executors.Description{ID: "spend_executor"} }

func (spending) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	call.Record("m", executors.Usage{Calls: 1, PromptTokens: 5})
	call.Reporter.Log("stdout", "found one")
	return executors.Expanding(executors.Expand{Tasks: json.RawMessage(`[{"name":"one","schemas":{"method":"end_executor"},"inputs":{"wait":true}}]`)}), nil
}

// TestAttemptsThatExpandTellWhatTheyUsed and wrote, while they wait and afterwards, once; and the auditor finds that in order.
func TestAttemptsThatExpandTellWhatTheyUsed(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{ending{}, spending{}} }})
	out := c.Submit(coordinator.SubmitOptions{}, noop("told", ""), expands("spends", "told", "spend_executor", `{}`))
	told := func(when string) {
		t.Helper()
		c.Eventually(when, func() error {
			page, err := c.Service().Usage(t.Context(), coordinator.UsageFilter{By: coordinator.UsageByTree, TreeOf: "told"})
			if err != nil || len(page.Items) != 1 || page.Items[0].Calls != 1 || page.Items[0].Prompt != 5 {
				return fmt.Errorf("usage: %+v, %w", page, err)
			}
			lines := 0
			for line, err := range c.Service().Logs(t.Context(), coordinator.LogFilter{TaskID: "spends"}) {
				if err != nil || line.Text != "found one" || line.Attempt != 1 {
					return fmt.Errorf("log: %+v, %w", line, err)
				}
				lines++
			}
			if lines != 1 {
				return fmt.Errorf("%d lines", lines)
			}
			return nil
		})
		for v, err := range c.Service().Verify(t.Context(), out.TreeID) {
			t.Errorf("%s: %+v, %v", when, v, err)
		}
	}
	c.Eventually("it waits", func() error {
		n := 0
		for _, s := range states(c, out.TreeID) {
			if s == dag.Expanded || s == dag.Running {
				n++
			}
		}
		if n != 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	told("while it waits")
	if _, err := c.Service().Cancel(t.Context(), "spends", coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settled(out.TreeID)
	told("afterwards")
}

// TestFullTrees: what a namespace has no room for fails the attempt, and nothing of it is stored; what fits is made.
func TestFullTrees(t *testing.T) {
	t.Parallel()
	c, _ := luckyCluster(t)
	ten := int64(10)
	svc := team(t, c, "small", coordinator.Quotas{Tasks: &ten})
	for _, test := range []struct {
		id, items, fault string
		tasks            int
	}{{"fits", `[{"v":1},{"v":2},{"v":3}]`, "", 4}, {"full", `[{"v":1},{"v":2},{"v":3},{"v":4},{"v":5},{"v":6},{"v":7}]`, "quota", 1}, {"fits, too", `[{"v":1},{"v":2},{"v":3}]`, "", 4}} {
		if _, err := svc.Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{expands(test.id, "", "map_executor", luckyMap(test.items, ""))})); err != nil {
			t.Fatal(err)
		}
		c.Eventually(test.id+" ends", func() error {
			tree, err := svc.Tree(t.Context(), test.id)
			if err == nil && tree.Unfinished > 0 {
				err = fmt.Errorf("%d are unfinished", tree.Unfinished)
			}
			return err
		})
		task, err := svc.Task(t.Context(), test.id)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := svc.Tree(t.Context(), test.id)
		if err != nil || (task.Error == "") != (test.fault == "") || !strings.Contains(task.Error, test.fault) || tree.Tasks != test.tasks {
			t.Errorf("%s: %s (%s), %+v, %v", test.id, task.State, task.Error, tree, err)
		}
		attempts, err := svc.Attempts(t.Context(), test.id)
		if err != nil || len(attempts) != 1 || test.fault != "" && attempts[0].Kind != dag.KindTreeFull {
			t.Errorf("%s: %+v, %v", test.id, attempts, err)
		}
		if test.fault != "" {
			if _, err := svc.Delete(t.Context(), test.id, coordinator.DeleteOptions{Force: true}); err != nil {
				t.Error(err)
			}
		}
	}
}
