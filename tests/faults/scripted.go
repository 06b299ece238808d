package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// ScriptedID is the id of [Scripted].
const ScriptedID = "scripted_executor"

// Scripted is an executor that does what the script in its inputs says, and notes it in a journal.
type Scripted struct {
	Journal *Journal
	Dir     string // gates are open when a file named like the task is here
}

// Describe implements [executors.Executor].
func (*Scripted) Describe() executors.Description {
	return executors.Description{ID: ScriptedID, Name: "Scripted Executor", Type: "test", Cancelable: true}
}

// Run implements [executors.Executor].
func (s *Scripted) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	began := time.Now() // first of all: a process that is frozen from here on could not know that its lease would end
	var inputs map[string]any
	var script struct{ Script oracle.Script }
	if err := json.Unmarshal(call.Inputs, &inputs); err != nil {
		return nil, executors.Permanent(err)
	}
	if err := json.Unmarshal(call.Inputs, &script); err != nil {
		return nil, executors.Permanent(err)
	}
	if err := s.Journal.start(began, call.TaskID, call.Attempt, os.Getpid(), call.IdempotencyKey); err != nil {
		return nil, err
	}
	if usesModels(call.TaskID) { // see CheckSettled
		call.Record("scripted", executors.Usage{Calls: 1, PromptTokens: int64(call.Attempt), CompletionTokens: call.Spent.Calls})
	}
	how, result, err := s.perform(ctx, call, script.Script, inputs)
	if noted := s.Journal.note(how, call.TaskID, call.Attempt, os.Getpid()); noted != nil {
		return nil, noted
	}
	if err != nil {
		return executors.Partial(result), err
	}
	return executors.Completed(result), nil
}

// usesModels tells which tasks say that they use a model.
func usesModels(task string) bool { return crc32.ChecksumIEEE([]byte(task))%3 == 0 }

func (s *Scripted) perform(ctx context.Context, call *executors.Call, script oracle.Script, inputs map[string]any) (how string, result any, err error) {
	if script.Hang {
		<-ctx.Done()
		return "cut", nil, context.Cause(ctx)
	}
	if script.Gate {
		for !s.opened(call.TaskID) {
			if !pause(ctx, 5*time.Millisecond) {
				return "cut", nil, context.Cause(ctx)
			}
		}
	}
	if script.Millis > 0 && !pause(ctx, time.Duration(script.Millis)*time.Millisecond) {
		return "cut", nil, context.Cause(ctx)
	}
	if !script.Fails(call.Attempt) {
		return "done", script.Result(inputs), nil
	}
	err = fmt.Errorf("attempt %d was told to fail", call.Attempt)
	err = executors.RetryAfter(err, time.Duration(script.RetryAfter)*time.Millisecond)
	if script.Permanent {
		err = executors.Permanent(err)
	}
	return "failed", nil, err
}

func gateFile(dir, task string) string { return filepath.Join(dir, "open-"+task) }

// OpenGate lets a task go that waits at its gate. dir is that of the parts' settings.
func OpenGate(dir, task string) error { return os.WriteFile(gateFile(dir, task), nil, 0o600) }

func (s *Scripted) opened(task string) bool {
	_, err := os.Stat(gateFile(s.Dir, task))
	return err == nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Pools are the queues that scripted tasks are spread over.
var Pools = []string{"fault-a", "fault-b"}

// hangTimeout is the timeout of tasks that hang.
const hangTimeout = 150 * time.Millisecond

// TasksOf are the tree's tasks as a client submits them: with priorities, retries, times and pools that must not matter
// to how it ends. now is what not-before times count from.
func TasksOf(tree oracle.Tree, now time.Time) []*dag.Task {
	out := make([]*dag.Task, len(tree.Tasks))
	for i, t := range tree.Tasks {
		task := &dag.Task{ID: t.ID, Name: t.ID, Priority: dag.Priority(i % dag.Priorities)}
		if t.Parent >= 0 {
			task.ParentRef = tree.Tasks[t.Parent].ID
		}
		for _, d := range t.Deps {
			task.Dependencies = append(task.Dependencies, dag.Dependency{Ref: tree.Tasks[d.On].ID, Optional: d.Optional, Legacy: d.Plain})
		}
		out[i] = task
		if t.Group {
			continue
		}
		task.Executor, task.Pool = ScriptedID, Pools[i%len(Pools)]
		task.Inputs, _ = json.Marshal(map[string]any{oracle.ScriptKey: t.Script})
		if t.Mapped {
			task.Schemas = json.RawMessage(`{"input_schema":{"properties":{"sum":{"type":"integer"},"keys":{"type":"array"}}}}`)
		}
		task.Retry = dag.RetryPolicy{MaxAttempts: t.MaxAttempts, InitialDelay: time.Duration(1+i%20) * time.Millisecond,
			MaxDelay: 40 * time.Millisecond, Backoff: []dag.Backoff{dag.Exponential, dag.Linear, dag.Fixed}[i%3]}
		task.Repeatable = Repeatable(i)
		if t.Script.Hang {
			task.Timeout = hangTimeout
		}
		switch i % 16 {
		case 3:
			task.NotBefore = now.Add(time.Duration(i) * time.Millisecond)
		case 9:
			task.ScheduleToStart = time.Hour
		case 11:
			task.Timeout = time.Hour
		}
		if t.Script.Hang {
			task.Timeout = hangTimeout
		}
	}
	return out
}

// Repeatable tells which tasks of a tree may start before their claim is confirmed.
func Repeatable(i int) bool { return i%7 == 5 }

// each yields tasks that are at hand.
func each(tasks []*dag.Task) func(yield func(*dag.Task, error) bool) {
	return func(yield func(*dag.Task, error) bool) {
		for _, t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	}
}
