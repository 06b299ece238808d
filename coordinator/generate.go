package coordinator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// GenerateOptions say what a tree is generated of (spec 5.3, 8.12). Zero fields have the executor's defaults.
type GenerateOptions struct {
	Requirement   string // in plain language; required
	UserID        string // owner of the task that generates, and of the tree
	Provider      string
	Model         string
	Temperature   *float64
	MaxTokens     int
	MaxTasks      int
	Executors     []string
	AllowCommands bool
	Budget        json.RawMessage // as llm_executor's input of that name; nil: none
	OnExhausted   string
	Timeout       time.Duration // for all; 0: [DefaultGenerateTimeout]; at most [MaxGenerateTimeout]
	Save          bool          // store the tree, held
	ModelKey      modelkey.Key  // as of [SubmitOptions]
	// Started is told the id of the task that generates, once it is stored; nil: nobody asks.
	Started func(taskID string)
}

// Bounds of the time that a generation may take.
const (
	DefaultGenerateTimeout = 5 * time.Minute
	MaxGenerateTimeout     = time.Hour
)

// Generated is a tree that was generated.
type Generated struct {
	TaskID     string          // that generated it
	Tasks      json.RawMessage // an array, ready to be submitted
	Count      int
	Message    string
	Model      string
	Repaired   bool // the model's first answer had faults
	Warnings   []string
	RootTaskID string            // of the stored tree, with Save
	IDMap      map[string]string // as of [Submitted], with Save
}

// GenerateError says why no tree came of a requirement. It is an [ErrConflict]; its text is safe to show.
type GenerateError struct {
	TaskID string // that was to generate it
	Text   string
}

// Error is the protocol's text.
func (e *GenerateError) Error() string { return e.Text }

// Unwrap makes it an [ErrConflict].
func (e *GenerateError) Unwrap() error { return ErrConflict }

// generator is the executor that generates trees.
const generator = "generate_executor"

// Texts of spec 5.3.
const (
	noKey     = "LLM API key not found"
	noKeyText = noKey + ". Please provide X-LLM-API-KEY header, or set OPENAI_API_KEY or ANTHROPIC_API_KEY environment variable or in a .env file."
)

func (g *guarded) Generate(ctx context.Context, opts GenerateOptions) (*Generated, error) {
	return askFor(ctx, g, Call{Method: "Generate", UserID: opts.UserID, Details: detail("save", opts.Save, "allow_commands", opts.AllowCommands)}, func(owner string) (*Generated, error) {
		opts.UserID = owner
		return Generate(asPart(ctx), g, opts)
	})
}

// Generate generates a tree; see [Service].
func (c *Coordinator) Generate(ctx context.Context, opts GenerateOptions) (*Generated, error) {
	return Generate(ctx, c, opts)
}

// Generate generates a tree by other calls of a service: it submits the task that generates, waits for its end, and with opts.Save submits what
// came of it. A task that nobody waits for any more is cancelled, as models cost money.
func Generate(ctx context.Context, svc Service, opts GenerateOptions) (*Generated, error) {
	task, err := opts.task()
	if err != nil {
		return nil, err
	}
	// Its tree's own deadline ends it also while it waits for a worker, if whoever waits for it is killed.
	sub, err := svc.Submit(ctx, SubmitOptions{UserID: opts.UserID, Timeout: opts.Timeout + abandoned, ModelKey: opts.ModelKey}, func(yield func(*dag.Task, error) bool) { yield(task, nil) })
	if err != nil {
		return nil, err
	}
	if opts.Started != nil {
		opts.Started(sub.TreeID)
	}
	waiting, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	if err = waitFor(waiting, svc, sub.TreeID); err != nil {
		abandoned := abandon(ctx, svc, sub.TreeID)
		if waiting.Err() != nil {
			err = abandoned
		}
		return nil, err
	}
	out, err := generated(ctx, svc, sub.TreeID)
	if err != nil || !opts.Save {
		return out, err
	}
	stored, err := svc.Submit(ctx, SubmitOptions{UserID: opts.UserID, Hold: true, IdempotencyKey: "generated-" + sub.TreeID}, treedoc.Parse(out.Tasks, treedoc.Options{}))
	if err != nil {
		return nil, err
	}
	out.RootTaskID, out.IDMap = stored.TreeID, stored.IDMap
	out.Message += fmt.Sprintf(" and saved to database (root_task_id: %s)", stored.TreeID)
	return out, nil
}

// task is the one that generates.
func (o *GenerateOptions) task() (*dag.Task, error) {
	switch {
	case strings.TrimSpace(o.Requirement) == "":
		return nil, &InvalidArgumentError{Field: "requirement", Reason: "is required"}
	case o.Temperature != nil && !(*o.Temperature >= 0 && *o.Temperature <= 2): // NaN, too
		return nil, &InvalidArgumentError{Field: "temperature", Reason: "must be a number from 0 to 2"}
	case o.Timeout < 0 || o.Timeout > MaxGenerateTimeout:
		return nil, &InvalidArgumentError{Field: "timeout", Reason: fmt.Sprintf("must be at most %g seconds", MaxGenerateTimeout.Seconds())}
	case o.Timeout == 0:
		o.Timeout = DefaultGenerateTimeout
	}
	inputs := map[string]any{"requirement": o.Requirement}
	for name, value := range map[string]any{
		"user_id": o.UserID, "llm_provider": o.Provider, "model": o.Model, "max_tokens": o.MaxTokens, "max_tasks": o.MaxTasks,
		"allow_commands": o.AllowCommands, "on_exhausted": o.OnExhausted,
	} {
		if value != "" && value != 0 && value != false {
			inputs[name] = value
		}
	}
	if o.Temperature != nil {
		inputs["temperature"] = *o.Temperature
	}
	if len(o.Executors) > 0 {
		inputs["executors"] = o.Executors
	}
	if len(o.Budget) > 0 {
		inputs["budget"] = o.Budget
	}
	text, err := json.Marshal(inputs)
	if err != nil {
		return nil, &InvalidArgumentError{Field: "budget", Reason: "must be a JSON object"}
	}
	return &dag.Task{Name: generator, Executor: generator, Priority: dag.Normal, Inputs: text, Schemas: json.RawMessage(`{"method":"` + generator + `"}`),
		Timeout: o.Timeout + abandoned}, nil
}

// abandoned is when a task ends by itself that nobody waits for and nobody has cancelled.
const abandoned = 10 * time.Second

// watchAgain is how often the waiting for a task is begun anew after a failure.
const watchAgain = 5

// waitFor waits until a tree's execution has ended; nil says that it has.
func waitFor(ctx context.Context, svc Service, id string) (err error) {
	after := int64(0)
	for tries := range watchAgain {
		if tries > 0 {
			sleep(ctx, time.Second)
		}
		var event *Event
		for event, err = range svc.Watch(ctx, id, after) {
			if err != nil {
				break
			}
			if event.Type == EventFinal {
				return nil
			}
			after = max(after, event.Sequence)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// abandon cancels a generation that nobody waits for any more, and says how far it had come.
func abandon(ctx context.Context, svc Service, id string) error {
	const within = 5 * time.Second // for each step
	status, why := dag.StatusInProgress, ""
	if ctx.Err() == nil { // somebody is told
		asking, cancel := context.WithTimeout(ctx, within)
		e, err := svc.Why(asking, id)
		cancel()
		if err == nil {
			status = e.State.Status()
			if status == dag.StatusPending {
				why = " (" + e.Summary + ")"
			}
		}
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	_, _ = svc.Cancel(after, id, CancelOptions{Reason: "nobody waits for it any more"}) // its deadline ends it otherwise
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &GenerateError{id, fmt.Sprintf("Task generation incomplete. Status: %s%s", status, why)}
}

// generated is what came of a task that has ended (spec 5.3).
func generated(ctx context.Context, svc Service, id string) (*Generated, error) {
	task, err := svc.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	switch status := task.State.Status(); {
	case status == dag.StatusFailed && strings.Contains(task.Error, noKey):
		return nil, &GenerateError{id, noKeyText}
	case status == dag.StatusFailed:
		return nil, &GenerateError{id, "Task generation failed: " + task.Error}
	case status != dag.StatusCompleted:
		return nil, &GenerateError{id, fmt.Sprintf("Task generation incomplete. Status: %s", status)}
	}
	var result struct {
		Tasks    json.RawMessage
		Model    string
		Repaired bool
		Warnings []string
	}
	var tasks []json.RawMessage
	if json.Unmarshal(task.Result, &result) != nil || json.Unmarshal(result.Tasks, &tasks) != nil || len(tasks) == 0 {
		return nil, &GenerateError{id, "No tasks were generated"}
	}
	return &Generated{
		TaskID: id, Tasks: bytes.Clone(result.Tasks), Count: len(tasks), Model: result.Model, Repaired: result.Repaired, Warnings: result.Warnings,
		Message: fmt.Sprintf("Successfully generated %d task(s)", len(tasks)),
	}, nil
}
