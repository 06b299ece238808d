package coordinator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestWhatNobodyAskedForComesLast: that command_executor is off is a fault of a worker that was told to serve its pool, and no more than a
// remark of one that was told nothing.
func TestWhatNobodyAskedForComesLast(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	c.AddWorkerOf(1, "command_executor", "noop_executor")
	asked := func(w coordinator.Worker) string {
		return strings.Join(w.Faults[:len(w.Faults)-w.Unasked], "; ")
	}
	c.Eventually("both workers are shown", func() error {
		workers, err := c.Service().Workers(t.Context())
		if err != nil || len(workers) != 2 {
			return fmt.Errorf("got %v, %v", workers, err)
		}
		for _, w := range workers {
			off := strings.Contains(asked(w), "executor command_executor is off")
			if w.ID == "worker-1" && (asked(w) != "" || w.Unasked == 0) || w.ID == "worker-2" && !off {
				return fmt.Errorf("got %+v", w)
			}
		}
		return nil
	})
}
