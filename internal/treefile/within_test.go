package treefile

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest/phrases"
	"github.com/taskgrove/taskgrove/dag"
)

// TestTreesInInputs: trees that are written as in tree files become those of the protocol, wherever they stand in the inputs of a map or a subtree. Others stay.
func TestTreesInInputs(t *testing.T) {
	for name, c := range map[string]struct{ executor, inputs, want string }{
		"an object": {
			"subtree_executor", `{"tree":{"name":"t","tasks":[{"name":"a","executor":"noop"}],"taskgrove":1},"detach":true}`,
			`{"tree":[{"name":"t","dependencies":["a"],"fold":true},{"name":"a","parent_id":"t","schemas":{"method":"noop"}}],"detach":true}`,
		},
		"a text": {
			"subtree_executor", `{"tree":"taskgrove: 1\nname: t\nparameters: {day: {required: true}}\ntasks: [{name: a, executor: noop, inputs: {day: '{{parameters.day}}'}}]\n","parameters":{"day":"monday"}}`,
			`{"tree":[{"name":"t","dependencies":["a"],"fold":true},{"name":"a","parent_id":"t","schemas":{"method":"noop"},"inputs":{"day":"monday"}}]}`,
		},
		"a task": {
			"map_executor", `{"items":[1],"task":{"taskgrove":1,"executor":"command","inputs":{"command":"echo {{item}}"}}}`,
			`{"items":[1],"task":{"schemas":{"method":"command_executor"},"inputs":{"command":"echo {{item}}","fail_on_error":true},"template":true}}`,
		},
		"tasks": {
			"map_executor", `{"tasks":{"taskgrove":1,"defaults":{"timeout":5},"parameters":{"p":{"default":1}},"tasks":[{"name":"a","executor":"noop"},{"name":"b","executor":"noop","needs":["a"],"inputs":{"p":"{{parameters.p}}"}}]},"parameters":{"p":2},"items":[1]}`,
			`{"tasks":[{"name":"a","schemas":{"method":"noop"},"timeout":5,"parent_id":"b"},{"name":"b","schemas":{"method":"noop"},"dependencies":["a"],"inputs":{"p":2},"timeout":5}],"items":[1]}`,
		},
		"the protocol's": {"subtree_executor", `{"tree":[{"name":"taskgrove"}]}`, ""},
		"another key":    {"subtree_executor", `{"copy_of":"taskgrove","inputs":{"a":{"taskgrove":1}}}`, ""},
		"another":        {"noop_executor", `{"tree":{"taskgrove":1}}`, ""},
		"no JSON":        {"subtree_executor", `{"taskgrove`, ""},
	} {
		got, was, err := Inputs(c.executor, []byte(c.inputs), dag.Known{})
		if err != nil || was != (c.want != "") || !sameJSON(string(got), c.want) {
			t.Errorf("%s: got %s, %v, %v\nwant %s", name, got, was, err, c.want)
		}
	}
}

// sameJSON reports whether two texts are the same but for the order of keys.
func sameJSON(a, b string) bool {
	return a == b || string(dag.AppendCanonical(nil, []byte(a))) == string(dag.AppendCanonical(nil, []byte(b)))
}

// TestFaultsOfTreesInInputs: all are told at once, by their paths in the inputs, and those of a text by its lines, too.
func TestFaultsOfTreesInInputs(t *testing.T) {
	for name, c := range map[string]struct {
		executor, inputs string
		want             []string
	}{
		"an object": {"subtree_executor", `{"tree":{"taskgrove":2,"name":"t","time_out":3,"parameters":{"d":{"required":true}},"tasks":[{"name":"a","executor":"noop","timeout":"1h","needs":["b"]}]},"parameters":{"e":1}}`, []string{
			"inputs.parameters.e: there is no such parameter; there is d", "inputs.tree.taskgrove: this version of tree files is not known: there is 1", "inputs.tree.time_out: there is no such key; did you mean timeout?",
			"inputs.tree.parameters.d: is required, and no value is given", "inputs.tree.tasks[0].timeout: must be a number of seconds", "inputs.tree.tasks[0].needs[0]: there is no task b",
		}},
		"a text":    {"subtree_executor", `{"tree":"taskgrove: 1\nname: t\ntasks:\n- {name: a, executor: noop, tiemout: 3}\n"}`, []string{"inputs.tree.tasks[0].tiemout: there is no such key; did you mean timeout? (line 4, column 29)"}},
		"some text": {"subtree_executor", `{"tree":"taskgrove"}`, []string{"inputs.tree: is no tree file: its first key must be taskgrove: 1"}},
		"no text":   {"subtree_executor", `{"tree":"","x":"taskgrove"}`, []string{"inputs.tree: the file is empty"}},
		"a task":    {"map_executor", `{"items":[1],"task":{"taskgrove":1,"executor":"noop","needs":["a"],"parameters":{},"dependson":1}}`, []string{"inputs.task.needs: one task is made for an item here", "inputs.task.parameters: is not known", "inputs.task.dependson: there is no such key; did you mean needs?"}},
		"tasks":     {"map_executor", `{"items":[1],"tasks":{"taskgrove":1,"name":"t","tasks":3}}`, []string{"inputs.tasks.name: is not known", "inputs.tasks.tasks: must be a list of tasks"}},
		"unused":    {"map_executor", `{"items":[1],"task":{"taskgrove":1,"executor":"noop"},"parameters":{"p":1}}`, []string{"inputs.parameters.p: the file has no parameters"}},
		"values":    {"map_executor", `{"items":[1],"task":{"taskgrove":1,"executor":"noop"},"parameters":[1]}`, []string{"inputs.parameters: must be an object"}},
	} {
		_, was, err := Inputs(c.executor, []byte(c.inputs), dag.Known{})
		refused, ok := errors.AsType[*Error](err)
		good := ok && was && len(refused.Faults) == len(c.want)
		for i := 0; good && i < len(c.want); i++ {
			good = strings.HasPrefix(refused.Faults[i].Text, c.want[i]) && strings.HasPrefix(refused.Faults[i].Text, refused.Faults[i].Path)
		}
		if !good {
			t.Errorf("%s: got %v, %v\nwant %s", name, was, err, strings.Join(c.want, "\n     "))
		}
	}
}

// FuzzTreesInInputs: whatever inputs hold, they stay, or become what the protocol takes, or are refused in plain words with a path in them.
func FuzzTreesInInputs(f *testing.F) {
	for _, s := range []string{
		`{"tree":{"taskgrove":1,"name":"t","parameters":{"p":{"type":"integer"}},"tasks":[{"name":"a","executor":"noop","inputs":{"p":"{{parameters.p}}"}}]},"parameters":{"p":1}}`,
		`{"tree":"taskgrove: 1\nname: t\ntasks: [{name: a, executor: map, inputs: {items: [1], task: {executor: noop}}}]\n"}`,
		`{"task":{"taskgrove":1,"executor":"map","inputs":{"task":{"tasks":[]}}},"parameters":[]}`, `{"tasks":{"taskgrove":"1","tasks":[3,{"name":[]}],"defaults":3,"parameters":{"a":{}}},"task":{"taskgrove":null}}`,
	} {
		f.Add(true, []byte(s))
		f.Add(false, []byte(s))
	}
	f.Fuzz(func(t *testing.T, mapping bool, inputs []byte) {
		executor := dag.SubtreeExecutor
		if mapping {
			executor = dag.MapExecutor
		}
		if len(inputs) > 10_000 || !json.Valid(inputs) {
			return
		}
		rendered, was, err := Inputs(executor, inputs, dag.Known{})
		if err != nil {
			refused, ok := errors.AsType[*Error](err)
			if !ok || !was || len(refused.Faults) == 0 || len(refused.Faults) > maxFaults {
				t.Fatalf("%s: %v", inputs, err)
			}
			for _, fault := range refused.Faults {
				if found := phrases.In(strings.TrimPrefix(fault.Text, fault.Path+": ")); len(found) > 0 || !strings.HasPrefix(fault.Path, "inputs.") || !strings.HasPrefix(fault.Text, fault.Path) {
					t.Errorf("%s: %+v", inputs, fault)
				}
			}
			return
		}
		if was && !json.Valid(rendered) {
			t.Fatalf("%s became %s", inputs, rendered)
		}
	})
}
