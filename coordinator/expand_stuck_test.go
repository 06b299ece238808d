package coordinator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestWhatCantGrowHoldsUpNothing: an expansion whose tasks can't be made, here since what they are made of is no JSON, is tried again and again. Others grow and
// end meanwhile.
func TestWhatCantGrowHoldsUpNothing(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	db := connected(t, c.URL)
	of := func(id string, items int) *dag.Task {
		return expands(id, "", "map_executor", fmt.Sprintf(`{"items":[%s],"window":1,"task":{"schemas":{"method":"wait_executor"},"inputs":{"signal":"go"}}}`, strings.TrimSuffix(strings.Repeat("0,", items), ",")))
	}
	c.Submit(coordinator.SubmitOptions{}, of("stuck", 2))
	child := func(tree string, n int) (id string) {
		c.Eventually("a task waits", func() error {
			for _, t := range c.Tasks(tree) {
				if strings.HasSuffix(t.Name, fmt.Sprintf("[%d]", n)) {
					id = t.ID
					if t.State == dag.Awaiting {
						return nil
					}
				}
			}
			return fmt.Errorf("no task %d of %s waits", n, tree)
		})
		return id
	}
	first := child("stuck", 0)
	if _, err := db.Exec(t.Context(), "update expansion_part set body = 'x' where part >= 0"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Service().Signal(t.Context(), first, coordinator.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	out := c.Submit(coordinator.SubmitOptions{}, of("other", 3))
	for n := range 3 {
		if _, err := c.Service().Signal(t.Context(), child("other", n), coordinator.Signal{Name: "go"}); err != nil {
			t.Fatal(err)
		}
	}
	if tree := c.Settled(out.TreeID); tree.Status != dag.StatusCompleted {
		t.Errorf("got %v", tree.Status)
	}
}
