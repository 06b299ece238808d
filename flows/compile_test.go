package flows_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// TestCompile compares what flows become with files: run with -update to write these again, and read the difference.
func TestCompile(t *testing.T) {
	all, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(all) < 2 {
		t.Fatal(all, err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tree, report := flows.Compile(path, text, "run-1", options())
		if tree == nil {
			t.Errorf("%s: %v", path, report.Errors)
			continue
		}
		again, _ := flows.Compile(path, text, "run-1", options())
		if !bytes.Equal(tree.Document, again.Document) {
			t.Errorf("%s becomes another tree each time", path)
		}
		var out bytes.Buffer
		if err := json.Indent(&out, tree.Document, "", "  "); err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(path, "yaml") + "json"
		if *update {
			if err := os.WriteFile(golden, append(out.Bytes(), '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || string(want) != out.String()+"\n" {
			t.Errorf("%s becomes\n%s\nwant what %s says: %v", path, out.String(), golden, err)
		}
		var tasks []struct{ Name string }
		if err := json.Unmarshal(tree.Document, &tasks); err != nil || len(tasks) != len(tree.Tasks) {
			t.Fatalf("%d tasks, %d places: %v", len(tasks), len(tree.Tasks), err)
		}
		for i := range tasks {
			if tasks[i].Name != tree.Tasks[i].Name {
				t.Errorf("%s: task %d is %s, and is said to be %+v", path, i, tasks[i].Name, tree.Tasks[i])
			}
		}
	}
}

// TestCompileFaults: what only a run can show of a flow, told where it stands.
func TestCompileFaults(t *testing.T) {
	const two = "\njobs: [{id: a, steps: []}]"
	for _, row := range []struct{ name, text, want string }{
		{"a directory above", "flow: {id: f, workspace: {layout: {scratch: ../x}}}" + two, "1:36 spec.schema flow.workspace.layout.scratch"},
		{"a directory that becomes one above", "flow: {id: f, env: {X: /etc}, workspace: {layout: {scratch: '{{env.X}}'}}}" + two, "1:52 spec.schema flow.workspace.layout.scratch"},
		{"one directory twice", "flow: {id: f, workspace: {layout: {scratch: artifacts}}}" + two, "1:36 spec.schema flow.workspace.layout.scratch"},
		{"one directory in another", "flow: {id: f, workspace: {layout: {artifacts: scratch/out}}}" + two, "1:36 spec.schema flow.workspace.layout.artifacts"},
		{"directories beside each other", "flow: {id: f, workspace: {layout: {artifacts: x/out, scratch: x/tmp/}}}" + two, ""},
		{"a lock in one of the same key", "flow: {id: f}\njobs: [{id: a, lock: {key: k}, steps: [{id: s, type: noop}, {id: t, type: noop, lock: {key: '{{env.K:k}}'}}]}]", "2:88 spec.not_supported jobs[0].steps[1].lock.key"},
		{"a with_lock in one of the same key", "flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: with_lock, inputs: {lock_key: k, step: {type: with_lock, inputs: {lock_key: k, step: {type: noop}}}}}]}]", "2:104 spec.not_supported jobs[0].steps[0].inputs.step.inputs.lock_key"},
		{"the lock of the run, once more", "flow: {id: f, locks: {scope: flow}}\njobs: [{id: a, lock: {key: 'flow:f'}, steps: [{id: s, type: noop}]}]", "2:8 spec.not_supported jobs[0]"},
		{"locks of different keys, side by side and in each other", "flow: {id: f, locks: {scope: flow}}\njobs: [{id: a, lock: {key: k}, steps: [{id: s, type: noop, lock: {key: l}}, {id: t, type: noop, lock: {key: l}}]}]", ""},
		{"retries that only results know", "flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: noop}, {id: t, type: external.process, inputs: {command: x, retry: {max_attempts: '{{steps.s.n}}'}}}]}]", "2:106 spec.invalid_input jobs[0].steps[1].inputs.retry.max_attempts"},
	} {
		_, report := flows.Compile("f.yaml", []byte(row.text), "r", options())
		if errors, _ := told(report); strings.Join(errors, "\n") != row.want {
			t.Errorf("%s:\n%s\nwant\n%s", row.name, strings.Join(errors, "\n"), row.want)
		}
	}
}

// TestOneJob: a run for one job has what that needs or names, and so on, and the handlers; the others are skipped.
func TestOneJob(t *testing.T) {
	const text = `flow: {id: f, on_failure: [{id: s, type: noop, inputs: {x: "{{jobs.other.status}} {{jobs.other.outputs.k:none}} {{jobs.other.outputs}}"}}]}
jobs:
- {id: first, steps: [{id: s, type: noop}]}
- {id: other, steps: [{id: s, type: noop, outputs: {k: 1}}]}
- {id: named, steps: [{id: s, type: noop, outputs: {k: 1}}]}
- {id: mid, when: jobs.named.outputs.k > 0, steps: [{id: s, type: noop}]}
- {id: last, depends_on: [mid], steps: [{id: s, type: noop}]}
`
	opts := options()
	opts.Job = "last"
	tree, report := flows.Compile("f.yaml", []byte(text), "r", opts)
	if tree == nil {
		t.Fatal(report.Errors)
	}
	var tasks []struct {
		Name, Outcome string
		Result        struct{ Reason string }
	}
	if err := json.Unmarshal(tree.Document, &tasks); err != nil {
		t.Fatal(err)
	}
	var runs, skipped []string
	ends := map[string]flows.End{}
	for _, task := range tasks {
		if strings.HasSuffix(task.Name, "__s") {
			runs = append(runs, task.Name)
		}
		if task.Outcome != "" {
			skipped = append(skipped, task.Name+" "+task.Outcome+" "+task.Result.Reason)
			ends[task.Name] = flows.End{Outcome: task.Outcome, SkipReason: task.Result.Reason}
		}
	}
	if got := strings.Join(runs, " "); got != "named__s mid__s last__s on_failure__s" {
		t.Errorf("it runs %s", got)
	}
	if got := strings.Join(skipped, ", "); got != "first skipped not_selected, other skipped not_selected" {
		t.Errorf("it skips %s", got)
	}
	if j := tree.Outcome(ends).Jobs[1]; j.ID != "other" || j.Status != "SKIPPED" || j.ReasonCode != "not_selected" || j.SkipTrigger != "" || len(j.Steps) > 0 {
		t.Errorf("other: %+v", j)
	}
	for job, want := range map[string]string{"lst": "0:0 spec.unknown_job job", "on_failure": "0:0 spec.unknown_job job"} {
		opts.Job = job
		if _, report := flows.Compile("f.yaml", []byte(text), "r", opts); len(report.Errors) != 1 {
			t.Errorf("%s: %v", job, report.Errors)
		} else if errors, _ := told(report); errors[0] != want {
			t.Errorf("%s: %v", job, errors)
		}
	}
}

// TestOneJobAlone: with NoDeps only one job runs, and finds what is given for the others.
func TestOneJobAlone(t *testing.T) {
	t.Parallel()
	const text = `flow: {id: f, on_failure: [{id: s, type: noop, inputs: {x: "{{jobs.first.outputs.k:none}} {{jobs.named.outputs.k:none}}"}}]}
jobs:
- {id: first, steps: [{id: s, type: noop, outputs: {k: 1, m: 1}}]}
- {id: named, steps: [{id: s, type: noop, outputs: {k: 1}}]}
- {id: mid.x, depends_on: [first], steps: [{id: s, type: noop, outputs: {n: 1}}]}
- id: last
  depends_on: [first, mid.x]
  when: jobs.first.outputs.k > 0 and jobs.first.status == 'SUCCESS' and jobs.named.skip_reason == 'not_selected'
  steps:
  - {id: s, type: noop, inputs: {k: "{{jobs.first.outputs.k}}", m: "{{jobs.first.outputs.m:none}}", all: "{{jobs.first.outputs}}", is: "{{jobs.first.status}} {{jobs.named.status}}", d: "{{jobs.named.outputs.k:default}}"}}
  - {id: e, type: foreach, inputs: {items: "{{jobs.first.outputs.k}}", step: {type: noop, inputs: {k: "{{jobs.first.outputs.k}}", i: "{{item}}"}}}}
- {id: after, depends_on: [last], steps: []}
`
	opts := options()
	opts.Job, opts.NoDeps, opts.JobOutputs = "last", true, []string{"first.k=5"}
	tree, report := flows.Compile("f.yaml", []byte(text), "r", opts)
	if tree == nil {
		t.Fatal(report.Errors)
	}
	var tasks []struct {
		Name, Outcome, When string
		Inputs              json.RawMessage
		Dependencies        []struct{ ID string }
	}
	if err := json.Unmarshal(tree.Document, &tasks); err != nil {
		t.Fatal(err)
	}
	var runs, skipped []string
	for _, task := range tasks {
		switch {
		case task.Outcome != "":
			skipped = append(skipped, task.Name+" "+task.Outcome)
		case strings.HasPrefix(task.Name, "last__") && task.Name != "last__sofar":
			runs = append(runs, task.Name)
		}
		switch task.Name {
		case "last__gate":
			if !strings.Contains(task.When, "dyn(5)") || !strings.Contains(task.When, `dyn("not_selected")`) || strings.Contains(task.When, "deps") {
				t.Errorf("the gate: %s", task.When)
			}
			for _, d := range task.Dependencies {
				if d.ID == "first" || d.ID == "mid.x" || d.ID == "first__s" {
					t.Errorf("the gate waits for %s", d.ID)
				}
			}
		case "last__s":
			if got, want := string(task.Inputs), `{"all":{"k":5},"d":"default","is":"SUCCESS SKIPPED","k":5,"m":"none"}`; got != want {
				t.Errorf("the inputs are %s, want %s", got, want)
			}
		case "last__e":
			if !strings.Contains(string(task.Inputs), `"items":5`) || !strings.Contains(string(task.Inputs), `"k":5`) {
				t.Errorf("a foreach: %s", task.Inputs)
			}
		}
	}
	if got := strings.Join(runs, " ") + "; " + strings.Join(skipped, ", "); got != "last__gate last__s last__e; first skipped, named skipped, mid.x skipped, after skipped" {
		t.Error(got)
	}
	for _, row := range []struct {
		job     string
		alone   bool
		outputs []string
		want    string
	}{
		{"last", true, nil, "spec.job_output jobs[3].steps[0].inputs.k\nspec.job_output jobs[3].steps[1].inputs.items\nspec.job_output jobs[3].steps[1].inputs.step.inputs.k"},
		{"last", true, []string{"first.k=1", "frst.k=1", "first.z=1", "last.k=1", "first", "mid.x.n=2"}, "spec.unknown_job job_outputs[1]\nspec.unknown_output job_outputs[2]\nspec.job_output job_outputs[3]\nspec.job_output job_outputs[4]"},
		{"last", false, []string{"first.k=1"}, "spec.job_output job_outputs"},
		{"", true, nil, "spec.unknown_job no_deps"},
	} {
		opts.Job, opts.NoDeps, opts.JobOutputs = row.job, row.alone, row.outputs
		_, report := flows.Compile("f.yaml", []byte(text), "r", opts)
		errors, _ := told(report)
		for i := range errors {
			_, errors[i], _ = strings.Cut(errors[i], " ")
		}
		if got := strings.Join(errors, "\n"); got != row.want {
			t.Errorf("%v: %s\nwant %s\n%v", row, got, row.want, report.Errors)
		}
	}
}
