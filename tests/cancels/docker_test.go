//go:build !nodocker

package cancels

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/taskgrove/taskgrove/executors/docker/dockertest"
)

func init() { builders = append(builders, dockerKind) }

func dockerKind(t *testing.T, s *site) ([]kind, error) {
	cli, err := client.New(client.FromEnv)
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = cli.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
		cli.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: no Docker engine can be had here (tools/need.sh docker starts one as root): %w", errLacks, err)
	}
	s.worker.DockerGrace = time.Second
	cli, image := dockertest.Client(t), dockertest.Image(t)
	return []kind{{executor: "docker_executor", inputs: func(id string, variant int, seconds float64) object {
		words := []string{"sleep", strconv.FormatFloat(seconds, 'f', -1, 64), "say", id}
		if variant%2 == 0 {
			words = append([]string{"deaf"}, words...)
		}
		return object{"image": image, "command": words, "timeout": long}
	}, left: func(id string) error {
		if left := dockertest.Containers(t, cli, "taskgrove.task="+id); len(left) > 0 {
			return fmt.Errorf("containers %v", left)
		}
		return nil
	}}}, nil
}
