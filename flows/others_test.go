package flows_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/flows"
)

// workers are the executors of a cluster's workers, which count who asks.
type workers struct{ asked map[string]int }

func (w *workers) IDs() []string { return []string{"scale_executor", "shape"} }

func (w *workers) Find(id string) *flows.Executor {
	w.asked[id]++
	if id != "scale_executor" && id != "shape" {
		return nil
	}
	return &flows.Executor{
		Inputs: treedoc.InputKeys{Names: []string{"to"}}, Connection: &flows.Connector{Types: []string{"postgres"}},
		Faults: func(inputs json.RawMessage) []flows.InputFault {
			if !strings.Contains(string(inputs), `"to"`) {
				return []flows.InputFault{{Field: "to", Missing: true}}
			}
			return nil
		},
	}
}

// TestOthers: executors that only workers have are known by what these say of them, and each is asked for once.
func TestOthers(t *testing.T) {
	const text = `
flow: {id: f}
jobs:
- id: a
  steps:
  - {id: one, type: scale, inputs: {to: 5}}
  - {id: two, type: scale, inputs: {too: 5}}
  - {id: three, type: shape, inputs: {to: 1}}
  - {id: four, type: shap}
`
	w := &workers{asked: map[string]int{}}
	opts := options()
	opts.Others = w
	_, report := flows.Read("f", []byte(text), opts)
	var got []string
	for _, f := range append(report.Errors, report.Warnings...) {
		got = append(got, string(f.Code)+" "+f.Loc+" "+f.Msg)
	}
	for i, want := range []string{"spec.missing_input jobs[0].steps[1].inputs.to", "spec.unknown_step_type jobs[0].steps[3].type there is no executor shap; did you mean shape?", "spec.unknown_input jobs[0].steps[1].inputs.too"} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("got %q, want %q in its place", got, want)
		}
	}
	if len(got) != 3 {
		t.Errorf("got %q", got)
	}
	for id, n := range w.asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", id, n)
		}
	}
	if options().Connections["scale_executor"].Types != nil || len(options().Inputs["scale_executor"].Names) > 0 {
		t.Error("the options of others were changed")
	}
	tree, report := flows.Compile("f", []byte("flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: scale, inputs: {to: 1}}]}]\n"), "r", opts)
	if tree == nil || !strings.Contains(string(tree.Document), `"method":"scale_executor"`) {
		t.Errorf("compiled: %+v", report)
	}
}

// TestPriority: that of a submission is that of all tasks, but of those that the flow gives one of their own.
func TestPriority(t *testing.T) {
	const text = `
flow: {id: f, priority: 3}
jobs:
- {id: a, steps: [{id: s, type: noop}, {id: own, type: noop, priority: 1}]}
- {id: b, priority: 2, steps: [{id: s, type: noop}]}
- {id: c, lock: {key: k}, steps: [{id: s, type: noop}]}
`
	for _, row := range []struct {
		given *int
		want  int
	}{{nil, 3}, {new(0), 0}} {
		opts := options()
		opts.Priority = row.given
		tree, report := flows.Compile("f", []byte(text), "r", opts)
		if tree == nil {
			t.Fatal(report.Errors)
		}
		var tasks []struct {
			Name     string
			Priority *int
		}
		if err := json.Unmarshal(tree.Document, &tasks); err != nil {
			t.Fatal(err)
		}
		own := map[string]int{"a__own": 1, "b__s": 2}
		for _, task := range tasks {
			if !strings.HasSuffix(task.Name, "__s") && !strings.HasSuffix(task.Name, "__own") {
				continue
			}
			want, is := own[task.Name]
			if !is {
				want = row.want
			}
			if task.Priority == nil || *task.Priority != want {
				t.Errorf("%s has %v, want %d", task.Name, task.Priority, want)
			}
		}
	}
	opts := options()
	opts.Priority = new(4)
	if tree, report := flows.Compile("f", []byte(text), "r", opts); tree != nil || report.Errors[0].Loc != "priority" {
		t.Errorf("priority 4: %+v", report)
	}
}
