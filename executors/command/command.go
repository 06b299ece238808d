// Package command runs a program or a shell command on the worker's host (spec 8.2).
//
// It owns the switch of command_executor (off by default) and the shape of its result. It must not know which programs a whitelist allows,
// and what they see (package programs does), or how to keep a process from outliving its attempt (package guardian does).
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/programs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// ID is the executor's id.
const ID = "command_executor"

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "command": {"type": "string", "description": "Command to run: by the system shell, or as a program when args are given or the worker has a whitelist"},
    "args": {"type": ["array", "null"], "items": {"type": ["string", "object"]}, "description": "Arguments; command is then a program's name or path and there is no shell. An artifact becomes the path of a file"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds; by default the task's own timeout, and 30 if it has none"},
    "env": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "object"]}, "description": "Additional environment variables. An artifact becomes the path of a file"},
    "cwd": {"type": ["string", "null"], "description": "Working directory"},
    "stdin": {"type": ["string", "object", "null"], "description": "Text for the standard input, or an artifact, whose content it is then"},
    "stdin_from": {"type": ["string", "null"], "description": "Instead of stdin: a JSON pointer into the merged inputs, such as /fetch/body. Output of another command, and a body, come as they were: untrimmed, and decoded from base64; of an artifact, its content"},
    "fail_on_error": {"type": ["boolean", "null"], "default": false, "description": "Fail the task when the exit code is not 0"}
  },
  "required": ["command"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "command": {"type": "string", "description": "As it was given"},
    "return_code": {"type": "integer", "description": "Exit code; minus the signal's number when a signal ended it"},
    "stdout": {"type": ["string", "object"], "description": "Text without white space around it, or base64; an artifact, if it exceeded its bound and the task keeps outputs"},
    "stderr": {"type": ["string", "object"], "description": "As stdout"},
    "success": {"type": "boolean", "description": "The exit code is 0"},
    "encoding": {"const": "base64", "description": "Present when stdout is not text: it is in base64"},
    "stderr_encoding": {"const": "base64", "description": "As encoding, of stderr"},
    "stdout_trimmed": {"type": "array", "items": {"type": "string"}, "description": "What was trimmed before and after stdout, unless that is one newline after it"},
    "stderr_trimmed": {"type": "array", "items": {"type": "string"}, "description": "As stdout_trimmed, of stderr"},
    "artifacts": {"type": "array", "items": {"type": "object"}, "description": "The files that the task named"},
    "truncated": {"type": "boolean", "description": "Present and true when stdout or stderr exceeded its bound"},
    "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "Which of them: templates of other tasks can't read these"}
  },
  "required": ["command", "return_code", "stdout", "stderr", "success"]
}`)

// Executor is command_executor.
type Executor struct {
	cfg      Config
	programs *programs.Guard
}

// New reads the configuration and the worker's environment, once.
func New(cfg Config) *Executor {
	return &Executor{cfg: cfg, programs: programs.New(programs.Config{Allowed: cfg.Whitelist, KeepEnv: cfg.KeepEnv})}
}

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Command Executor", Type: "stdio",
		Description: "Runs a command on the worker's host and returns its exit code and output",
		Tags:        []string{"stdio", "command", "shell"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      []executors.ErrorKind{{Word: executors.KindExit, Text: "The command ended with another code than 0, or by a signal, and `fail_on_error` is set"}},
		Cancelable: true, Secrets: true, Concurrency: executors.PerCore(),
		Examples: []executors.Example{
			{Title: "Count the words of a text", Inputs: json.RawMessage(`{"command": "wc -w", "stdin": "the quick brown fox"}`)},
			{Title: "Run a program with arguments, without a shell", Inputs: json.RawMessage(`{"command": "date", "args": ["-u", "-d", "2026-01-31 + 1 month", "+%F"], "env": {"LC_ALL": "C"}}`)},
			{Title: "Fail when the command does", Inputs: json.RawMessage(`{"command": "test -d / && echo there", "timeout": 5, "fail_on_error": true}`)},
		},
	}
}

// Check implements [executors.Checker]: if commands are allowed, this program must be able to run as their guardian.
func (e *Executor) Check(ctx context.Context) error {
	if !e.cfg.Allow {
		return nil
	}
	return guardian.Check(ctx)
}

// Advice implements [executors.Adviser]: a whitelist with a program that starts others is none.
func (e *Executor) Advice() []string {
	named := e.programs.Launchers()
	if !e.cfg.Allow || len(named) == 0 {
		return nil
	}
	return []string{"the whitelist of commands does not confine them: " + strings.Join(named, ", ") +
		" can start any other program (or run code of the task's own)"}
}

type input struct {
	Command     *string           `json:"command"`
	Args        []string          `json:"args"`
	Timeout     json.Number       `json:"timeout"`
	Env         map[string]string `json:"env"`
	Cwd         string            `json:"cwd"`
	Stdin       json.RawMessage   `json:"stdin"`
	StdinFrom   string            `json:"stdin_from"`
	FailOnError bool              `json:"fail_on_error"`

	stdin io.Reader // nil: none
}

// Disabled implements [executors.Disabler].
func (e *Executor) Disabled() string {
	if e.cfg.Allow {
		return ""
	}
	return "commands are not allowed on this worker; TASKGROVE_COMMAND_ALLOW=true allows them"
}

// Demo implements [executors.Demonstrator].
func (e *Executor) Demo(call *executors.Call) (result any, takes time.Duration) {
	var in struct {
		Command string `json:"command"`
	}
	_ = json.Unmarshal(call.Inputs, &in) // a demonstration fails for nothing
	return &Result{Command: executors.Text([]byte(in.Command)), Stdout: "Demo output of the command", Success: true}, 100 * time.Millisecond
}

// Run implements [executors.Executor]. A command that exits with another code than 0 is a success of the task, unless
// fail_on_error is set. When the context ends, everything that the command started is gone before Run returns, and what
// it wrote until then is the partial result.
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	scratch := workdir.NewScratch("")
	defer scratch.Remove()
	received, err := workdir.Receive(ctx, call, []string{"args", "env"}, []string{"stdin"}, func() (string, error) { return scratch.Dir("in") })
	if err != nil {
		return nil, err
	}
	given := *call
	given.Inputs = received.Inputs
	var in input
	if err := inputs.Decode(ID, &given, &in); err != nil {
		return nil, err
	}
	if in.Command == nil || strings.TrimSpace(*in.Command) == "" {
		return nil, invalid("command is required in inputs")
	}
	if !e.cfg.Allow {
		return nil, invalid("Command execution is disabled by default for security. " +
			"Set AIPARTNERUPFLOW_STDIO_ALLOW_COMMAND=1 on the worker to enable it.")
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, "Command timeout") // spec 8.2's words
	if err != nil {
		return nil, err
	}
	defer cancel()
	if in.stdin, err = e.stdin(ctx, call, &in, scratch); err != nil {
		return nil, err
	}
	if closer, ok := in.stdin.(io.Closer); ok {
		defer func() { _ = closer.Close() }()
	}
	if len(call.Artifacts) > 0 && in.Cwd == "" { // the files that the task names are its own
		if in.Cwd, err = scratch.Dir("work"); err != nil {
			return nil, err
		}
	}
	cmd, err := e.prepare(call, &in)
	if err != nil {
		return nil, err
	}
	for name, path := range received.Env {
		cmd.Env = append(cmd.Env, name+"="+path)
	}
	stdout := workdir.NewSpill(call, executors.NewOutput(e.cfg.MaxOutputBytes, call.Reporter, "stdout"), e.cfg.MaxOutputBytes, "")
	stderr := workdir.NewSpill(call, executors.NewOutput(e.cfg.MaxOutputBytes, call.Reporter, "stderr"), e.cfg.MaxOutputBytes, "")
	defer stdout.Discard()
	defer stderr.Discard()
	cmd.Stdout, cmd.Stderr = stdout, stderr

	status, err := guardian.Run(ctx, cmd)
	_ = stdout.Close()
	_ = stderr.Close()

	result := &Result{
		Command: *in.Command, ReturnCode: status.Code, Success: err == nil && status.Code == 0,
		Truncated:       stdout.Truncated() || stderr.Truncated(),
		TruncatedFields: executors.TruncatedFields(map[string]bool{"stdout": stdout.Truncated(), "stderr": stderr.Truncated()}),
	}
	result.show(stdout.Output, stderr.Output)
	if status.Signal != 0 {
		result.ReturnCode = -int(status.Signal)
	}
	if status.Left > 0 {
		call.Reporter.Log("log", fmt.Sprintf("%d processes of another user could not be killed", status.Left))
	}
	switch start, ok := errors.AsType[*guardian.StartError](err); {
	case ok && passing(start.Err):
		return nil, err
	case ok:
		return nil, invalid("%v", err)
	case errors.Is(err, guardian.ErrLeaseEnded):
		return executors.Partial(result), executors.ErrLeaseLost
	case err != nil:
		return executors.Partial(result), err
	case in.FailOnError && !result.Success:
		return executors.Partial(result), result.failure(status.Signal, stderr.String())
	}
	shown, err := workdir.Keep(ctx, call, result, workdir.Kept{Name: "stdout", Output: stdout, Beside: []string{"encoding", "stdout_trimmed"}},
		workdir.Kept{Name: "stderr", Output: stderr, Beside: []string{"stderr_encoding", "stderr_trimmed"}})
	if err != nil {
		return nil, err
	}
	if err := workdir.Collect(ctx, call, in.Cwd); err != nil {
		return nil, err
	}
	return executors.Completed(shown), nil
}

// prepare decides what to start: a program if args are given or there is a whitelist, otherwise the shell.
func (e *Executor) prepare(call *executors.Call, in *input) (guardian.Command, error) {
	cmd := guardian.Command{Dir: in.Cwd, Lease: call.Lease, Grace: e.cfg.Grace}
	env, err := e.programs.Environment(call, in.Env)
	if err != nil {
		return cmd, invalid("%v", err)
	}
	cmd.Env = env
	if in.Cwd != "" {
		if info, err := os.Stat(in.Cwd); err != nil || !info.IsDir() {
			return cmd, invalid("cwd: %q is not a directory", in.Cwd)
		}
	}
	cmd.Stdin = in.stdin
	switch {
	case in.Args != nil:
		cmd.Args = append([]string{*in.Command}, in.Args...)
	case e.programs.Confined():
		if cmd.Args, err = programs.Split(*in.Command); err != nil {
			return cmd, invalid("command: %v", err)
		}
	default:
		cmd.Path, cmd.Args = shell, []string{"sh", "-c", *in.Command}
		if strings.ContainsRune(*in.Command, 0) {
			return cmd, invalid("command: contains a NUL")
		}
		return cmd, nil
	}
	if cmd.Path, err = e.programs.Program(cmd.Args, env, in.Cwd); errors.As(err, new(*programs.NotAllowedError)) {
		return cmd, invalid("%v", err)
	} else if err != nil {
		return cmd, invalid("command: %v", err)
	}
	return cmd, nil
}

// shell runs command lines where any command is allowed.
const shell = "/bin/sh"

// passing reports whether a program failed to start for lack of something that may be available later.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func invalid(format string, args ...any) error {
	return executors.Invalid(ID, fmt.Sprintf(format, args...))
}
