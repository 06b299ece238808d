package simulation

import (
	"math/rand/v2"
	"testing"
)

// TestOracleReadsFlows: what the oracle says of the tree that a flow compiles to is what the documentation says of the flow.
func TestOracleReadsFlows(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 9))
	for n := range 2000 {
		tree, read := randomFlow(r, "t")
		ends := tree.Run()
		for i, want := range read {
			if ends[i].State != want {
				t.Fatalf("flow %d: task %d is %s, want %s: %+v", n, i, ends[i].State, want, tree.Tasks[i])
			}
		}
	}
}
