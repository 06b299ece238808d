package examples

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestPatternsHoldBack: the patterns of limits and rates hold their tasks back as they say, once there is enough to be held back.
func TestPatternsHoldBack(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	submit := func(t *testing.T, c *cluster.Cluster, pattern string, edits ...string) *coordinator.Submitted {
		text := document(t, "patterns/"+pattern)
		for i := 0; i < len(edits); i += 2 {
			if !strings.Contains(text, edits[i]) {
				t.Fatalf("%s has no %s in it: %s", pattern, edits[i], text)
			}
			text = strings.ReplaceAll(text, edits[i], edits[i+1])
		}
		out, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{}, treedoc.Read(strings.NewReader(text), treedoc.Options{Executors: node.Known()}))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Run("limits", func(t *testing.T) {
		c := c.For(t)
		out := submit(t, c, "limits.yaml", "noop_executor", "sleep_executor", `"value":`, `"seconds":`) // as many as the order's number
		most := int64(0)
		c.Eventually("five orders of a customer run, and two wait", func() error {
			page, err := c.Service().Limits(t.Context(), coordinator.LimitFilter{All: true})
			held, waits := map[string]int64{}, map[string]int64{}
			for _, l := range page.Items {
				held[l.Key], waits[l.Key] = l.Held, l.Waiters
			}
			if most = max(most, held["customer-acme"]); held["customer-acme"] != 5 || waits["customer-acme"] != 2 || held["customer-initech"] != 1 || waits["customer-initech"] != 0 {
				return fmt.Errorf("%d and %d of acme, %d and %d of initech, %v", held["customer-acme"], waits["customer-acme"], held["customer-initech"], waits["customer-initech"], err)
			}
			return nil
		})
		if st := c.Settled(out.TreeID); st.Completed != 10 || most != 5 {
			t.Errorf("got %+v; at most %d were held", st, most)
		}
	})
	t.Run("rates", func(t *testing.T) {
		c := c.For(t)
		out := submit(t, c, "rates.yaml", "[12.5, 7, 30]", "[1,2,3,4,5,6,7,8,9,10,11,12,13]")
		st := c.Settled(out.TreeID)
		var starts []time.Time
		for _, task := range c.Tasks(out.TreeID) {
			if strings.HasPrefix(task.Name, "charge ") {
				starts = append(starts, task.StartedAt)
			}
		}
		slices.SortFunc(starts, time.Time.Compare)
		if len(starts) != 13 || starts[12].Sub(st.CreatedAt) < 1900*time.Millisecond { // ten at once, then one every 0.67 seconds
			t.Errorf("created at %v, %d starts: %v", st.CreatedAt, len(starts), starts)
		}
	})
}
