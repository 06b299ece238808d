//go:build !nodocker

package builtin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/docker/dockertest"
)

func init() { parts["docker_executor"] = dockerFeatures }

func dockerFeatures(t *testing.T, cfg *builtin.Config) conformance.Features {
	const secret = "hunter2-canary"
	box, cli := dockertest.Image(t), dockertest.Client(t)
	cfg.Docker.Grace = time.Second
	return conformance.Features{
		Quick: `{"image": "` + box + `", "command": "say hello"}`,
		Slow:  `{"image": "` + box + `", "command": "deaf sleep 600", "timeout": 600}`,
		Missing: map[string]string{
			`{"command": "x"}`: "[docker_executor] image is required in inputs",
			`{"image": "x"}`:   "[docker_executor] command is required in inputs",
		},
		Large:    `{"image": "` + box + `", "command": "flood 3000", "separate": true}`,
		TimesOut: map[string]string{`{"image": "` + box + `", "command": "sleep 600", "timeout": 0.5}`: "Container timeout after 0.5 seconds"},
		Left: func() error {
			if left := dockertest.ContainersOf(t, cli, box); len(left) > 0 { // another run of the tests may be on the same engine
				return fmt.Errorf("containers %v", left)
			}
			return nil
		},
		Failing: []string{
			`{"image": "127.0.0.1:1/none:1", "command": "x", "registry_auth": {"username": "u", "password": "` + secret + `"}}`,
			`{"image": "127.0.0.1:1/none:1", "command": "x", "env": {"A=": "` + secret + `"}}`,
		},
		Secret:      secret,
		Concurrent:  4,
		Demo:        map[string][]string{`{"image": "x", "command": "y"}`: {"return_code", "stdout", "stderr", "execution_time"}},
		DemoDiffers: true,
	}
}
