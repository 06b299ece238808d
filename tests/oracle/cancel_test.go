package oracle

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCancelledBehindTheGateWait: what users cancel before the gate opens is not blocked already, where edges tell the two apart.
func TestCancelledBehindTheGateWait(t *testing.T) {
	picked := 0
	for seed := range uint64(300) {
		tree := Random(rand.New(rand.NewPCG(seed, 7)), Shape{Prefix: "c", Tasks: 40, Fails: 0.3, Gate: true, Cancel: 0.3, Beyond: 1})
		before := tree
		before.Tasks = slices.Clone(tree.Tasks)
		for i := range before.Tasks {
			before.Tasks[i].Cancelled, before.Tasks[i].Skipped = false, false
		}
		for i, end := range before.settle(false) {
			if tree.Tasks[i].Cancelled || tree.Tasks[i].Skipped {
				picked++
				if end.State.Settled() {
					t.Errorf("seed %d: task %d is %s before anybody cancels it", seed, i, end.State)
				}
			}
		}
	}
	if picked < 100 {
		t.Errorf("%d tasks are cancelled or skipped", picked)
	}
}
