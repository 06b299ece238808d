package coordinator

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Logs yields what a task's executors wrote; see [Service].
func (c *Coordinator) Logs(ctx context.Context, taskID string, attempt int, follow bool) iter.Seq2[*LogLine, error] {
	return func(yield func(*LogLine, error) bool) {
		k, err := c.keyOf(ctx, taskID)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if follow {
			go c.cancelWhenSettled(ctx, taskID, cancel)
		}
		var left bool
		err = c.queue.ReadLogs(ctx, int64(k), follow, func(data []byte) error {
			b := &workerv1.LogBatch{}
			if err := proto.Unmarshal(data, b); err != nil {
				return nil // not ours
			}
			for _, l := range b.Lines {
				n := int(l.GetAttempt().GetNumber())
				if attempt != 0 && n != attempt {
					continue
				}
				if !yield(&LogLine{Attempt: n, Number: int64(l.Number), Stream: l.Stream, Text: l.Text, At: time.UnixMicro(l.UnixUs)}, nil) {
					left = true
					return context.Canceled
				}
			}
			return nil
		})
		if err != nil && !left && ctx.Err() == nil {
			yield(nil, unavailable(err))
		}
	}
}

// logsGrace is how long after its task settled the last lines of a log may arrive.
const logsGrace = 500 * time.Millisecond

// cancelWhenSettled ends a followed log once its task is settled. It ends with ctx.
func (c *Coordinator) cancelWhenSettled(ctx context.Context, taskID string, cancel context.CancelFunc) {
	for {
		t, err := c.store.Task(ctx, taskID)
		if err == nil && t.State.Settled() {
			sleep(ctx, logsGrace)
			cancel()
			return
		}
		if !sleep(ctx, logsGrace) {
			return
		}
	}
}
