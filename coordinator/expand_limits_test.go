package coordinator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestFoundTasksAskForLimits: the keys of what was found are of its items and inputs, which are no templates, of its own id and of its tree's; what is wrong with
// them fails the attempt, and no task is made.
func TestFoundTasksAskForLimits(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	out := c.Submit(coordinator.SubmitOptions{}, expands("map", "", "map_executor", `{"items":[{"c":"a"},{"c":"b"}],"collect":"none","task":{"schemas":{"method":"end_executor"},`+
		`"inputs":{"value":"{{item.c}}","c":"{{item.c}}"},"limits":[{"key":"{{inputs.c}}/{{item.c}}/{{index}}","max":1}],"lock":{"key":"{{tree.id}}/{{task.id}}"},"rates":[{"key":"{{index}}","per":"second","max":5}]}}`))
	c.Settled(out.TreeID)
	for _, task := range c.Tasks(out.TreeID) {
		if task.ParentID == "" {
			if task.State != dag.Completed {
				t.Errorf("%s: %s", task.State, task.Error)
			}
			continue
		}
		var keys []string
		for _, k := range task.Limiting.Keys() {
			keys = append(keys, *k)
		}
		item := map[string]string{"0": "a", "1": "b"}[task.Ref]
		want := fmt.Sprintf("%[1]s/%[1]s/%[2]s map/%[3]s %[2]s", item, task.Ref, task.ID)
		if got := strings.Join(keys, " "); got != want || task.State != dag.Completed {
			t.Errorf("task %s: keys %q, want %q", task.Ref, got, want)
		}
	}
	for name, test := range map[string]struct{ limits, want string }{
		"no max":      {`[{"key":"k-{{item.c}}"}]`, `tasks[0].limits[0].max: is required, as no operator has set one for the key "k-a"`},
		"no text":     {`[{"key":"{{item}}","max":1}]`, "items[0]: limits[0].key: the value of the item is null, an object or a list, and a key is a text"},
		"a template":  {`[{"key":"{{item.t}}","max":1}]`, "items[0]: limits[0].key: the value of the item has {{ in it, which a key must not have"},
		"no value":    {`[{"key":"{{inputs.x}}","max":1}]`, "the inputs have no such value as they are submitted"},
		"wrong roots": {`[{"key":"{{deps.a.result}}","max":1}]`, "begins with none of index, inputs, item, task, tree"},
	} {
		id := "map with " + name
		task := expands(id, "", "find_executor", "{}")
		inputs := `{"items":[{"c":"a","t":"{{inputs.c}}"}],"task":{"schemas":{"method":"end_executor"},"inputs":{"c":1},"limits":` + test.limits + `}}`
		if name == "no max" { // known only when it runs
			out = c.Submit(coordinator.SubmitOptions{}, expands(id, "", "map_executor", inputs))
			c.Settled(out.TreeID)
			if got, err := c.Service().Task(t.Context(), id); err != nil || got.State != dag.Failed || !strings.Contains(got.Error, test.want) {
				t.Errorf("%s: %s, %v", name, got.Error, err)
			}
			continue
		}
		task.Executor = "map_executor"
		_, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, cluster.Seq([]*dag.Task{with(task, inputs)}))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}
