//go:build !nodocker

package builtin

import (
	"context"
	"fmt"

	"github.com/taskgrove/taskgrove/executors/docker"
	"github.com/taskgrove/taskgrove/executors/external"
	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/internal/config"
)

// containers is how external executors that are container images are run, on the engine of docker_executor. The operator chose the images, so
// no pool's policy is asked.
func containers(s *config.Executors) func() external.Containers {
	cfg := docker.Config{Off: !bool(s.DockerAllow), Grace: s.DockerGrace}
	return func() external.Containers { return &engine{docker.NewEngine(cfg)} }
}

type engine struct{ *docker.Engine }

// Run implements [external.Containers].
func (e *engine) Run(ctx context.Context, c external.Container, pipes protocol.Pipes) (string, error) {
	if why := e.Disabled(); why != "" {
		return "", fmt.Errorf("its container can't be started: %s", why)
	}
	owner := docker.Owner{Task: "external executor " + c.Image, Key: c.Key, Attempt: 1, Lease: pipes.Lease}
	exit, err := e.Engine.Run(ctx, owner, docker.Container{Image: c.Image, Env: c.Env, WorkingDir: c.Dir, Grace: pipes.KillGrace},
		docker.Streams{Stdin: pipes.Stdin, Stdout: pipes.Stdout, Stderr: pipes.Stderr})
	words := fmt.Sprintf("exit code %d", exit.Code)
	switch {
	case exit.OOMKilled:
		words += ", as it had more memory than it may"
	case exit.Killed:
		words += ", as it was killed, maybe for having more memory than it may"
	}
	return words, err
}
