// Package python runs Python code with the packages that it asks for.
//
// It owns where the code comes from, the environments that uv makes for it and their cache, and the program in which it runs (runner.py). It
// must not know how that program is spoken with, or kept from outliving its attempt: packages protocol and guardian do.
package python

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/programs"
	"github.com/taskgrove/taskgrove/executors/workdir"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// ID is the executor's id.
const ID = "python_executor"

// defaultTimeout is that of attempts whose task has none: an environment may have to be made.
const defaultTimeout = 10 * time.Minute

// startWithin is for an interpreter to start, on a busy machine.
const startWithin = time.Minute

// Config configures the executor. Zero fields get their defaults; the zero value refuses all code.
type Config struct {
	Allow bool   // python code may run: it can do on the worker's host what the worker's user can
	UV    string // path of uv; empty: it is looked for in PATH
	// Cache is the directory of environments. Several workers of one user may share it. Empty: taskgrove/python in the user's cache.
	Cache          string
	CacheBytes     int64         // of all environments together, and of uv's own cache; default 5 GiB
	Environments   int           // how many are kept; default 50
	Build          bool          // packages may be built from source, which runs code of theirs with uv's environment
	KeepEnv        []string      // variables of the worker's environment that code also gets
	MaxResultBytes int           // default 16 MiB
	Grace          time.Duration // from the end of an attempt until it is killed; default [protocol.DefaultGrace]
	CAFile         string        // PEM file of further authorities that uv and git trust, for pools that have none of their own
}

// Executor is python_executor.
type Executor struct {
	cfg   Config
	net   *network.Network
	file  *workerfile.Source
	cache *cache
	uv    string // path
	off   string // why it runs nothing; empty: it does
	env   []string
}

// New looks for what it needs, once. file may be nil.
func New(cfg Config, net *network.Network, file *workerfile.Source) *Executor {
	e := &Executor{cfg: cfg, net: net, file: file, env: programs.Inherited(os.Environ(), cfg.KeepEnv)}
	if !cfg.Allow {
		e.off = "python code is not allowed on this worker; TASKGROVE_PYTHON_ALLOW=true allows it"
		return e
	}
	var err error
	if e.uv, err = findUV(cfg.UV); err != nil {
		e.off = err.Error() + "; install it (pip install uv), or name it by TASKGROVE_PYTHON_UV"
		return e
	}
	if e.cache, err = newCache(cfg); err != nil {
		e.off = err.Error() + "; TASKGROVE_PYTHON_CACHE names another directory"
	}
	return e
}

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Python Executor", Type: "python",
		Description: "Runs a Python script or function on the worker's host, with the packages that it asks for",
		Tags:        []string{"python", "script", "data"},
		Inputs:      inputSchema, Output: outputSchema,
		Cancelable: true, Concurrency: executors.PerCore(), Timeout: defaultTimeout,
		Secrets: true, Examples: examples,
	}
}

// Disabled implements [executors.Disabler].
func (e *Executor) Disabled() string { return e.off }

// Check implements [executors.Checker]: if code is allowed, this program must be able to run as its guardian.
func (e *Executor) Check(ctx context.Context) error {
	if e.off != "" {
		return nil
	}
	return guardian.Check(ctx)
}

// Demo implements [executors.Demonstrator].
func (*Executor) Demo(*executors.Call) (result any, takes time.Duration) {
	return map[string]any{"rows": 3, "total": 60.5}, time.Second
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	files, received := workdir.NewScratch(""), &workdir.Incoming{Inputs: call.Inputs}
	defer files.Remove()
	if e.off == "" {
		var err error
		if received, err = workdir.Receive(ctx, call, []string{"arguments", "env"}, nil, func() (string, error) { return files.Dir("in") }); err != nil {
			return nil, err
		}
	}
	in, err := read(received.Inputs)
	if err != nil {
		return nil, err
	}
	in.files = received.Env
	if e.off != "" {
		return nil, executors.Invalid(ID, e.off)
	}
	if _, bound := ctx.Deadline(); !bound && in.Timeout == "" {
		in.Timeout = json.Number(strconv.Itoa(int(defaultTimeout.Seconds())))
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, "Python code timed out")
	if err != nil {
		return nil, err
	}
	defer cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	scratch, err := e.cache.scratch()
	if err != nil {
		return nil, err
	}
	defer scratch.remove()
	out, err := e.run(ctx, call, in, scratch.dir)
	return out, executors.Ended(ctx, err)
}

// run prepares the code and its environment, and runs it.
func (e *Executor) run(ctx context.Context, call *executors.Call, in *input, scratch string) (*executors.Outcome, error) {
	job := &job{e: e, call: call, in: in, dir: scratch}
	defer job.close()
	if err := job.fetch(ctx); err != nil {
		return nil, err
	}
	want, err := job.packages()
	if err != nil {
		return nil, err
	}
	env, err := e.cache.environment(ctx, want, job)
	if err != nil {
		return nil, err
	}
	defer env.release()
	return job.execute(ctx, env.python())
}

// execute runs the code, with an interpreter, in a process of its own.
func (j *job) execute(ctx context.Context, python string) (*executors.Outcome, error) {
	runner := filepath.Join(j.dir, "runner.py")
	if err := os.WriteFile(runner, runnerSource, 0o600); err != nil {
		return nil, err
	}
	work := filepath.Join(j.dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	how, what := "script", j.script
	args := []string{python, "-I", "-X", "utf8", runner, how, what}
	if j.in.Function != "" {
		args = append(args[:5], "function", j.in.Function, j.tree)
	}
	cfg := protocol.Config{StartWithin: startWithin, Grace: j.e.cfg.Grace, Log: slog.New(slog.DiscardHandler)}
	if j.e.cfg.MaxResultBytes > 0 {
		cfg.MaxLineBytes = j.e.cfg.MaxResultBytes + 64<<10
	}
	cfg.Launch = func(ctx context.Context, pipes protocol.Pipes) (string, error) {
		status, err := guardian.Run(ctx, guardian.Command{
			Path: python, Args: args, Env: j.environ(), Dir: work,
			Stdin: pipes.Stdin, Stdout: pipes.Stdout, Stderr: pipes.Stderr, Lease: pipes.Lease, Grace: pipes.KillGrace,
		})
		return protocol.ExitOf(status), err
	}
	inputs, err := json.Marshal(map[string]json.RawMessage{"arguments": j.in.Arguments, "inputs": j.in.rest})
	if err != nil {
		return nil, err
	}
	p, err := protocol.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer p.Stop()
	out, err := p.Run(ctx, j.call, inputs, protocol.Rules{Cancelable: true})
	if err == nil {
		p.Stop() // what the code left running writes no more
		err = workdir.Collect(ctx, j.call, work)
	}
	if err != nil {
		return out, err
	}
	return out, nil
}

func invalid(format string, args ...any) error {
	return executors.Invalid(ID, fmt.Sprintf(format, args...))
}
