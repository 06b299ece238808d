package pg

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// BenchmarkSettle settles 500 results that unlock a task each, in one transaction that is tried without reading, and in one that
// reads first; and with the usage of so many models each.
func BenchmarkSettle(b *testing.B) {
	for _, bb := range []struct {
		optimistic bool
		models     int
	}{{true, 0}, {true, 1}, {true, 3}, {false, 0}, {false, 1}} {
		b.Run(fmt.Sprintf("optimistic=%t/models=%d", bb.optimistic, bb.models), func(b *testing.B) {
			optimistic := bb.optimistic
			const pairs = 500
			s, _ := openStore(b)
			room := func(int32, dag.Priority, int32) bool { return true }
			var worker dag.WorkerKey
			if err := s.pool.QueryRow(b.Context(), `insert into worker (instance, id, host, build, pools, state, beat, lease_until, attempts)
				values ('i', 'w', '', '', '{}', 1, 1, now() + interval '1 hour', '{}') returning key`).Scan(&worker); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				tasks := []*dag.Task{{ID: fmt.Sprint("root", n), Name: "root"}}
				for i := range pairs {
					id := fmt.Sprint("t", n, "-", i)
					tasks = append(tasks, &dag.Task{ID: id + "a", Name: "a", Executor: "e", ParentRef: tasks[0].ID, Inputs: []byte(`{"n":1}`)},
						&dag.Task{ID: id + "b", Name: "b", Executor: "e", ParentRef: tasks[0].ID, Inputs: []byte(`{"n":2}`), Dependencies: []dag.Dependency{{Ref: id + "a"}}})
				}
				sub := treeOf(tasks...)
				sub.Room = room
				out, err := s.Submit(b.Context(), dag.DefaultNamespaceKey, sub)
				if err != nil {
					b.Fatal(err)
				}
				var claims []dag.Claim
				var results []dag.Result
				for _, w := range out.Effects.Publish {
					claims = append(claims, dag.Claim{Task: w.Key, Attempt: 1, Worker: worker, Facts: w.Facts()})
					r := dag.Result{Task: w.Key, Attempt: 1, Worker: worker, Outcome: dag.OutcomeCompleted, Value: []byte(`{"r":1}`)}
					if optimistic {
						r.Facts = w.Facts()
					}
					for i := range bb.models {
						r.Used = append(r.Used, dag.Used{Model: fmt.Sprint("model-", i), Currency: "USD", Calls: 1, Prompt: 1000, Completion: 200, CostNanos: 4_850_000})
					}
					results = append(results, r)
				}
				if _, _, err := s.Claim(b.Context(), claims); err != nil || len(results) != pairs {
					b.Fatal(len(results), err)
				}
				b.StartTimer()
				_, eff, err := s.Settle(b.Context(), results, room)
				if err != nil || len(eff.Publish) != pairs {
					b.Fatal(len(eff.Publish), err)
				}
			}
		})
	}
}
