// Package process runs an external program as a step: with checks of what it leaves, values that it gives back, and outputs that are published whole
// or not at all (flows 6.2).
//
// It owns external.process: its inputs, the sandbox of their paths, its result and the end of an attempt by it. It must not know which programs an
// allow-list permits, and what they see (package programs does), how to keep a process from outliving its attempt (package guardian does), or what a
// flow is: what it says of one comes from the task's params.
package process

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/programs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// ID is the executor's id.
const ID = "external.process"

// Executor is external.process.
type Executor struct {
	cfg      command.Config
	place    func(pool string) workdir.Place
	programs *programs.Guard
}

// New makes one with the switch, bounds and allow-list of command_executor, but for the grace time, which tasks give. place is the directory that the tasks of
// a pool may use beside their own; nil: none.
func New(cfg command.Config, place func(pool string) workdir.Place) *Executor {
	if place == nil {
		place = func(string) workdir.Place { return workdir.Place{} }
	}
	return &Executor{cfg: cfg, place: place, programs: programs.New(programs.Config{Allowed: cfg.Whitelist, KeepEnv: cfg.KeepEnv})}
}

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "External Process", Type: "process",
		Description: "Runs a program on the worker's host, checks what it leaves, and publishes its output whole or not at all",
		Tags:        []string{"process", "command", "flows"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds: []executors.ErrorKind{
			{Word: executors.KindExit, Text: "The program ended with a code that is not among `success.exit_codes`, or by a signal"},
			{Word: KindOutput, Text: "The program did not leave what `success` asks for, or its result file can't be read; the text begins with `invalid_output:`"},
			{Word: workdir.KindEscape, Text: "A path leads out of the directories that the task may use"},
		},
		Cancelable: true, Secrets: true, Workspace: true, Concurrency: executors.PerCore(), Examples: examples,
	}
}

// Check implements [executors.Checker]: if commands are allowed, this program must be able to run as their guardian.
func (e *Executor) Check(ctx context.Context) error {
	if !e.cfg.Allow {
		return nil
	}
	return guardian.Check(ctx)
}

// Disabled implements [executors.Disabler].
func (e *Executor) Disabled() string {
	if e.cfg.Allow {
		return ""
	}
	return "commands are not allowed on this worker; TASKGROVE_COMMAND_ALLOW=true allows them"
}

// Demo implements [executors.Demonstrator].
func (*Executor) Demo(call *executors.Call) (result any, takes time.Duration) {
	r := map[string]any{"exit_code": 0, "attempts": call.Attempt}
	var in struct {
		Outputs map[string]any `json:"outputs"`
	}
	_ = json.Unmarshal(call.Inputs, &in) // a demonstration fails for nothing
	for name, value := range in.Outputs {
		r[name] = value
	}
	return r, 100 * time.Millisecond
}

func invalid(format string, args ...any) error {
	return executors.Invalid(ID, fmt.Sprintf(format, args...))
}

// Run implements [executors.Executor]. When the context ends, everything that the program started is gone before Run returns, and nothing has been
// published.
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	w, err := workdir.OpenWorkspaceWith(ctx, call, []string{"command", "args", "env"}, e.place(call.Pool))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Restore(ctx); err != nil {
		return nil, err
	}
	given := *call
	given.Inputs = w.Inputs
	in, err := read(&given, e.programs.Confined())
	if err != nil {
		return nil, err
	}
	if !e.cfg.Allow {
		return nil, invalid("%s", e.Disabled())
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r := &run{e: e, call: call, in: in, workspace: w}
	out, err := r.do(ctx)
	return out, executors.Ended(ctx, err)
}
