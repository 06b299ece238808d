package coordinator_test

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// BenchmarkGates measures what a gate costs: a tree of 10 000 groups that depend on one task, from its submission to its end; plain ones, and ones with a
// condition over that task's outcome and result.
func BenchmarkGates(b *testing.B) {
	const groups = 10_000
	c := cluster.Start(b, cluster.Options{})
	n := 0
	for _, kind := range []struct{ name, when string }{
		{"plain", ""},
		{"outcome", `deps.find.outcome == "success"`},
		{"result", `size(deps.find.result.items) > 1`},
		{"false", `deps.find.outcome == "failed"`},
	} {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				n++
				root := fmt.Sprintf("gates%d", n)
				find := with(noop(root+".find", root), `{"value":{"items":[1,2]}}`)
				find.Name = "find"
				tasks := []*dag.Task{noop(root, ""), find}
				for i := range groups {
					g := group(fmt.Sprintf("%s.%d", root, i), root, root+".find")
					if kind.when != "" {
						g = when(g, kind.when)
					}
					tasks = append(tasks, g)
				}
				c.Submit(coordinator.SubmitOptions{}, tasks...)
				c.Settled(root)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/groups, "µs/group")
		})
	}
}
