package worker

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

const (
	resultBatch      = 1000      // results in one message
	resultBatchBytes = 512 << 10 // and their size
	resultsInFlight  = 4         // messages under way at once
	publishWithin    = 10 * time.Second
	lineBytes        = 8 << 20 // of messages in the line of a pool
	linesMost        = 8192    // attempts in the lines of all pools
)

// newReporter makes the batcher that publishes results. What bounds its queue is that every item counts as kept.
func (w *Worker) newReporter() *batcher[*attempt] {
	return &batcher[*attempt]{
		max: resultBatch, maxBytes: min(resultBatchBytes, w.conn.MaxPayload()*3/4), size: (*attempt).size,
		inFlight: resultsInFlight, linger: batchLinger, enough: batchEnough,
		send: w.publish, wake: make(chan struct{}, 1),
	}
}

// publish stores the results of a batch in RESULTS, those of one instance in one message.
func (w *Worker) publish(ctx context.Context, batch []*attempt) ([]*attempt, time.Duration) {
	w.book.step(func(l *ledger.Ledger[*attempt], _ *todo) {
		batch = slices.DeleteFunc(batch, func(a *attempt) bool { return !l.Keeps(a) })
	})
	var again []*attempt
	for len(batch) > 0 {
		s := batch[0].session
		message := &workerv1.ResultBatch{Version: workerv1.Version, Instance: s.instance}
		var mine, others []*attempt
		for _, a := range batch {
			if a.session == s {
				mine = append(mine, a)
				message.Results = append(message.Results, a.result)
			} else {
				others = append(others, a)
			}
		}
		if err := w.publishBatch(ctx, message); err != nil {
			w.quiet.warn("results", "results are not stored and are kept", "results", len(mine), "error", err)
			again = append(again, mine...)
		} else {
			failpoint.Hit("worker.after-result")
			out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) {
				now := time.Now()
				for _, a := range mine {
					l.Stored(now, a, out)
				}
			})
			w.do(&out)
			w.metrics.resultBatch.Record(ctx, int64(len(mine)))
			w.reported(mine)
		}
		batch = others
	}
	if len(again) == 0 {
		return nil, 0
	}
	return again, backOff(3)
}

// reported adds a span to the trace of each attempt: from the end of its run to when its result was stored in RESULTS.
func (w *Worker) reported(all []*attempt) {
	for _, a := range all {
		if !a.out.span.IsValid() { // it never ran, or nothing is traced
			continue
		}
		_, span := w.cfg.Trace.Start(trace.ContextWithSpanContext(context.Background(), a.out.span), "report",
			trace.WithTimestamp(time.UnixMicro(a.result.FinishedUnixUs)), trace.WithSpanKind(trace.SpanKindProducer))
		if span.IsRecording() {
			span.SetAttributes(attribute.String("task_id", a.work.TaskId), attribute.Int64("attempt", int64(a.Key.Number)), attribute.String("outcome", endOf(a.result).String()))
		}
		span.End()
	}
}

func (w *Worker) publishBatch(ctx context.Context, message *workerv1.ResultBatch) error {
	data, err := proto.Marshal(message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	return w.conn.PublishResults(ctx, data)
}

// tire hands back what waits too long for a slot, until ctx ends.
func (w *Worker) tire(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.book.lined:
		}
		for left := true; left; {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(w.cfg.LineWait / 4):
			}
			out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { left = l.Tire(time.Now(), out) })
			w.do(&out)
		}
	}
}

// resend queues results again whose receipts are overdue, until ctx ends.
func (w *Worker) resend(ctx context.Context) error {
	ticker := time.NewTicker(max(w.cfg.Resend/10, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { l.Overdue(time.Now(), out) })
		w.do(&out)
		if n := len(out.Report); n > 0 {
			w.metrics.resent.Add(ctx, int64(n))
		}
	}
}
