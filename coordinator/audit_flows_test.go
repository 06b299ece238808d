package coordinator_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// runCorruptions are what somebody could do to runs of flows behind the system's back, and the kind that tells of it.
var runCorruptions = []struct{ fact, kind, sql string }{
	{"a run's tree is gone", "orphan", `delete from tree where key = (select max(key) from tree)`},
	{"a run has the root of another tree", "flow_run_tree", `update flow_run set root_id = 'nobody' where run_id = 'one'`},
	{"a run is of another namespace than its tree", "flow_run_tree", `update flow_run set namespace = 7 where run_id = 'one'`},
	{"a run is of another user than its tree", "flow_run_tree", `update flow_run set user_id = 'eve' where run_id = 'one'`},
	{"two runs have one tree", "flow_run_tree", `update flow_run set (tree, root_id) = (select tree, root_id from flow_run where run_id = 'one') where run_id = 'live'`},
	{"a run's text is gone", "flow_run_text", `delete from flow_text where key = (select text from flow_run where run_id = 'live')`},
	{"a run's bundle is gone", "flow_run_bundle", `delete from bundle`},
	{"a file of a pinned bundle is gone", "flow_run_bundle", `delete from bundle_file where path = 'f'`},
	{"the list of a pinned bundle is gone", "flow_run_bundle", `delete from bundle_file where path = ''`},
	{"a content of a pinned bundle is gone", "flow_run_bundle", `delete from bundle_blob where size = 2`},
	{"a content of a pinned bundle is empty", "flow_run_bundle", `update bundle_blob set body = null, sealed = null where size = 2`},
	{"a pinned bundle has a file too few", "flow_run_bundle", `update bundle set files = files + 1`},
	{"two revisions of a run are alive", "flow_run_revision", `update flow_run set run_id = 'live', revision = 2 where run_id = 'one'`},
	{"revisions changed places", "flow_run_revision", `update flow_run set revision = 3 where run_id = 'two' and revision = 1`},
	{"a revision has no number", "flow_run_revision", `update flow_run set revision = 0 where run_id = 'one'`},
	{"a firing has the run of another one", "flow_run_fire", `update fire set run_id = 'one' where run_id is not null`},
	{"a firing has another instant than its run", "flow_run_fire", `update fire set instant = instant + interval '1 second' where run_id is not null`},
	{"a run does not know its schedule", "flow_run_fire", `update flow_run set schedule_id = null where schedule_id is not null`},
	{"a firing's run is gone", "flow_run_fire", `delete from flow_run where schedule_id is not null`},
	{"a firing failed and its run did not", "flow_run_fire", `update fire set state = 5 where run_id is not null`},
}

// castOfRuns brings runs of flows into the states that there are: one that has ended, one that lives, one with two revisions and a bundle, and one of a schedule. It gives the tree of the first
// revision of that with two.
func castOfRuns(t *testing.T, c *cluster.Cluster) (first string) {
	t.Helper()
	svc := c.Service()
	flow := func(id, inputs string) []byte {
		return []byte("flow: {id: " + id + "}\njobs:\n- id: a\n  steps:\n  - {id: s, type: sleep_executor, inputs: " + inputs + "}\n")
	}
	run := func(spec coordinator.FlowRunSpec) *coordinator.FlowRunInfo {
		t.Helper()
		got, err := svc.RunFlow(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	c.Settled(run(coordinator.FlowRunSpec{Text: flow("f", "{seconds: 0}"), RunID: "one"}).TreeID)
	if _, err := svc.PutBundleFile(t.Context(), coordinator.BundleFile{Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.ApplyBundle(t.Context(), bundleOf("b", "")); err != nil {
		t.Fatal(err)
	}
	two := run(coordinator.FlowRunSpec{Text: flow("f", "{seconds: 0, fail: no luck}"), RunID: "two", Bundle: &coordinator.RunBundle{ID: "b"}})
	c.Settled(two.TreeID)
	again, err := svc.ResumeFlowRun(t.Context(), coordinator.FlowResume{Run: "f/two", Text: flow("f", "{seconds: 0}")})
	if err != nil || again.Revision != 2 {
		t.Fatal(again, err)
	}
	c.Settled(again.TreeID)
	register(t, c, string(flow("daily", "{seconds: 0}")))
	schedule(t, c, `{"id":"once","every":1,"flow":{"id":"daily"},"max_runs":1}`)
	untilRuns(t, c, "once", func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status == "completed" })
	live := run(coordinator.FlowRunSpec{Text: flow("f", "{seconds: 600}"), RunID: "live"})
	c.Eventually("the live run runs", func() error {
		got := states(c, live.TreeID)
		for _, state := range got {
			if state == dag.Running {
				return nil
			}
		}
		return fmt.Errorf("%v", got)
	})
	return two.TreeID
}

// TestAuditorFindsCorruptRuns: in a database with runs of flows nothing is found; after each corruption of what a run is, its kind is. A revision that has been replaced does not run again.
func TestAuditorFindsCorruptRuns(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.Audit = 0 }})
	first := castOfRuns(t, c)
	for _, opts := range []coordinator.ExecuteOptions{{}, {Force: true}, {RerunCancelled: true, KeepCompleted: true}} {
		if got, err := c.Service().Execute(t.Context(), first, opts); !errors.Is(err, coordinator.ErrConflict) || !strings.Contains(err.Error(), "a later one has begun") {
			t.Errorf("a revision that was replaced runs again: %+v, %v", got, err)
		}
	}
	s := still(t, c)
	s.findsEach(t, runCorruptions)
	if kinds, all := s.kinds(t, ""); len(kinds) > 0 {
		t.Errorf("found after all was undone:%s", all)
	}
}
