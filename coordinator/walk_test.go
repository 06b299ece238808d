package coordinator_test

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestRareTasksAreFoundStepByStep lists few tasks among many: more than one step of the walk looks at.
func TestRareTasksAreFoundStepByStep(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	svc := c.Service()
	tasks := []*dag.Task{noop("rare-root", "")}
	var want []string
	for i := range 22_000 {
		task := noop(fmt.Sprint("rare-", i), "rare-root")
		task.Name = "many"
		if i%7_000 == 6_999 {
			task.Name = "rare"
			want = append(want, task.ID)
		}
		tasks = append(tasks, task)
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, tasks...)
	for _, limit := range []int{2, 100} {
		for what, f := range map[string]coordinator.TaskFilter{
			"of the tree, by name": {TreeOf: "rare-root", Name: "rare"},
			"of all, by name":      {Name: "rare"},
			"of all, none":         {Name: "nope"},
			"of all, by state":     {Name: "rare", States: dag.Held.Set()},
		} {
			f.Limit = limit
			var got []string
			for pages := 0; ; pages++ {
				page, err := svc.Tasks(t.Context(), f)
				if err != nil || pages > 3 {
					t.Fatalf("%s: page %d: %v", what, pages, err)
				}
				for _, task := range page.Items {
					got = append(got, task.ID)
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					break
				}
			}
			expected := want
			if f.TreeOf == "" { // newest first
				expected = []string{want[2], want[1], want[0]}
			}
			if f.Name == "nope" {
				expected = nil
			}
			if fmt.Sprint(got) != fmt.Sprint(expected) {
				t.Errorf("%s, %d at a time: got %v, want %v", what, limit, got, expected)
			}
		}
	}
}
