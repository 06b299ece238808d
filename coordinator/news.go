package coordinator

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// tell sends news to a worker, at most once; beat replies repeat what matters.
func (c *Coordinator) tell(worker string, news *workerv1.News) {
	data, err := proto.Marshal(news)
	if err == nil {
		err = c.queue.Tell(worker, data)
	}
	if err != nil {
		c.log.Debug("news did not get through", "worker_id", worker, "error", err)
	}
}

// tellStops sends workers the news that attempts are cancelled or timed out.
func (c *Coordinator) tellStops(ctx context.Context, stops []dag.Stop) {
	if len(stops) == 0 {
		return
	}
	byWorker := map[dag.WorkerKey]*workerv1.News{}
	for _, s := range stops {
		n := byWorker[s.Worker]
		if n == nil {
			n = &workerv1.News{}
			byWorker[s.Worker] = n
		}
		n.Cancel = append(n.Cancel, attemptOf(s.Task, s.Attempt))
	}
	workers, err := c.store.LiveWorkers(ctx)
	if err != nil {
		c.log.Warn("cancellations reach their workers with the next beat", "error", err)
		return
	}
	for _, w := range workers {
		if n := byWorker[w.Key]; n != nil {
			c.tell(w.ID, n)
		}
	}
}

func attemptOf(k dag.Key, n int32) *workerv1.Attempt {
	return &workerv1.Attempt{Task: int64(k), Number: uint32(n)}
}
