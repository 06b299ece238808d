package external

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"

	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/programs"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// launcher is how the program is run.
func (e *Executor) launcher(cfg Config) (func(context.Context, protocol.Pipes) (string, error), error) {
	program := e.program
	if program.Image != "" {
		return e.container(cfg)
	}
	if len(program.Command) == 0 {
		return nil, errors.New("there is no command")
	}
	env := environment(program)
	dir, err := filepath.Abs(program.Dir)
	if err != nil {
		return nil, err
	}
	path, err := programs.LookPath(program.Command[0], env, dir)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, pipes protocol.Pipes) (string, error) {
		status, err := guardian.Run(ctx, guardian.Command{
			Path: path, Args: program.Command, Env: env, Dir: dir,
			Stdin: pipes.Stdin, Stdout: pipes.Stdout, Stderr: pipes.Stderr, Lease: pipes.Lease, Grace: pipes.KillGrace,
		})
		return protocol.ExitOf(status), err
	}, nil
}

// container is how an image is run.
func (e *Executor) container(cfg Config) (func(context.Context, protocol.Pipes) (string, error), error) {
	if cfg.Containers == nil {
		return nil, errors.New("this build of the worker has no Docker")
	}
	e.containers = cfg.Containers()
	return func(ctx context.Context, pipes protocol.Pipes) (string, error) {
		return e.containers.Run(ctx, Container{Image: e.program.Image, Env: e.program.Env, Dir: e.program.Dir, Key: "external-" + rand.Text()}, pipes)
	}, nil
}

// environment is the complete environment of a program; what the worker's file sets goes before.
func environment(program workerfile.Executor) []string {
	env := programs.Inherited(os.Environ(), program.KeepEnv)
	for name, value := range program.Env {
		env = append(env, name+"="+value)
	}
	return env
}
