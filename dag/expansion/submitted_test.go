package expansion_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

// TestInputFaults: what a map could never make is told when its tree is submitted, all of it, with paths within the inputs; what only a run can show is not.
func TestInputFaults(t *testing.T) {
	for _, test := range []struct {
		inputs   string
		template bool
		want     []string
	}{
		{`{"items":[1],"task":{"schemas":{"method":"noop"},"inputs":{"value":"{{item}}"}}}`, false, nil},
		{`{"items":"deps.find.result.list","task":{"schemas":{"method":"noop"}}}`, false, nil},
		{`{"items":"deps.find.result","tasks":[{"id":"a","name":"a"},{"id":"b","name":"b","parent_id":"a","dependencies":["a"]}]}`, false, nil},
		{`{"items":"inputs.list","task":{"schemas":{"method":"noop"}}}`, false, nil},
		{`{"items":"{{deps.other.result}}","task":{"name":"x"}}`, true, nil}, // the task's templates are checked elsewhere
		{`{"items":["{{deps.find.result.x}}"],"task":{"name":"{{item.city}}"}}`, true, nil},
		{`{"items":7,"task":[],"window":-1}`, false, nil}, // the schema says so
		{`{"items":[1],"tasks":[]}`, false, nil},

		{`{"items":[1]}`, false, []string{": task is required, or tasks"}},
		{`{"items":[1],"task":null}`, false, []string{": task is required, or tasks"}},
		{`{"items":[1],"task":{},"tasks":[{}]}`, false, []string{"task: task and tasks are there, and one of them is to be"}},
		{`{"items":"deps.fnd.result","task":{}}`, false, []string{"items: the task does not depend on 'fnd'; is 'find' meant?"}},
		{`{"items":"deps.find.output","task":{}}`, false, []string{`items: "deps.find.output" is neither a list nor a path like deps.NAME.result.field or inputs.field`}},
		{`{"items":"list","task":{"retry":{"often":1},"priority":9}}`, false, []string{
			`items: "list" is neither a list nor a path like deps.NAME.result.field or inputs.field`,
			"task.priority: must be 0 to 3, got 9",
			"task.retry.often: is not known; there are max_attempts, backoff, initial_delay, max_delay, multiplier, jitter, retry_on and no_retry_on"}},
		{`{"items":"inputs.x","task":{"schemas":{"method":"noop"},"template":true,"inputs":{"value":"{{itm}}"}}}`, false, []string{
			`task.inputs.value: "{{itm}}": begins with none of deps, index, inputs, item, parameters, schedule, task, tree (template.unknown_root)`}},
		{`{"items":"inputs.x","tasks":[{"name":"a"},{"name":"b","parent_id":"a","schemas":{"method":"noop"},"inputs":{"value":{"secret":"{{item}}"}}}]}`, false, []string{
			"tasks[1].inputs.value.secret: an item can't name a secret, or allow something: write it out"}},
		{`{"items":[{"city":"Oslo"},{"town":"Bergen"},{}],"task":{"name":"{{item.city}}"}}`, false, []string{
			`items[1]: name: "{{item.city}}": nothing is there (template.missing_key)`}},
		{`{"items":[1,2],"task":{"labels":{"a":"b"},"outcome":"success","tree_timeout":5}}`, false, []string{
			"items[0]: tasks[0].labels: are of trees", "items[0]: tasks[0].tree_timeout: is of trees", "items[0]: tasks[0].outcome: a task that was found has not ended"}},
	} {
		task := &dag.Task{ID: "m", Name: "m", Executor: dag.MapExecutor, Inputs: json.RawMessage(test.inputs), Dependencies: []dag.Dependency{{Ref: "find"}}}
		if test.template {
			task.Control = &dag.Control{Template: true}
		}
		var got []string
		for _, f := range expansion.InputFaults(task, expansion.Options{}) {
			got = append(got, f.Field+": "+f.Reason)
		}
		slices.Sort(got)
		if slices.Sort(test.want); !slices.Equal(got, test.want) {
			t.Errorf("%s:\n%q\nwant\n%q", test.inputs, got, test.want)
		}
	}
	written := &dag.Task{Executor: dag.MapExecutor, Inputs: json.RawMessage(`{"items":"x"}`), Dependencies: []dag.Dependency{{Ref: "task"}, {Ref: "items"}}}
	if faults := expansion.InputFaults(written, expansion.Options{}); len(faults) > 0 {
		t.Errorf("%v of what a result will write", faults)
	}
	checked := 0
	listed := &dag.Task{Executor: dag.MapExecutor, Inputs: json.RawMessage(`{"items":[1,2,3],"task":{"schemas":{"method":"noop"}}}`)}
	faults := expansion.InputFaults(listed, expansion.Options{Check: func(index int, t *dag.Task) {
		if checked++; index == 1 {
			t.Faults = append(t.Faults, &dag.InvalidTaskError{Code: dag.InvalidField, Field: "inputs", Reason: "tasks[1].inputs: wrong"})
		}
	}})
	if want := []expansion.InputFault{{Field: "items[1]", Reason: "tasks[1].inputs: wrong"}}; !slices.Equal(faults, want) || checked != 2 {
		t.Errorf("%v after %d tasks, want %v after 2", faults, checked, want)
	}
}
