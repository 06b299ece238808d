package pg

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// BenchmarkSubmit stores trees: small ones of one and of 100 tasks, which 8 clients for each core submit at a time, and large ones, one for each core. A task
// but the root depends on the one before.
func BenchmarkSubmit(b *testing.B) {
	for _, tasks := range []int{1, 100, 20_000} {
		b.Run(fmt.Sprint("tasks=", tasks), func(b *testing.B) {
			s, _ := openStore(b)
			var trees atomic.Int64
			if tasks < smallTasks {
				b.SetParallelism(8)
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Submit(b.Context(), dag.DefaultNamespaceKey, chain(fmt.Sprint("t", trees.Add(1)), tasks)); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(trees.Load())*float64(tasks)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

// chain is a submission of a root and tasks below it, each of which depends on the one before.
func chain(id string, n int) Submission {
	sub := treeOf()
	sub.Tasks = func(yield func(*dag.Task, error) bool) {
		for i := range n {
			t := &dag.Task{ID: id, Name: "task", Executor: "e", Inputs: []byte(`{"n": 1}`)}
			if i > 0 {
				t.ID, t.ParentRef = fmt.Sprint(id, "-", i), id
			}
			if i > 1 {
				t.Dependencies = []dag.Dependency{{Ref: fmt.Sprint(id, "-", i-1)}}
			}
			if !yield(t, nil) {
				return
			}
		}
	}
	return sub
}
