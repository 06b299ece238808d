package docker

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// ID is the executor's id.
const ID = "docker_executor"

// defaultTimeout is for tasks without one, in seconds (spec 8.7).
const defaultTimeout = json.Number("60")

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "image": {"type": "string", "description": "Name of the image, as for docker run; a digest (name@sha256:...) always means the same image"},
    "command": {"type": ["string", "array"], "items": {"type": ["string", "object"]}, "description": "A list of words, or a text that is split into words as a shell does, without a shell: operators are text. An empty list: the image's own command. An artifact becomes the path of a file in the container"},
    "entrypoint": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "Instead of the image's entrypoint; as command"},
    "env": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean", "object"]}, "default": {}, "description": "Environment variables. An artifact becomes the path of a file in the container"},
    "volumes": {"type": ["object", "null"], "default": {}, "description": "By directory of the host, or name of a volume: its place in the container, with :ro after it to read only; or {\"bind\": place, \"mode\": \"ro\"}. The pool's policy says what may be mounted"},
    "tmpfs": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "integer"]}, "description": "File systems in memory: place in the container and size, such as 64m"},
    "working_dir": {"type": ["string", "null"], "description": "Working directory in the container"},
    "user": {"type": ["string", "null"], "description": "User, or user:group, in the container"},
    "stdin": {"type": ["string", "object", "null"], "description": "Text for the standard input, or an artifact, whose content it is then"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 60, "description": "Seconds, for everything: pulling the image, too. By default the task's own timeout, and 60 if it has none"},
    "remove": {"type": ["boolean", "null"], "default": true, "description": "Remove the container at its end. false keeps it, stopped, for a day"},
    "resources": {"type": ["object", "null"], "properties": {
      "cpu": {"type": ["string", "number", "null"], "description": "Cores, such as 0.5"},
      "memory": {"type": ["string", "integer", "null"], "description": "Such as 512m; by default what the pool's policy says, or 2g"},
      "pids": {"type": ["integer", "null"], "minimum": 1, "description": "Processes and threads"},
      "shm": {"type": ["string", "integer", "null"], "description": "Size of /dev/shm, such as 64m"}}, "description": "Limits"},
    "gpus": {"type": ["string", "integer", "array", "null"], "items": {"type": "string"}, "description": "all, a number, or a list of ids"},
    "network": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "Networks to join: bridge, none, or others that the pool's policy allows"},
    "pull": {"type": ["string", "null"], "enum": ["always", "missing", "never", null], "default": "missing", "description": "When to fetch the image from its registry"},
    "registry_auth": {"type": ["object", "null"], "properties": {
      "username": {"type": "string", "description": "User, or the name of a token"}, "password": {"type": "string", "description": "Password, or the token"},
      "identity_token": {"type": "string", "description": "Instead of username and password"}}, "description": "Login at the image's registry; take the password from a secret"},
    "read_only": {"type": ["boolean", "null"], "default": false, "description": "The container can't write to its root file system"},
    "init": {"type": ["boolean", "null"], "default": false, "description": "Run the engine's init as the first process, which passes signals on"},
    "stop_grace": {"type": ["number", "null"], "minimum": 0, "description": "Seconds from the stop signal to SIGKILL, at most as long as the worker allows"},
    "cap_drop": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Capabilities to take away; ALL for all"},
    "cap_add": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Capabilities to add, if the pool's policy allows them"},
    "privileged": {"type": ["boolean", "null"], "default": false, "description": "All rights on the host, if the pool's policy allows it"},
    "devices": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Devices of the host, if the pool's policy allows them"},
    "host_namespaces": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Namespaces of the host to be in (pid, ipc, uts, user), if the pool's policy allows them"},
    "security_opt": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Security options, if the pool's policy allows them"},
    "separate": {"type": ["boolean", "null"], "default": false, "description": "Have stdout and stderr in the result as well, each for itself"},
    "fail_on_error": {"type": ["boolean", "null"], "default": false, "description": "Fail the task when the exit code is not 0"}
  },
  "required": ["image", "command"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "container_id": {"type": "string", "description": "Id of the container, which is gone unless remove is false"},
    "logs": {"type": ["string", "object"], "description": "What it wrote to stdout and stderr, as it came: text, or base64; an artifact, if it exceeded its bound and the task keeps outputs"},
    "exit_code": {"type": "integer", "description": "128 and the signal's number when a signal ended it"},
    "success": {"type": "boolean", "description": "The exit code is 0"},
    "image": {"type": "string", "description": "As the task named it"},
    "command": {"description": "As the task wrote it"},
    "image_id": {"type": "string", "description": "Digest of the image's configuration"},
    "image_digest": {"type": "string", "description": "Digest by which its registry has it; missing if it never came from one"},
    "oom_killed": {"type": "boolean", "description": "Present and true when it needed more memory than it may have"},
    "encoding": {"const": "base64", "description": "Present when logs is not text: it is in base64"},
    "stdout": {"type": ["string", "object"], "description": "With separate: text, or base64; an artifact, as logs"},
    "stderr": {"type": ["string", "object"], "description": "As stdout"},
    "artifacts": {"type": "array", "items": {"type": "object"}, "description": "The files that the task named"},
    "stdout_encoding": {"const": "base64", "description": "As encoding, of stdout"},
    "stderr_encoding": {"const": "base64", "description": "As encoding, of stderr"},
    "truncated": {"type": "boolean", "description": "Present and true when the output exceeded its bound"},
    "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "Which of logs, stdout and stderr: templates of other tasks can't read these"}
  },
  "required": ["container_id", "logs", "exit_code", "success", "image", "command"]
}`)

// Executor is docker_executor.
type Executor struct {
	engine *Engine
	cfg    Config
}

// New makes one, with an engine of its own.
func New(cfg Config) *Executor { return &Executor{NewEngine(cfg), cfg} }

// Engine runs containers for other executors under the same guards. It is closed with the executor.
func (e *Executor) Engine() *Engine { return e.engine }

// Close implements io.Closer.
func (e *Executor) Close() error { return e.engine.Close() }

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Docker Executor", Type: "docker",
		Description: "Runs a container on the worker's Docker engine and returns its exit code and output",
		Tags:        []string{"docker", "container"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      []executors.ErrorKind{{Word: executors.KindExit, Text: "The container ended with another code than 0, and `fail_on_error` is set"}},
		Cancelable: true, Secrets: true, Concurrency: executors.PerCore(),
		Examples: []executors.Example{
			{Title: "Run a command in an image", Inputs: json.RawMessage(`{"image": "alpine:3", "command": "echo hello"}`)},
			{Title: "Bound memory, cores and time, without a network", Inputs: json.RawMessage(
				`{"image": "registry.example/team/report:4", "command": ["report", "--month", "2026-11"], "env": {"FORMAT": "csv"}, ` +
					`"resources": {"cpu": "0.5", "memory": "512m"}, "network": "none", "timeout": 600}`)},
		},
	}
}

// Disabled implements [executors.Disabler].
func (e *Executor) Disabled() string { return e.engine.Disabled() }

// SwitchedOff is why the settings turn it off, whatever this machine has; empty: they don't.
func (e *Executor) SwitchedOff() string { return e.engine.switchedOff() }

// Check implements [executors.Checker]. It begins to sweep what dead workers left.
func (e *Executor) Check(context.Context) error {
	if e.Disabled() == "" {
		e.engine.Watch()
	}
	return nil
}

// Demo implements [executors.Demonstrator], with the keys of spec 8.7.
func (e *Executor) Demo(*executors.Call) (any, time.Duration) {
	return map[string]any{"return_code": 0, "stdout": "Demo container output", "stderr": "", "execution_time": 1.0}, time.Second
}

// Result tells how a container ended (spec 8.7).
type Result struct {
	ContainerID     string          `json:"container_id"`
	Logs            string          `json:"logs"`
	ExitCode        int             `json:"exit_code"`
	Success         bool            `json:"success"`
	Image           string          `json:"image"`
	Command         json.RawMessage `json:"command"`
	ImageID         string          `json:"image_id,omitempty"`
	ImageDigest     string          `json:"image_digest,omitempty"`
	OOMKilled       bool            `json:"oom_killed,omitempty"`
	Encoding        string          `json:"encoding,omitempty"` // of Logs: empty for text, or base64
	Stdout          *string         `json:"stdout,omitempty"`
	Stderr          *string         `json:"stderr,omitempty"`
	StdoutAs        string          `json:"stdout_encoding,omitempty"`
	StderrAs        string          `json:"stderr_encoding,omitempty"`
	Truncated       bool            `json:"truncated,omitempty"`
	TruncatedFields []string        `json:"truncated_fields,omitempty"`

	killed bool // the engine does not say why
}

// Run implements [executors.Executor]. A container that exits with another code than 0 is a success of the task, unless fail_on_error is
// set. When Run returns, the container is gone; what it wrote until then is the partial result.
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	scratch := workdir.NewScratch("")
	defer scratch.Remove()
	received, err := workdir.ReceiveAs(ctx, call, []string{"command", "entrypoint", "env"}, []string{"stdin"}, func() (string, error) { return scratch.Dir("files") }, filesPlace)
	if err != nil {
		return nil, err
	}
	given := *call
	given.Inputs = received.Inputs
	in, c, err := parse(&given)
	if err != nil {
		return nil, err
	}
	if e.cfg.Off {
		return nil, invalid(e.Disabled())
	}
	if _, bound := ctx.Deadline(); in.Timeout == "" && !bound {
		in.Timeout = defaultTimeout
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, "Container timeout") // spec 8.7's words
	if err != nil {
		return nil, err
	}
	defer cancel()
	if until, bound := ctx.Deadline(); bound {
		c.Limit = time.Until(until)
	}
	stdin, err := in.stdin(ctx, call, scratch)
	if err != nil {
		return nil, err
	}
	if stdin != nil {
		defer func() { _ = stdin.Close() }()
	}
	if received.Env != nil {
		maps.Copy(c.Env, received.Env)
		c.Files, _ = scratch.Dir("files") // it is there
	}
	c.Exited = func(ctx context.Context, exit Exit, inside Inside) error {
		if in.FailOnError && exit.Code != 0 {
			return nil
		}
		return inside.Collect(ctx, call)
	}
	out := newOutputs(call, in, e.cfg.MaxOutputBytes)
	defer out.discard()
	exit, err := e.engine.Run(ctx, OwnerOf(call), c, out.streams(stdin))
	out.close()
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return nil, invalid(refused.Error())
	}
	result := out.result(in, exit)
	result.Success = err == nil && exit.Code == 0
	switch {
	case err != nil && exit.Container == "":
		return nil, err
	case err != nil:
		return executors.Partial(result), err
	case in.FailOnError && !result.Success:
		return executors.Partial(result), result.failure()
	}
	shown, err := out.keep(ctx, call, in, result)
	if err != nil {
		return nil, err
	}
	return executors.Completed(shown), nil
}

func invalid(reason string) error { return executors.Invalid(ID, reason) }
