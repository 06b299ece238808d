package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/internal/tasklog"
)

// withheld is what became of a line that does not leave the cluster, as its attempt's values are sealed.
const withheld tasklog.Outcome = "withheld"

// openOutside opens the way out for lines of tasks, if there is to be one.
func (w *Worker) openOutside(ctx context.Context) (err error) {
	outcomes := map[tasklog.Outcome]metric.MeasurementOption{}
	for _, o := range []tasklog.Outcome{tasklog.Sent, tasklog.Dropped, tasklog.Failed, withheld} {
		outcomes[o] = metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", string(o))))
	}
	w.linesOutside = func(outcome tasklog.Outcome, n int) {
		w.metrics.linesOutside.Add(context.Background(), int64(n), outcomes[outcome])
	}
	w.outside, err = tasklog.Open(ctx, tasklog.Config{
		Mode: tasklog.Mode(w.cfg.TaskLogs), Version: w.cfg.Build, Worker: w.cfg.ID, Count: w.linesOutside, Log: w.cfg.Log,
	})
	if err != nil {
		return fmt.Errorf("worker %s: %w", w.cfg.ID, err)
	}
	if w.outside != nil {
		for outcome := range outcomes { // 0 is seen before the first loss
			w.linesOutside(outcome, 0)
		}
	}
	return nil
}

// tellOutside gives a line to the way out. It never blocks. The caller holds mu, so that lines are in order.
func (o *output) tellOutside(stream, line string, at time.Time) {
	w := o.w
	if w.outside == nil {
		return
	}
	if o.a.key.Load() != nil && !w.cfg.TaskLogsSealed {
		w.sayWithheld.Do(func() {
			w.cfg.Log.Warn("lines of tasks whose values are sealed stay in the cluster: set TASKGROVE_TASK_LOGS_SEALED to have them go out in plain text, too", "to", w.cfg.TaskLogs)
		})
		w.linesOutside(withheld, 1)
		return
	}
	work := o.a.work
	w.outside.Add(tasklog.Line{
		Time: at, Stream: stream, Text: line, Seq: o.number, Tree: work.TreeId, Task: work.TaskId, Name: work.Name, Attempt: int(o.a.Key.Number),
		User: work.UserId, Namespace: work.Namespace, Executor: work.Executor, Pool: o.a.pool.name, Worker: w.cfg.ID, Span: o.span,
	})
}

// wayOut is what a worker has for lines that leave the cluster.
type wayOut struct {
	outside      *tasklog.Log // nil: there is none
	linesOutside func(outcome tasklog.Outcome, n int)
	sayWithheld  sync.Once
}
