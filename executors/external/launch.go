package external

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/programs"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// launcher is how a program is run.
func launcher(program workerfile.Executor) (func(context.Context, protocol.Pipes) (string, error), error) {
	if program.Image != "" {
		return nil, errors.New("container images are not supported yet; give a command")
	}
	if len(program.Command) == 0 {
		return nil, errors.New("there is no command")
	}
	env := environment(program)
	path, err := programs.LookPath(program.Command[0], env, program.Dir)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, pipes protocol.Pipes) (string, error) {
		status, err := guardian.Run(ctx, guardian.Command{
			Path: path, Args: program.Command, Env: env, Dir: program.Dir,
			Stdin: pipes.Stdin, Stdout: pipes.Stdout, Stderr: pipes.Stderr, Lease: pipes.Lease, Grace: pipes.KillGrace,
		})
		return exitOf(status), err
	}, nil
}

// exitOf is how a program ended, in words.
func exitOf(status guardian.Status) string {
	if status.Signal != 0 {
		return fmt.Sprintf("signal %d (%v)", int(status.Signal), status.Signal)
	}
	return fmt.Sprintf("exit code %d", status.Code)
}

// environment is the complete environment of a program; what the worker's file sets goes before.
func environment(program workerfile.Executor) []string {
	env := programs.Inherited(os.Environ(), program.KeepEnv)
	for name, value := range program.Env {
		env = append(env, name+"="+value)
	}
	return env
}
