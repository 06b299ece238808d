package faults

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// TestKilledWhileProfilesAreKept kills the coordinator that registers a file of profiles, before and after they are stored: all of the file's are there, or none. Who asks again gets the same
// versions, and no further ones.
func TestKilledWhileProfilesAreKept(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	for n, point := range []string{"coordinator.before-profiles-commit", "coordinator.after-profiles-commit"} {
		spec := coordinator.ProfilesSpec{Text: fmt.Appendf(nil, "a: {config: {host: a%d}}\nb: {config: {host: b%d}}\nc%d: {}", n, n, n)}
		s.operate(Operation{Profiles: &spec}, point, nil)
		rows := s.count("select count(*) from flow_profile")
		if want := 3 * n * 2; rows != want { // of the round before, and of this one
			t.Errorf("%s: %d versions are there, want %d", point, rows, want)
		}
		got, err := s.front.ApplyProfiles(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"a", "b", fmt.Sprint("c", n)} {
			version := n + 1
			if i == 2 {
				version = 1
			}
			if p := got.Profiles[i]; p.Name != name || p.Version != version || p.Fresh != (n == 0) {
				t.Errorf("%s: asked again, %s is %+v, want version %d", point, name, p, version)
			}
		}
	}
	if rows := s.count("select count(*) from flow_profile"); rows != 6 {
		t.Errorf("%d versions", rows)
	}
}

// TestKilledBetweenProfilesAndRun kills the coordinator that begins a run when it has read the run's profiles, and before and after the run is stored, while these change. The run that is there
// when its caller asks again has one version for all of its resources, and says which.
func TestKilledBetweenProfilesAndRun(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	apply := func(n int) {
		t.Helper()
		if _, err := s.front.ApplyProfiles(t.Context(), coordinator.ProfilesSpec{Text: fmt.Appendf(nil, "one: {config: {headers: {X-Of: one%d}}}\ntwo: {config: {headers: {X-Of: two%d}}}", n, n)}); err != nil {
			t.Fatal(err)
		}
	}
	version := 1
	apply(version)
	for n, at := range []struct {
		point string
		kept  bool
	}{{"coordinator.before-run-submit=kill", false}, {"coordinator.after-submit-commit=kill", true}} {
		text := fmt.Appendf(nil, `flow: {id: takes%d, pool: %s}
resources:
  a: {kind: rest, driver: httpx, profile: one, config: {base_url: "http://127.0.0.1:1"}}
  b: {kind: rest, driver: httpx, profile: two, config: {base_url: "http://127.0.0.1:1"}}
  c: {kind: rest, driver: httpx, profile: one, config: {base_url: "http://127.0.0.1:1"}}
jobs:
- id: j
  steps:
  - {id: a, type: rest, inputs: {resource: a, url: x}}
  - {id: b, type: rest, inputs: {resource: b, url: x}}
  - {id: c, type: rest, inputs: {resource: c, url: x}}
`, n, Pools[0])
		victim, c := s.served(at.point)
		if _, err := c.RunFlow(t.Context(), client.FlowStart{Text: text, RunID: "run"}); err == nil {
			t.Errorf("%s: it was answered", at.point)
		}
		s.dies(victim)
		took := version
		version++
		apply(version)
		if !at.kept {
			took = version
		}
		got, err := s.front.RunFlow(t.Context(), coordinator.FlowRunSpec{Text: text, RunID: "run"})
		if err != nil || got.Existing != at.kept {
			t.Fatalf("%s: begun again: %+v, %v", at.point, got, err)
		}
		if want := []string{fmt.Sprint("one@", took), fmt.Sprint("two@", took)}; !slices.Equal(got.Profiles, want) {
			t.Errorf("%s: the run has %q, want %q", at.point, got.Profiles, want)
		}
		page, err := s.front.Tasks(t.Context(), coordinator.TaskFilter{TreeOf: got.TreeID, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		for _, task := range page.Items {
			var inputs struct {
				Connection *struct {
					Profile  string
					Defaults struct {
						Config map[string]map[string]string
					}
				}
			}
			if err := json.Unmarshal(task.Inputs, &inputs); len(task.Inputs) > 0 && err != nil {
				t.Fatal(err)
			}
			if of := inputs.Connection; of != nil {
				if steps++; of.Defaults.Config["headers"]["X-Of"] != fmt.Sprint(of.Profile, took) {
					t.Errorf("%s: %s has %+v, want that of version %d", at.point, task.Name, of, took)
				}
			}
		}
		if steps != 3 {
			t.Errorf("%s: %d steps have a connection", at.point, steps)
		}
	}
}
