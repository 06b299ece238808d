package dag_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestFlowScope: a step of a flow sees what its flow has of what it names, of skipped tasks, too.
func TestFlowScope(t *testing.T) {
	t.Parallel()
	step := &dag.FlowStep{
		Steps:   map[string]string{"look": "a__look", "cut": "a__cut"},
		Job:     []string{"a__look", "a__load", "a__fell"},
		Jobs:    map[string]dag.FlowJob{"b": {Task: "b", Outputs: []string{"b__one", "b__two"}}, "c": {Task: "c"}, "d": {Task: "d"}},
		Failure: &dag.FlowFailure{Task: "all"},
	}
	all := []dag.DependencyValue{
		{Ref: "a__look", State: dag.Skipped, Result: json.RawMessage(`{"count":0,"skipped":true,"reason":"no_data","big":"x"}`), Outputs: json.RawMessage(`{"n":1,"who":"look"}`)},
		{Ref: "a__cut", State: dag.Skipped, Result: json.RawMessage(`{"skipped":true,"reason":"dependency_skipped"}`)},
		{Ref: "a__load", State: dag.Completed, Outputs: json.RawMessage(`{"n":2}`)},
		{Ref: "a__fell", State: dag.Failed, Outputs: json.RawMessage(`{"n":3}`)},
		{Ref: "b", State: dag.Skipped, Result: json.RawMessage(`{"skipped":true,"reason":"no_data"}`)},
		{Ref: "b__one", State: dag.Completed, Outputs: json.RawMessage(`{"k":[1, 2],"l":null}`)},
		{Ref: "b__two", State: dag.Skipped, Result: json.RawMessage(`{"skipped":true,"reason":"dependency_skipped"}`)},
		{Ref: "c", State: dag.Skipped, Result: json.RawMessage(`{"skipped":true,"reason":"when_false"}`)},
		{Ref: "d", State: dag.Completed},
		{Ref: "all", State: dag.Failed, Error: "x: x__s__t: no: way", Kind: "connect"},
	}
	for _, row := range []struct{ inputs, names, want string }{
		{`"{{steps.look.count}} {{steps.cut}}"`, `["a__cut","a__look"]`, `{"deps":{},"steps":{"cut":{"skipped":true,"reason":"dependency_skipped"},"look":{"count":0}}}`},
		{`"{{job.outputs.n}}"`, `["a__fell","a__load","a__look"]`, `{"deps":{},"job":{"outputs":{"n":2}}}`},
		{`"{{job.outputs}}"`, `["a__fell","a__load","a__look"]`, `{"deps":{},"job":{"outputs":{"n":2,"who":"look"}}}`},
		{`"{{jobs.b.outputs.k}} {{jobs.b.outputs.none:}} {{jobs.b.status}}"`, `["b","b__one","b__two"]`, `{"deps":{},"jobs":{"b":{"outputs":{"k":[1,2]},"status":"SKIPPED"}}}`},
		{`"{{jobs.b.skip_reason}} {{jobs.b.skip_trigger}} {{jobs.c.skip_reason}} {{jobs.c.skip_trigger:-}} {{jobs.d.skip_reason:-}} {{jobs.d.status}}"`, `["b","c","d"]`,
			`{"deps":{},"jobs":{"b":{"skip_reason":"no_data","skip_trigger":"step"},"c":{"skip_reason":"condition=false"},"d":{"status":"SUCCESS"}}}`},
		{`"{{failure.job}} {{failure.step}} {{failure.kind}} {{failure.message}}"`, `["all"]`, `{"deps":{},"failure":{"job":"x","kind":"connect","message":"no: way","step":"s__t"}}`},
		{`"{{deps.d.outcome}} {{failure.job}}"`, `["all","d"]`, `{"deps":{"d":{"outcome":"success"}},"failure":{"job":"x"}}`},
	} {
		c := &dag.Control{Template: true, FlowStep: step}
		paths := c.ValuePaths("e", json.RawMessage(`{"x":`+row.inputs+`}`))
		names, _ := json.Marshal(paths.Names())
		if got := string(paths.Scope(all)); got != row.want || string(names) != row.names {
			t.Errorf("%s: of %s\n%s\nwant %s\n%s", row.inputs, names, got, row.names, row.want)
		}
	}
	for _, row := range []struct {
		failure dag.FlowFailure
		value   dag.DependencyValue
		want    string
	}{
		{dag.FlowFailure{Task: "all", Job: "only"}, dag.DependencyValue{Error: "only__s: no", Kind: "connect"}, `{"job":"only","kind":"connect","message":"no","step":"s"}`},
		{dag.FlowFailure{Task: "all"}, dag.DependencyValue{Error: "x: x__gate: when_error: no", Kind: dag.KindWhen}, `{"job":"x","kind":"when_error","message":"when_error: no","step":"when"}`},
		{dag.FlowFailure{Task: "all", Steps: map[string]string{"x__s__held": "s"}}, dag.DependencyValue{Error: "x: x__s__held: x__s: no: way"}, `{"job":"x","kind":"executor","message":"no: way","step":"s"}`},
		{dag.FlowFailure{Task: "all", Steps: map[string]string{"x__s_2": "s"}}, dag.DependencyValue{Error: "x: x__s_2: no"}, `{"job":"x","kind":"executor","message":"no","step":"s"}`},
	} {
		c := &dag.Control{Template: true, FlowStep: &dag.FlowStep{Failure: &row.failure}}
		row.value.Ref, row.value.State = "all", dag.Failed
		paths := c.ValuePaths("e", json.RawMessage(`{"x":"{{failure.job}}{{failure.step}}{{failure.kind}}{{failure.message}}"}`))
		if got := string(paths.Scope([]dag.DependencyValue{row.value})); got != `{"deps":{},"failure":`+row.want+`}` {
			t.Errorf("%+v: %s", row.value, got)
		}
	}
}

// TestFlowStepNamesWhatIsThere: what a step of a flow, and its templates, name without its being there is refused, all at once.
func TestFlowStepNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	step := &dag.Task{ID: "a", Name: "a", Executor: "noop", Inputs: json.RawMessage(`{"x":"{{steps.s.n}} {{steps.t.n}} {{jobs.j.status}} {{jobs.k.status}} {{jobs.j.foo}} {{failure.job}} {{job.id}} {{item}}"}`),
		Control: &dag.Control{Template: true, FlowStep: &dag.FlowStep{Steps: map[string]string{"s": "nobody"}, Jobs: map[string]dag.FlowJob{"j": {}}}}}
	want := []string{
		`flow_step.steps.s | "nobody": the task does not depend on 'nobody': it has no dependencies (template.missing_key)`,
		`inputs.x | "{{failure.job}}": flow_step has no failure (template.missing_key)`,
		`inputs.x | "{{item}}": begins with none of deps, failure, inputs, job, jobs, parameters, schedule, steps, task, tree (template.unknown_root)`,
		`inputs.x | "{{job.id}}": job has outputs (template.missing_key)`,
		`inputs.x | "{{jobs.j.foo}}": a job has status, outputs, skip_reason, skip_trigger (template.missing_key)`,
		`inputs.x | "{{jobs.j.status}}": flow_step says of j no task that tells how it has ended (template.missing_key)`,
		`inputs.x | "{{jobs.k.status}}": flow_step has no job k (template.missing_key)`,
		`inputs.x | "{{steps.t.n}}": flow_step has no step t (template.missing_key)`,
	}
	got := build(t, step)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if levels := dag.AllLevels; levels.Needed(step) != dag.FlowStepsLevel {
		t.Errorf("it needs level %d", levels.Needed(step))
	}
}
