package docker_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/docker"
	"github.com/taskgrove/taskgrove/executors/docker/dockertest"
)

func TestAWayOutIsSaid(t *testing.T) {
	t.Parallel()
	dockertest.Client(t) // without an engine there is nothing to say
	for fact, row := range map[string]struct {
		cfg  docker.Config
		want string // part of the sentence; empty: nothing is said
	}{
		"no policy":          {docker.Config{}, "containers of any image may join a network with a way out (in docker_executor)"},
		"switched off":       {docker.Config{Off: true}, ""},
		"none":               {with(docker.Policy{Networks: []string{"none"}}), ""},
		"one of the house's": {with(docker.Policy{Networks: []string{"none", "jobs-*"}}), ""},
		"images":             {with(docker.Policy{Images: []string{"alpine"}}), "containers of the images allowed may join"},
		"any network":        {with(docker.Policy{Networks: []string{"*"}}), "any image"},
		"host":               {with(docker.Policy{Networks: []string{"host"}}), "any image"},
		"of two pools one": {docker.Config{Pools: func() []string { return []string{"open", "docker_executor"} }, Policy: func(pool string) docker.Policy {
			if pool == "open" {
				return docker.Policy{}
			}
			return docker.Policy{Networks: []string{"none"}}
		}}, "(in open)"},
	} {
		got := newExecutor(t, row.cfg).Advice()
		if (row.want == "") != (len(got) == 0) || len(got) > 1 || row.want != "" && !strings.Contains(got[0], row.want) {
			t.Errorf("%s: got %q", fact, got)
		}
	}
}
