package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// counting counts how often it runs, and shows the result of its input "shows" when it is demonstrated.
type counting struct {
	told
	runs *atomic.Int64
}

func (e *counting) Run(context.Context, *executors.Call) (*executors.Outcome, error) {
	e.runs.Add(1)
	return executors.Completed(map[string]bool{"real": true}), nil
}

func (e *counting) Demo(call *executors.Call) (any, time.Duration) {
	var in struct{ Shows json.RawMessage }
	_ = json.Unmarshal(call.Inputs, &in)
	return in.Shows, time.Millisecond
}

func result(c *cluster.Cluster, id string) string {
	c.T.Helper()
	c.Settled(id)
	t, err := c.Service().Task(c.T.Context(), id)
	if err != nil {
		c.T.Fatal(err)
	}
	return string(t.Result) + t.Error
}

// TestDemonstrations run nothing, and leave nothing for a later execution.
func TestDemonstrations(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Pools: []string{"p"}, Executors: func() []executors.Executor {
		strict := json.RawMessage(`{"type": "object", "properties": {"needed": {"type": "string"}}, "required": ["needed"]}`)
		return []executors.Executor{&counting{told{executors.Description{ID: "x", Name: "X", Type: "go", Inputs: strict}}, &runs}}
	}})
	submit := func(opts coordinator.SubmitOptions, id, inputs string) {
		t.Helper()
		c.Submit(opts, &dag.Task{ID: id, Name: id, Priority: dag.Normal, Executor: "x", Pool: "p", Inputs: json.RawMessage(inputs)})
	}
	for name, tt := range map[string]struct{ shows, want string }{
		"object": {`{"a":1}`, `{"a":1,"demo_mode":true}`},
		"list":   {`[1,2]`, `{"result":[1,2],"demo_mode":true}`},
		"text":   {`"x"`, `{"result":"x","demo_mode":true}`},
		"null":   {`null`, `{"result":null,"demo_mode":true}`},
		"sleeps": {`{"_demo_sleep":0.01}`, `{"demo_mode":true}`},
	} {
		submit(coordinator.SubmitOptions{Demo: true}, name, `{"shows":`+tt.shows+`}`)
		if got := result(c, name); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	// A held tree, then for real, then demonstrated again, in two coordinators by turns.
	submit(coordinator.SubmitOptions{Hold: true}, "held", `{"needed":"x","shows":1}`)
	for i, want := range []string{`{"result":1,"demo_mode":true}`, `{"real":true}`, `{"result":1,"demo_mode":true}`, `{"real":true}`} {
		opts := coordinator.ExecuteOptions{Force: i > 0, Demo: i%2 == 0}
		if got, err := c.Coordinators[i%2].P.Execute(t.Context(), "held", opts); err != nil || got.Outcome != coordinator.Started {
			t.Fatalf("execute: got %+v, %v", got, err)
		}
		if got := result(c, "held"); got != want {
			t.Errorf("execution %d: got %s, want %s", i, got, want)
		}
	}
	if n := runs.Load(); n != 2 {
		t.Errorf("the executor ran %d times, want 2", n)
	}
	// One that is off shows its result, too: nothing runs.
	c.Submit(coordinator.SubmitOptions{Demo: true}, &dag.Task{ID: "off", Name: "off", Priority: dag.Normal, Executor: "command_executor", Pool: "p", Inputs: json.RawMessage(`{"command":"id"}`)})
	if got := result(c, "off"); !strings.Contains(got, `"demo_mode":true`) {
		t.Errorf("got %s", got)
	}
	held, err := c.Service().Task(t.Context(), "held")
	if err != nil || strings.Contains(string(held.Inputs), "demo") {
		t.Errorf("got inputs %s, %v", held.Inputs, err)
	}
	var bad *coordinator.InvalidArgumentError
	_, err = c.Service().Submit(t.Context(), coordinator.SubmitOptions{Demo: true, Hold: true}, cluster.Seq([]*dag.Task{{Name: "x", Priority: dag.Normal}}))
	if !errors.As(err, &bad) || bad.Field != "use_demo" {
		t.Errorf("held and demonstrated: got %v", err)
	}
}

// TestDemonstrationsEndEarly by a cancellation and by a timeout, as other work does.
func TestDemonstrationsEndEarly(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor {
		return []executors.Executor{&counting{told{executors.Description{ID: "x", Name: "X", Type: "go"}}, &runs}}
	}})
	slow := json.RawMessage(`{"shows":{"_demo_sleep":3600}}`)
	c.Submit(coordinator.SubmitOptions{Demo: true}, &dag.Task{ID: "timeout", Name: "t", Priority: dag.Normal, Executor: "x", Inputs: slow, Timeout: 50 * time.Millisecond})
	if got := result(c, "timeout"); !strings.Contains(got, "timed out after 50ms") {
		t.Errorf("got %s", got)
	}
	c.Submit(coordinator.SubmitOptions{Demo: true}, &dag.Task{ID: "cancel", Name: "c", Priority: dag.Normal, Executor: "x", Inputs: slow})
	c.Eventually("it runs", func() error {
		if task, err := c.Service().Task(t.Context(), "cancel"); err != nil || task.State != dag.Running {
			return fmt.Errorf("%+v, %w", task, err)
		}
		return nil
	})
	if _, err := c.Service().Cancel(t.Context(), "cancel", coordinator.CancelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Eventually("it has stopped", func() error {
		all, err := c.Service().Attempts(t.Context(), "cancel")
		if err != nil || len(all) != 1 || all[0].Running {
			return fmt.Errorf("%+v, %w", all, err)
		}
		return nil
	})
}

// TestDemonstrationTimeIsScaled: 0 is for none.
func TestDemonstrationTimeIsScaled(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	c := cluster.Start(t, cluster.Options{Worker: func(w *config.Worker) { w.DemoSleepScale = 0 }, Executors: func() []executors.Executor {
		return []executors.Executor{&counting{told{executors.Description{ID: "x", Name: "X", Type: "go"}}, &runs}}
	}})
	c.Submit(coordinator.SubmitOptions{Demo: true}, &dag.Task{ID: "a", Name: "a", Priority: dag.Normal, Executor: "x", Inputs: json.RawMessage(`{"shows":{"_demo_sleep":3600}}`)})
	if got := result(c, "a"); got != `{"demo_mode":true}` {
		t.Errorf("got %s", got)
	}
}

// TestDemonstrationsNeedTheirLevel: an older process would run them.
func TestDemonstrationsNeedTheirLevel(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Levels: dag.AllLevels[:dag.DemoLevel-1]}) // an older coordinator
	c.Upgrade(dag.AllLevels)
	newer := c.AddCoordinator().P
	tree := cluster.Seq([]*dag.Task{{ID: "held", Name: "held", Priority: dag.Normal, Executor: "noop_executor"}})
	if _, err := newer.Submit(t.Context(), coordinator.SubmitOptions{Hold: true}, tree); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if low, ok := errors.AsType[*dag.LevelError](err); !ok || !strings.Contains(low.Error(), "demonstrations") {
			t.Errorf("%s: got %v, want a refusal by level", what, err)
		}
	}
	_, err := newer.Submit(t.Context(), coordinator.SubmitOptions{Demo: true}, cluster.Seq([]*dag.Task{{Name: "x", Priority: dag.Normal, Executor: "noop_executor"}}))
	refused("submit", err)
	_, err = newer.Execute(t.Context(), "held", coordinator.ExecuteOptions{Demo: true})
	refused("execute", err)
	if held, err := newer.Task(t.Context(), "held"); err != nil || held.State != dag.Held {
		t.Errorf("got %+v, %v", held, err)
	}
}
