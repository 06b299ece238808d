package worker_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/worker"
)

// BenchmarkTasks moves no-op tasks from WORK through one worker to RESULTS, with a coordinator that says yes at once.
// Server, coordinator and worker share this process.
func BenchmarkTasks(b *testing.B) {
	for _, slots := range []int{500, 2000} {
		for _, repeatable := range []bool{false, true} {
			b.Run(fmt.Sprintf("slots=%d/repeatable=%v", slots, repeatable), func(b *testing.B) {
				h := newHarness(b)
				var messages []queue.WorkMessage
				for task := range int64(b.N) {
					data, err := proto.Marshal(work(task, func(w *workerv1.Work) { w.Repeatable = repeatable }))
					if err != nil {
						b.Fatal(err)
					}
					messages = append(messages, queue.WorkMessage{Pool: pool, Priority: 1, Data: data})
				}
				h.results = make(chan *workerv1.Result, b.N)
				h.claims = make(chan *workerv1.ClaimRequest, b.N+1)
				for len(messages) > 0 {
					n := min(len(messages), 5000)
					h.publish(messages[:n]...)
					messages = messages[n:]
				}
				b.ReportAllocs()
				b.ResetTimer()
				h.runWorker(does(func(context.Context, *executors.Call) (any, error) { return nil, nil }), func(c *worker.Config) {
					c.Pools[0].Concurrency = slots
				})
				for range b.N {
					<-h.results
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
				if n := len(h.claims); n > 0 {
					b.ReportMetric(float64(b.N)/float64(n), "grants/claim")
				}
			})
		}
	}
}
