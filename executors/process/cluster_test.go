package process_test

import (
	"encoding/json"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/process"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// A cluster runs tasks of an executor with a dot in its id: in a pool of its own, by the task's policy, with an outcome that its dependents see.
func TestACluster(t *testing.T) {
	dir := t.TempDir()
	c := cluster.Start(t, cluster.Options{Worker: func(s *config.Worker) { s.CommandAllow, s.FileRoot = true, dir }})
	task := func(id, parent, inputs string, deps ...dag.Dependency) *dag.Task {
		schemas, _ := json.Marshal(map[string]string{"method": process.ID})
		return &dag.Task{ID: id, Name: id, ParentRef: parent, Executor: process.ID, Schemas: schemas, Inputs: json.RawMessage(inputs), Dependencies: deps}
	}
	again := task("again", "root", `{"command": "[ $TASKGROVE_ATTEMPT = 2 ] || exit 75; echo n=$TASKGROVE_ATTEMPT > $TASKGROVE_RESULT_FILE", "shell": true, "retry": {"retry_on_exit_codes": 75}}`)
	again.Retry = dag.RetryPolicy{MaxAttempts: 3}
	never := task("never", "root", `{"command": "exit 76", "shell": true, "retry": {"retry_on_exit_codes": 75}}`)
	never.Retry, never.AllowFailure = dag.RetryPolicy{MaxAttempts: 3}, true
	write(t, dir+"/done", "")
	c.Submit(coordinator.SubmitOptions{UserID: "ann"}, &dag.Task{ID: "root", Name: "root"}, again, never,
		task("marked", "root", `{"command": "exit 1", "shell": true, "idempotency": {"strategy": "marker", "marker_path": "`+dir+`/done"}}`),
		task("after", "root", `{"command": "true"}`, dag.Dependency{Ref: "marked"}, dag.Dependency{Ref: "again"}))
	c.Settled("root")
	for id, want := range map[string]struct {
		state  dag.State
		number int
		result string
	}{
		"again":  {dag.Completed, 2, `{"n":"2","attempts":2,"exit_code":0}`},
		"never":  {dag.Failed, 1, ``},
		"marked": {dag.Skipped, 1, `{"marker":"` + dir + `/done","reason":"marker_present","skipped":true}`},
		"after":  {dag.Completed, 1, `{"attempts":1,"exit_code":0}`},
	} {
		got := c.Tasks("root")[id]
		var result, wanted any
		_, _ = json.Unmarshal(got.Result, &result), json.Unmarshal([]byte(want.result), &wanted)
		a, _ := json.Marshal(result)
		b, _ := json.Marshal(wanted)
		if got.State != want.state || int(got.Attempt) != want.number || string(a) != string(b) || got.Pool != "external_process" {
			t.Errorf("%s: got %s after %d attempts in %s, %s (%s), want %s", id, got.State, got.Attempt, got.Pool, a, got.Error, b)
		}
	}
	x, err := c.Service().Executor(t.Context(), process.ID)
	if err != nil || len(x.Pools) != 1 || x.Pools[0] != "external_process" {
		t.Errorf("the catalogue has %+v, %v", x, err)
	}
}
