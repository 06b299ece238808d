package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// lucky fails for good before the attempt that its inputs say, and counts its runs, and how many go on at a time, by trees.
type lucky struct {
	mu            sync.Mutex
	running, most map[string]int
	runs          map[string]int // by tree and value
}

func (*lucky) Describe() executors.Description {
	return executors.Description{ID: "luck_executor", Name: "Luck", Description: "Ends well at some time."}
}

func (l *lucky) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Value       json.RawMessage
		From, Sleep json.Number // Sleep in ms; templates may make texts of them
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Permanent(err)
	}
	from, _ := in.From.Int64()
	sleep, _ := in.Sleep.Int64()
	l.mu.Lock()
	l.running[call.TreeID]++
	l.most[call.TreeID] = max(l.most[call.TreeID], l.running[call.TreeID])
	l.runs[call.TreeID+" "+string(in.Value)]++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.running[call.TreeID]--
		l.mu.Unlock()
	}()
	select {
	case <-time.After(time.Duration(sleep) * time.Millisecond):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if call.Attempt < int(from) {
		return nil, executors.Permanent(errors.New("no luck"))
	}
	return executors.Completed(in.Value), nil
}

func (l *lucky) ran(tree, value string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[tree+" "+value]
}

// reset forgets how many went on at a time.
func (l *lucky) reset(tree string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most[tree] = 0
}

func (l *lucky) mostAtOnce(tree string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most[tree]
}

func newLucky() *lucky {
	return &lucky{running: map[string]int{}, most: map[string]int{}, runs: map[string]int{}}
}

func luckyCluster(t *testing.T) (*cluster.Cluster, *lucky) {
	luck := newLucky()
	return cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2, Executors: func() []executors.Executor {
		return []executors.Executor{ending{}, finding{}, luck}
	}}), luck
}

// luckyMap maps items to tasks, each of which ends well at the attempt that its item says; more are further inputs of the map.
func luckyMap(items, more string) string {
	return fmt.Sprintf(`{"items":%s,"task":{"schemas":{"method":"luck_executor"},"inputs":{"value":"{{item.v}}","from":"{{item.from:1}}","sleep":"{{item.sleep:0}}"}}%s}`, items, more)
}

// again runs a task again, and waits until its tree has ended.
func again(t *testing.T, c *cluster.Cluster, tree, id string, opts coordinator.ExecuteOptions, tasks int) {
	t.Helper()
	got, err := c.Service().Execute(t.Context(), id, opts)
	if err != nil || got.Outcome != coordinator.Started || got.Tasks != tasks {
		t.Fatalf("re-run of %s: %+v, %v; want %d tasks", id, got, err, tasks)
	}
	c.Settled(tree)
}

// shows compares how a task has ended.
func shows(t *testing.T, c *cluster.Cluster, id string, state dag.State, result, fault string, attempt int) {
	t.Helper()
	got, err := c.Service().Task(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != state || result != "" && string(got.Result) != result || !strings.Contains(got.Error, fault) || got.Attempt != attempt {
		t.Errorf("%s: %s at attempt %d, %s, %q; want %s at %d, %s, %q", id, got.State, got.Attempt, got.Result, got.Error, state, attempt, result, fault)
	}
}

// TestFailedMapsGoOn: a re-run of what found tasks runs those again that failed, and nothing else; what waited for it goes on.
func TestFailedMapsGoOn(t *testing.T) {
	t.Parallel()
	c, luck := luckyCluster(t)
	for _, test := range []struct {
		name, inputs string
		result       string
		tasks        int // that the re-run of the map starts
		attempts     int
		runs         map[string]int // of values in the end
	}{
		{"one of three", luckyMap(`[{"v":"a"},{"v":"b","from":2},{"v":"c"}]`, ""), `["a","b","c"]`, 2, 2, map[string]int{`"a"`: 1, `"b"`: 2, `"c"`: 1}},
		{"a window", luckyMap(`[{"v":1,"from":2},{"v":2,"from":2},{"v":3},{"v":4,"from":2},{"v":5,"from":2}]`, `,"window":1`), `[1,2,3,4,5]`, 5, 2, map[string]int{"1": 2, "3": 1, "5": 2}},
		{"no further items after a failure", luckyMap(`[{"v":1},{"v":2,"from":2},{"v":3},{"v":4},{"v":5}]`, `,"window":1,"stop_on_failure":true`), `[1,2,3,4,5]`, 2, 2, map[string]int{"1": 1, "2": 2, "3": 1, "5": 1}},
		{"trees", `{"items":[{"v":"x","from":2},{"v":"y"}],"collect":"map","window":1,"tasks":[{"id":"a","name":"a","parent_id":"b","schemas":{"method":"luck_executor"},"inputs":{"value":"{{item.v}}","from":"{{item.from:1}}"}},
			{"id":"b","name":"b","dependencies":["a"],"schemas":{"method":"luck_executor"},"inputs":{"value":"{{index}}"}}]}`, `{"0.b":0,"1.b":1}`, 3, 2, map[string]int{`"x"`: 2, `"y"`: 1, "0": 1, "1": 1}},
		{"nested", `{"items":[[{"v":1}],[{"v":2},{"v":3,"from":2}]],"task":{"schemas":{"method":"map_executor"},"inputs":` + luckyMap(`"{{item}}"`, "") + `}}`,
			`[[1],[2,3]]`, 3, 2, map[string]int{"1": 1, "2": 1, "3": 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root, m := "root "+test.name, "map "+test.name
			out := c.Submit(coordinator.SubmitOptions{}, noop(root, "", m), expands(m, root, "map_executor", test.inputs))
			c.Settled(out.TreeID)
			shows(t, c, m, dag.Failed, "", "no luck", 1)
			luck.reset(out.TreeID)
			again(t, c, out.TreeID, root, coordinator.ExecuteOptions{}, test.tasks+1)
			for v, err := range c.Service().Verify(t.Context(), out.TreeID) {
				t.Errorf("%+v, %v", v, err)
			}
			shows(t, c, m, dag.Completed, test.result, "", test.attempts)
			shows(t, c, root, dag.Completed, "", "", 1)
			for value, n := range test.runs {
				if got := luck.ran(out.TreeID, value); got != n {
					t.Errorf("%s ran %d times, want %d", value, got, n)
				}
			}
			if strings.Contains(test.inputs, `"window":1`) && luck.mostAtOnce(out.TreeID) != 1 {
				t.Errorf("%d items at a time in a window of 1", luck.mostAtOnce(out.TreeID))
			}
			if got, err := c.Service().Execute(t.Context(), root, coordinator.ExecuteOptions{}); err != nil || got.Outcome != coordinator.NothingToDo {
				t.Errorf("once more: %+v, %v", got, err)
			}
		})
	}
}

// TestForcedMapsFindAnew: what was found before is gone, and found once more; so it is where what it depends on runs again, unless what has completed is kept.
func TestForcedMapsFindAnew(t *testing.T) {
	t.Parallel()
	c, luck := luckyCluster(t)
	items := `[{"v":1},{"v":2,"from":2},{"v":[3]}]`
	nested := `{"items":[[{"v":1}],[{"v":2}]],"task":{"schemas":{"method":"map_executor"},"inputs":` + luckyMap(`"{{item}}"`, "") + `}}`
	count := func(t *testing.T, tree string, tasks int) {
		t.Helper()
		status, err := c.Service().Tree(t.Context(), tree)
		if err != nil || status.Tasks != tasks || len(c.Tasks(tree)) != tasks {
			t.Errorf("%d tasks by the tree, %d are there, want %d; %v", status.Tasks, len(c.Tasks(tree)), tasks, err)
		}
	}
	t.Run("forced", func(t *testing.T) {
		t.Parallel()
		out := c.Submit(coordinator.SubmitOptions{}, noop("forced", "", "forced map"), expands("forced map", "forced", "map_executor", luckyMap(items, "")))
		c.Settled(out.TreeID)
		before := c.Tasks(out.TreeID)
		again(t, c, out.TreeID, "forced map", coordinator.ExecuteOptions{Force: true}, 1)
		shows(t, c, "forced map", dag.Failed, "", "no luck", 2) // found anew, it is its first attempt
		for id := range c.Tasks(out.TreeID) {
			if _, was := before[id]; was && !strings.HasPrefix(id, "forced") {
				t.Errorf("%s is still there", id)
			}
		}
		count(t, out.TreeID, 5)
		again(t, c, out.TreeID, "forced", coordinator.ExecuteOptions{}, 3)
		shows(t, c, "forced map", dag.Completed, "[1,2,[3]]", "", 3)
		if n := luck.ran(out.TreeID, "1"); n != 2 {
			t.Errorf("1 ran %d times", n)
		}
		again(t, c, out.TreeID, "forced", coordinator.ExecuteOptions{Force: true}, 2)
		shows(t, c, "forced map", dag.Failed, "", "no luck", 4)
	})
	t.Run("nested", func(t *testing.T) {
		t.Parallel()
		out := c.Submit(coordinator.SubmitOptions{}, expands("nested map", "", "map_executor", nested))
		c.Settled(out.TreeID)
		shows(t, c, "nested map", dag.Completed, "[[1],[2]]", "", 1)
		again(t, c, out.TreeID, "nested map", coordinator.ExecuteOptions{Force: true}, 1)
		shows(t, c, "nested map", dag.Completed, "[[1],[2]]", "", 2)
		count(t, out.TreeID, 5)
	})
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("after a dependency, keep %v", keep), func(t *testing.T) {
			t.Parallel()
			name := func(s string) string { return fmt.Sprint(s, keep) }
			m := expands(name("dep map"), name("dep"), "map_executor", luckyMap(items, ""))
			m.Dependencies = []dag.Dependency{{Ref: name("first"), Optional: true}}
			out := c.Submit(coordinator.SubmitOptions{}, noop(name("dep"), ""), m, expands(name("first"), name("dep"), "luck_executor", `{"value":9,"from":2}`))
			c.Settled(out.TreeID)
			tasks, result, fault := 3, `[1,2,[3]]`, ""
			if !keep {
				tasks, result, fault = 2, "", "no luck" // first and the map, which finds its tasks anew
			}
			again(t, c, out.TreeID, name("dep"), coordinator.ExecuteOptions{KeepCompleted: keep}, tasks)
			state := dag.Completed
			if !keep {
				state = dag.Failed
			}
			shows(t, c, name("dep map"), state, result, fault, 2)
			count(t, out.TreeID, 6)
		})
	}
}

// TestCompletedMapsAreLeftAlone, with the failures that they allow.
func TestCompletedMapsAreLeftAlone(t *testing.T) {
	t.Parallel()
	c, luck := luckyCluster(t)
	m := `{"items":[1,2],"task":{"allow_failure":true,"schemas":{"method":"luck_executor"},"inputs":{"value":"{{item}}","from":"{{item}}"}}}`
	out := c.Submit(coordinator.SubmitOptions{}, noop("alone", "", "behind"), expands("fine", "alone", "map_executor", m), expands("behind", "alone", "luck_executor", `{"value":9,"from":2}`, "fine"))
	c.Settled(out.TreeID)
	shows(t, c, "fine", dag.Completed, "[1,null]", "", 1)
	again(t, c, out.TreeID, "alone", coordinator.ExecuteOptions{}, 2)
	shows(t, c, "fine", dag.Completed, "[1,null]", "", 1)
	if n := luck.ran(out.TreeID, "2"); n != 1 {
		t.Errorf("the allowed failure ran %d times", n)
	}
	// asked for by itself, it runs again, and the map takes its result
	child := ""
	for id, task := range c.Tasks(out.TreeID) {
		if task.Name == "fine[1]" {
			child = id
		}
	}
	again(t, c, out.TreeID, child, coordinator.ExecuteOptions{}, 2)
	shows(t, c, "fine", dag.Completed, "[1,2]", "", 2)
}

// TestFoundTasksRunAgain by themselves: those that found them wait for them, up to the first; what of them depends on them comes along, and nothing else does.
func TestFoundTasksRunAgain(t *testing.T) {
	t.Parallel()
	c, luck := luckyCluster(t)
	list := `{"collect":"map","tasks":[{"name":"a","schemas":{"method":"luck_executor"},"inputs":{"value":1,"from":2}},{"name":"b","dependencies":["a"],"schemas":{"method":"luck_executor"},"inputs":{"value":2}},
		{"name":"c","schemas":{"method":"luck_executor"},"inputs":{"value":3,"from":2}}]}`
	find := `{"collect":"map","tasks":[{"name":"inner","schemas":{"method":"find_executor"},"inputs":` + list + `}]}`
	out := c.Submit(coordinator.SubmitOptions{}, noop("top", "", "outer"), expands("outer", "top", "find_executor", find))
	c.Settled(out.TreeID)
	shows(t, c, "outer", dag.Failed, "", "no luck", 1)
	id := func(name string) string {
		for id, task := range c.Tasks(out.TreeID) {
			if task.Name == name {
				return id
			}
		}
		t.Fatalf("there is no task %s", name)
		return ""
	}
	again(t, c, out.TreeID, id("a"), coordinator.ExecuteOptions{}, 4) // a, b, inner and outer
	shows(t, c, "outer", dag.Failed, "", "no luck", 2)                // of c
	shows(t, c, id("b"), dag.Completed, "2", "", 1)
	if n := luck.ran(out.TreeID, "3"); n != 1 {
		t.Errorf("c ran %d times", n)
	}
	again(t, c, out.TreeID, id("c"), coordinator.ExecuteOptions{}, 3)
	shows(t, c, "outer", dag.Completed, `{"inner":{"a":1,"b":2,"c":3}}`, "", 3)
	shows(t, c, "top", dag.Blocked, "", "", 1) // as ever: it was not asked for
	again(t, c, out.TreeID, "top", coordinator.ExecuteOptions{}, 1)
	again(t, c, out.TreeID, id("c"), coordinator.ExecuteOptions{Force: true}, 3)
	shows(t, c, "outer", dag.Completed, `{"inner":{"a":1,"b":2,"c":3}}`, "", 4)
	again(t, c, out.TreeID, id("inner"), coordinator.ExecuteOptions{Force: true}, 2) // finds anew
	shows(t, c, "outer", dag.Failed, "", "no luck", 5)
}

// TestCancelledMapsGoOn where that is asked for, whether they were cancelled while they made items, or nested.
func TestCancelledMapsGoOn(t *testing.T) {
	t.Parallel()
	c, _ := luckyCluster(t)
	nested := `{"items":[1,2,3],"window":2,"task":{"schemas":{"method":"map_executor"},"inputs":` + luckyMap(`[{"v":1},{"v":2,"sleep":300}]`, `,"window":1`) + `}}`
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("whole %v", whole), func(t *testing.T) {
			t.Parallel()
			top, m := fmt.Sprint("stop", whole), fmt.Sprint("stopped", whole)
			out := c.Submit(coordinator.SubmitOptions{}, noop(top, "", m), expands(m, top, "map_executor", nested))
			c.Eventually("items run", func() error {
				n := 0
				for _, s := range states(c, out.TreeID) {
					if s == dag.Running {
						n++
					}
				}
				if n < 2 {
					return fmt.Errorf("%d run", n)
				}
				return nil
			})
			target := m
			if whole {
				target = top
			}
			if _, err := c.Service().Cancel(t.Context(), target, coordinator.CancelOptions{}); err != nil {
				t.Fatal(err)
			}
			c.Settled(out.TreeID)
			if got, err := c.Service().Execute(t.Context(), m, coordinator.ExecuteOptions{}); err != nil || got.Outcome != coordinator.WasCancelled {
				t.Errorf("it was cancelled: %+v, %v", got, err)
			}
			c.Eventually("it goes on", func() error { // its workers have to say that they have stopped
				got, err := c.Service().Execute(t.Context(), top, coordinator.ExecuteOptions{RerunCancelled: true})
				if err == nil && got.Outcome != coordinator.Started {
					err = fmt.Errorf("%+v", got)
				}
				return err
			})
			c.Settled(out.TreeID)
			shows(t, c, m, dag.Completed, "[[1,2],[1,2],[1,2]]", "", 2)
			if status, err := c.Service().Tree(t.Context(), top); err != nil || status.Tasks != 11 || status.Completed != 11 {
				t.Errorf("%+v, %v", status, err)
			}
		})
	}
}

// TestWhyOfExpandedTasks: they say which of the tasks that they found they wait for, and what these wait for, by name.
func TestWhyOfExpandedTasks(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	inner := `{"items":[1,2,3],"window":2,"task":{"name":"inner {{item}}","schemas":{"method":"end_executor"},"inputs":{"wait":true}}}`
	out := c.Submit(coordinator.SubmitOptions{}, expands("why", "", "map_executor", `{"items":[1,2],"task":{"name":"outer {{item}}","schemas":{"method":"map_executor"},"inputs":`+inner+`}}`))
	c.Eventually("it says so", func() error {
		e, err := c.Service().Why(t.Context(), "why")
		if err != nil {
			return err
		}
		if e.State != dag.Expanded || !strings.Contains(e.Summary, "waits for 2 of the 2 tasks that it found") || len(e.Waits) != 2 {
			return fmt.Errorf("%+v", e)
		}
		for n, w := range e.Waits {
			if w.Kind != coordinator.WaitDependency || w.TaskName != fmt.Sprintf("outer %d", n+1) || w.TaskState != dag.Expanded ||
				!strings.Contains(w.Text, "waits for 3 of the 3 tasks that it found, of which 1 are yet to be made (window 2)") ||
				!strings.Contains(w.Text, "inner 1") || !strings.Contains(w.Text, "inner 2") || !strings.Contains(w.Text, "which is running") {
				return fmt.Errorf("%+v", w)
			}
		}
		return nil
	})
	if _, err := c.Service().Cancel(t.Context(), "why", coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Settled(out.TreeID)
}
