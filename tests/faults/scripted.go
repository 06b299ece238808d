package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// ScriptedID is the id of [Scripted].
const ScriptedID = "scripted_executor"

// Scripted is an executor that does what the script in its inputs says, and notes it in a journal.
type Scripted struct {
	Journal *Journal
	Dir     string // gates are open when a file named like the task, or its tree, is here
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
	if err := s.use(call); err != nil {
		if noted := s.Journal.note("refused", call.TaskID, call.Attempt, os.Getpid()); noted != nil {
			return nil, noted
		}
		return nil, err
	}
	if usesModels(call.TaskID) { // see CheckSettled
		call.Record("scripted", executors.Usage{Calls: 1, PromptTokens: int64(call.Attempt), CompletionTokens: call.Spent.Calls})
	}
	how, result, err := s.perform(ctx, call, script.Script, inputs)
	if err == nil {
		if err = s.use(call); err != nil {
			how, result = "refused", nil
		}
	}
	if noted := s.Journal.note(how, call.TaskID, call.Attempt, os.Getpid()); noted != nil {
		return nil, noted
	}
	if err != nil {
		return executors.Partial(result), err
	}
	return outcome(call, script.Script, result), nil
}

// use has what the lock of an attempt is for see its token. It takes no older one than it has seen.
func (s *Scripted) use(call *executors.Call) error {
	if call.Lock == nil {
		return nil
	}
	taken, err := takeToken(s.Dir, call.Lock.Key, call.Lock.Token)
	if err != nil {
		return err
	}
	if err := s.Journal.lock(call.TaskID, call.Attempt, os.Getpid(), call.Lock.Key, call.Lock.Token, taken); err != nil {
		return err
	}
	if !taken {
		return fmt.Errorf("token %d of lock %s is older than one that was used", call.Lock.Token, call.Lock.Key)
	}
	return nil
}

// takeToken is a service that a lock guards: a file that holds the greatest token it has seen. It reports whether this one is none that is older.
func takeToken(dir, key string, token int64) (taken bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock-"+key), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil { // until it is closed
		return false, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return false, err
	}
	seen, _ := strconv.ParseInt(string(text), 10, 64) // 0: nobody has used it
	if token < seen {
		return false, nil
	}
	_, err = f.WriteAt(strconv.AppendInt(nil, token, 10), 0) // it has as many digits, or more
	return true, err
}

// outcome is what an attempt ends with that does not fail.
func outcome(call *executors.Call, script oracle.Script, result any) *executors.Outcome {
	switch w := script.Wait; {
	case script.Skip != "":
		return executors.Skip(script.Skip, result)
	case script.Collect != "":
		found := executors.Expand{Tasks: script.Found, Collect: string(script.Collect)}
		if m := script.Map; m != nil {
			var items mapping
			_ = json.Unmarshal(script.Found, &items) // an expansion of nothing is refused
			found.Tasks, found.Items, found.Each, found.Window, found.StopOnFailure = nil, items.Items, items.Each, m.Window, m.Stop
		}
		return executors.Expanding(found)
	case w != nil && call.Answer == nil:
		return executors.Awaiting(await(script))
	}
	return executors.Completed(result)
}

// await is what an attempt waits for.
func await(script oracle.Script) executors.Await {
	w := script.Wait
	a := executors.Await{Kind: executors.AwaitKind(w.Kind), Resume: w.Resume}
	switch {
	case w.Kind == "time" || !w.Comes:
		a.Timeout = time.Duration(20+script.Add%80) * time.Millisecond
	case script.Add%2 == 0: // it comes long before
		a.Timeout = time.Hour
	}
	data := map[string]any{}
	switch w.Kind {
	case "time":
		data["result"] = script.Answer()
	case "signal":
		a.Name = SignalName
	case "approval":
		data["message"] = "Is it right?"
	}
	switch {
	case w.Skips && w.Rejects:
		data["on_reject"] = "skip"
	case w.Skips:
		data["on_timeout"] = "skip"
	case w.Gives && w.Kind == "approval":
		data["on_timeout"] = map[string]any{"choice": dag.ChoiceApprove}
	case w.Gives:
		data["on_timeout"] = script.Answer()
	}
	a.Data = data
	return a
}

// usesModels tells which tasks say that they use a model.
func usesModels(task string) bool { return crc32.ChecksumIEEE([]byte(task))%3 == 0 }

func (s *Scripted) perform(ctx context.Context, call *executors.Call, script oracle.Script, inputs map[string]any) (how string, result any, err error) {
	if script.Hang {
		<-ctx.Done()
		return "cut", nil, context.Cause(ctx)
	}
	if script.Gate {
		for !s.opened(call.TaskID) && !s.opened(call.TreeID) {
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
	err = executors.WithKind(err, script.Kind)
	err = executors.RetryAfter(err, time.Duration(script.RetryAfter)*time.Millisecond)
	if script.Permanent {
		err = executors.Permanent(err)
	}
	return "failed", nil, err
}

func gateFile(dir, task string) string { return filepath.Join(dir, "open-"+task) }

// OpenGate lets a task go that waits at its gate, or all tasks of a tree. dir is that of the parts' settings.
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
	FindTasks(tree)
	out := make([]*dag.Task, len(tree.Tasks))
	for i, t := range tree.Tasks {
		task := &dag.Task{ID: t.ID, Name: t.ID, Priority: dag.Priority(i % dag.Priorities)}
		if t.Parent >= 0 {
			task.ParentRef = tree.Tasks[t.Parent].ID
		}
		for _, d := range t.Deps {
			mode, ok := dag.EdgeOf(d.Accept, d.Otherwise, d.Order, d.Skips)
			if !ok {
				panic(fmt.Sprintf("task %s: %+v", t.ID, d))
			}
			task.Dependencies = append(task.Dependencies, dag.Dependency{Ref: tree.Tasks[d.On].ID, Optional: d.Optional, Legacy: d.Plain, Mode: mode})
		}
		out[i] = task
		beyond(task, tree, i)
		if t.Group {
			continue
		}
		task.Executor, task.Pool = ScriptedID, Pools[i%len(Pools)]
		task.Inputs, _ = json.Marshal(map[string]any{oracle.ScriptKey: t.Script})
		if t.Mapped {
			task.Schemas = json.RawMessage(`{"input_schema":{"properties":{"sum":{"type":"integer"},"keys":{"type":"array"}}}}`)
		}
		task.Retry = dag.RetryPolicy{MaxAttempts: t.MaxAttempts, InitialDelay: time.Duration(1+i%20) * time.Millisecond,
			MaxDelay: 40 * time.Millisecond, Backoff: []dag.Backoff{dag.Exponential, dag.Linear, dag.Fixed}[i%3], RetryOn: kindsOf(t.RetryOn), NoRetryOn: kindsOf(t.NoRetryOn)}
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
	return Submitted(out, tree)
}

func kindsOf(words []string) (out []dag.Kind) {
	for _, w := range words {
		out = append(out, dag.Kind(w))
	}
	return out
}

// until is the condition of a repetition.
func until(r *oracle.Repeat) string { return fmt.Sprintf("attempt >= %d", r.Until) }

// beyond gives a task what the protocol does not have.
func beyond(task *dag.Task, tree oracle.Tree, i int) {
	t := tree.Tasks[i]
	task.Fold, task.AllowFailure, task.Limiting = t.Fold, t.AllowFailure, t.Limiting
	var c dag.Control
	if w := t.When; w != nil {
		ref := ""
		if len(t.Deps) > 0 {
			ref = tree.Tasks[t.Deps[w.Dep].On].ID
		}
		c.When = w.CEL(ref)
	}
	if r := t.Script.Repeat; r != nil {
		c.Repeat = &dag.Repeat{Until: until(r), Max: r.Max, Delay: time.Millisecond}
	}
	if c.When != "" || c.Repeat != nil {
		task.Control = &c
	}
	if e := t.Imported; e != nil {
		task.Imported = &dag.Imported{State: e.State, Attempts: int32(e.Attempts)}
		if e.Result != nil {
			task.Imported.Result, _ = json.Marshal(e.Result)
		}
	}
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
