package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// polls is an executor that says what it was called with, and fails the first attempt of each run of a task that is called so.
type polls struct {
	mu   *sync.Mutex
	keys map[string][]string // of each task, in the order of its attempts
}

func (polls) Describe() executors.Description {
	return executors.Description{ID: "poll_executor", Name: "Poll", Description: "Says what it was called with."}
}

func (p polls) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := p.keys[call.TaskID]
	again := len(keys) > 0 && keys[len(keys)-1] == call.IdempotencyKey
	p.keys[call.TaskID] = append(keys, call.IdempotencyKey)
	switch {
	case call.TaskID == "flaky" && !again:
		return nil, errors.New("not yet")
	case call.TaskID == "waits":
		return executors.Awaiting(executors.Await{Kind: executors.AwaitTime, Timeout: time.Second}), nil
	case call.TaskID == "skips" && call.Repeat == 1:
		return executors.Skip("enough", nil), nil
	case call.TaskID == "text":
		return executors.Completed("no object"), nil
	}
	value := map[string]any{"run": call.Repeat}
	if call.Repeat == 3 {
		value["done"] = "yes" // before that there is none
	}
	return executors.Completed(value), nil
}

// TestRepeat: a task runs until its condition holds of its result, or as often as it may; each run has an idempotency key and retries of its own.
func TestRepeat(t *testing.T) {
	t.Parallel()
	for name, sealed := range map[string]bool{"plain": false, "sealed, and asked for": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := polls{&sync.Mutex{}, map[string][]string{}}
			c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2, Executors: func() []executors.Executor { return []executors.Executor{p} },
				Coordinator: func(s *config.Coordinator) {
					if sealed {
						s.InlineBytes, s.SealKey, s.SealValues = 1<<10, "c2VhbGVkIGluIGFsbCB0ZXN0cyBvZiBhIGNsdXN0ZXI=", true
					}
				}})
			big := fmt.Sprintf(`{"filler":%q}`, strings.Repeat("f", 5000))
			for _, test := range []struct {
				id, until, outputs string
				most               int
				retry              int
				want, outputsWant  string
				fault, kind        string
				ends               string
			}{
				{id: "done", until: `has(result.done) && inputs.filler != "" && task.id == "done"`, outputs: `{"it":"{{result.done}}"}`, most: 9, want: `{"run":3,"done":"yes"}`, outputsWant: `{"it":"yes"}`,
					ends: "repeated repeated repeated completed"},
				{id: "exhausted", until: "result.run > 5", most: 2, want: `{"run":1,"repeat_exhausted":true}`, ends: "repeated completed"},
				{id: "once", until: "false", most: 1, want: `{"run":0,"repeat_exhausted":true}`, ends: "completed"},
				{id: "text", until: "false", most: 2, want: `{"value":"no object","repeat_exhausted":true}`, ends: "repeated completed"},
				{id: "attempts", until: "attempt == 3", most: 9, want: `{"run":2}`, ends: "repeated repeated completed"},
				{id: "flaky", until: "result.run == 2", most: 9, retry: 2, want: `{"run":2}`, ends: "failed repeated failed repeated failed completed"},
				{id: "skips", until: "false", most: 9, want: `{"skipped":true,"reason":"enough"}`, ends: "repeated skipped"},
				{id: "broken", until: "result.nothing > 1", most: 9, retry: 3, fault: "when_error: repeat.until: line 1, column", kind: "when_error", ends: "failed"},
				{id: "waits", until: "false", most: 9, retry: 3, fault: "a task with repeat can't wait", kind: "output", ends: "failed"},
			} {
				t.Run(test.id, func(t *testing.T) {
					t.Parallel()
					task := with(noop(test.id, ""), big)
					task.Executor, task.Retry = "poll_executor", dag.RetryPolicy{MaxAttempts: test.retry, InitialDelay: time.Millisecond}
					task.Control = &dag.Control{Repeat: &dag.Repeat{Until: test.until, Max: test.most, Delay: time.Millisecond}}
					if test.outputs != "" {
						task.Control.Outputs = []byte(test.outputs)
					}
					c.Settled(c.Submit(coordinator.SubmitOptions{}, task).TreeID)
					got := c.Tasks(test.id)[test.id]
					if test.fault != "" {
						if got.State != dag.Failed || !strings.Contains(got.Error, test.fault) {
							t.Errorf("%s: %s", got.State, got.Error)
						}
					} else {
						same(t, "result", got.Result, test.want)
					}
					if test.outputsWant != "" {
						same(t, "outputs", got.Outputs, test.outputsWant)
					}
					attempts, err := c.Service().Attempts(t.Context(), test.id)
					if err != nil {
						t.Fatal(err)
					}
					var ends []string
					for _, a := range attempts {
						ends = append(ends, a.Outcome.String())
						if a.Kind != "" && test.kind != "" && string(a.Kind) != test.kind {
							t.Errorf("attempt %d is of the kind %s", a.Number, a.Kind)
						}
					}
					if strings.Join(ends, " ") != test.ends {
						t.Errorf("its attempts ended %v, want %s", ends, test.ends)
					}
					p.mu.Lock()
					defer p.mu.Unlock()
					keys, runs := p.keys[test.id], 1+strings.Count(test.ends, "repeated")
					distinct := map[string]bool{}
					for _, k := range keys {
						distinct[k] = true
					}
					if len(keys) != len(ends) || len(distinct) != runs {
						t.Errorf("%d runs in %d attempts had the keys %v", runs, len(ends), keys)
					}
				})
			}
		})
	}
}

// TestRepeatBegins anew when a task is run once more: what went before does not count for its most.
func TestRepeatBegins(t *testing.T) {
	t.Parallel()
	p := polls{&sync.Mutex{}, map[string][]string{}}
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{p} }})
	task := noop("again", "")
	task.Executor, task.Control = "poll_executor", &dag.Control{Repeat: &dag.Repeat{Until: `result.run == 1 ? result.missing : false`, Max: 5, Delay: time.Millisecond}}
	c.Settled(c.Submit(coordinator.SubmitOptions{}, task).TreeID)
	for range 2 {
		if got := c.Tasks("again")["again"]; got.State != dag.Failed || !strings.HasPrefix(got.Error, "when_error") {
			t.Fatalf("%s: %s", got.State, got.Error)
		}
		if _, err := c.Service().Execute(t.Context(), "again", coordinator.ExecuteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.Settled("again")
	}
	if n := len(p.keys["again"]); n != 6 {
		t.Errorf("it ran %d times, want 2 in each of 3 executions", n)
	}
}
