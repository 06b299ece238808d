package coordinator_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestCopiesFindAnew: a copy has the tasks that were submitted. A map that runs in it finds its tasks once more, one that is kept has its result.
func TestCopiesFindAnew(t *testing.T) {
	t.Parallel()
	c, _ := luckyCluster(t)
	out := c.Submit(coordinator.SubmitOptions{}, noop("orig", "", "good", "bad"), expands("good", "orig", "map_executor", luckyMap(`[{"v":1},{"v":2}]`, "")),
		expands("bad", "orig", "find_executor", `{"collect":"map","tasks":[{"name":"a","schemas":{"method":"luck_executor"},"inputs":{"value":1}},{"name":"b","dependencies":["a"],"schemas":{"method":"luck_executor"},"inputs":{"value":2,"from":2}}]}`))
	c.Settled(out.TreeID)
	for _, test := range []struct {
		name, target string
		opts         coordinator.CopyOptions
		tasks        map[string]dag.State // by name; what was found counts as one
	}{
		{"whole", "orig", coordinator.CopyOptions{Mode: coordinator.CopyFull}, map[string]dag.State{"orig": dag.Blocked, "good": dag.Completed, "bad": dag.Failed}},
		{"the failed one, the other is kept", "bad", coordinator.CopyOptions{Mode: coordinator.CopyFull}, map[string]dag.State{"orig": dag.Blocked, "good": dag.Completed, "bad": dag.Failed}},
		{"one alone", "bad", coordinator.CopyOptions{}, map[string]dag.State{"bad": dag.Failed}}, // as of any leaf that failed
		{"one by name", "orig", coordinator.CopyOptions{Mode: coordinator.CopyCustom, TaskIDs: []string{"good"}, IncludeChildren: true}, map[string]dag.State{"orig": dag.Blocked, "good": dag.Completed, "bad": dag.Failed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.opts.Execute = &coordinator.ExecuteOptions{}
			got, err := c.Service().Copy(t.Context(), test.target, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			c.Settled(got.TreeID)
			names := map[string]dag.State{}
			found := 0
			for _, task := range c.Tasks(got.TreeID) {
				if task.Name == "a" || task.Name == "b" || strings.HasPrefix(task.Name, "good[") {
					found++
					continue
				}
				names[task.Name] = task.State
			}
			for name, state := range test.tasks {
				if names[name] != state {
					t.Errorf("%s is %s, want %s", name, names[name], state)
				}
			}
			if len(names) != len(test.tasks) || found%2 != 0 {
				t.Errorf("%v, and %d that were found", names, found)
			}
			for name, task := range c.Tasks(got.TreeID) {
				if task.Name == "good" && string(task.Result) != "[1,2]" {
					t.Errorf("%s: %s", name, task.Result)
				}
			}
		})
	}
	child := ""
	for id, task := range c.Tasks(out.TreeID) {
		if task.Name == "b" {
			child = id
		}
	}
	for _, ask := range []struct {
		target string
		opts   coordinator.CopyOptions
	}{{child, coordinator.CopyOptions{}}, {child, coordinator.CopyOptions{Preview: true}}, {"orig", coordinator.CopyOptions{Mode: coordinator.CopyCustom, TaskIDs: []string{child}}}} {
		if got, err := c.Service().Copy(t.Context(), ask.target, ask.opts); err == nil || !strings.Contains(err.Error(), "found at run time") {
			t.Errorf("copy of what was found: %+v, %v", got, err)
		}
	}
}

// TestCopiesOfGrowingTrees are of the tasks that were submitted, while others are made.
func TestCopiesOfGrowingTrees(t *testing.T) {
	t.Parallel()
	c, _ := luckyCluster(t)
	items := "[" + strings.Repeat(`{"v":1},`, 299) + `{"v":1}]`
	out := c.Submit(coordinator.SubmitOptions{}, expands("growing", "", "map_executor", luckyMap(items, `,"window":4`)))
	for range 10 {
		got, err := c.Service().Copy(t.Context(), "growing", coordinator.CopyOptions{Mode: coordinator.CopyFull})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(c.Tasks(got.TreeID)); n != 1 {
			t.Errorf("a copy has %d tasks", n)
		}
	}
	c.Settled(out.TreeID)
	got, err := c.Service().Copy(t.Context(), "growing", coordinator.CopyOptions{Mode: coordinator.CopyFull, Execute: &coordinator.ExecuteOptions{}})
	if err != nil {
		t.Fatal(err)
	}
	c.Settled(got.TreeID)
	if n := len(c.Tasks(got.TreeID)); n != 301 {
		t.Errorf("%d tasks, want 301", n)
	}
}
