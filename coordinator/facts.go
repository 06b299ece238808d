package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Each fact that operators can see has one function here, which writes its log line, counts it and adds its span to the
// tree's trace. Code that brings a fact about calls the function once and reports nothing else. The events that clients
// watch are stored with the change itself, by pg.

// submitted: a tree is stored. A submission that was replayed, and one without tasks, made no tree.
func (c *Coordinator) submitted(ctx context.Context, out *pg.Submitted, begin time.Time) {
	outcome := "stored"
	if out.Replayed {
		outcome = "replayed"
	} else {
		c.meter.submitted.Add(context.Background(), int64(out.Tasks))
	}
	c.meter.submissions.Add(context.Background(), 1, labelled("outcome", outcome))
	if out.Tree == 0 || !c.recording() {
		return
	}
	of := trace.WithAttributes(attribute.String("tree_id", out.RootID), attribute.Int("tasks", out.Tasks))
	options := []trace.SpanStartOption{trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindServer), of}
	asked := trace.SpanContextFromContext(ctx).IsValid()
	if asked { // the tree's trace is linked to the request's, and the other way round
		options = append(options, trace.WithLinks(trace.LinkFromContext(ctx)))
	}
	inTree, span := tracer().Start(c.inTree(ctx, out.Tree), "submit", options...)
	span.End()
	if asked {
		_, span := tracer().Start(ctx, "submit", trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindServer), of, trace.WithLinks(trace.LinkFromContext(inTree)))
		span.End()
	}
}

// notSubmitted: a tree is not stored. Whatever came of the client, who may have left, counts as refused.
func (c *Coordinator) notSubmitted(ctx context.Context, err error) {
	outcome := "failed"
	if ctx.Err() != nil || isRefusal(err) {
		outcome = "refused"
	}
	c.meter.submissions.Add(context.Background(), 1, labelled("outcome", outcome))
}

// isRefusal reports whether a submission failed by what it says, and not by us.
func isRefusal(err error) bool {
	for _, is := range []func(error) bool{isA[*dag.InvalidTreeError], isA[*dag.InvalidTaskError], isA[*InvalidArgumentError], isA[*dag.LevelError], isA[*QuotaError]} {
		if is(err) {
			return true
		}
	}
	return errors.Is(err, ErrNotFound)
}

func isA[E error](err error) bool {
	_, is := errors.AsType[E](err)
	return is
}

// moved: attempts that had waited in Postgres were moved to NATS.
func (c *Coordinator) moved(work []*pg.Work) {
	for _, w := range work {
		c.meter.dispatchLag.Record(context.Background(), w.Waited.Seconds())
	}
}

// What the events of a transaction, and the ends of executions, count as.
var taskOutcomes = map[dag.EventType]metric.MeasurementOption{
	dag.EventCompleted: labelled("outcome", "completed"), dag.EventFailed: labelled("outcome", "failed"), dag.EventCancelled: labelled("outcome", "cancelled"),
	dag.EventSkipped: labelled("outcome", "skipped"),
}

var treeOutcomes = map[pg.End]metric.MeasurementOption{
	pg.EndCompleted: labelled("outcome", "completed"), pg.EndFailed: labelled("outcome", "failed"), pg.EndCancelled: labelled("outcome", "cancelled"),
}

// happened: a transaction has ended tasks and executions.
func (c *Coordinator) happened(eff *pg.Effects) {
	for event, outcome := range taskOutcomes {
		if n := eff.Events[event]; n > 0 {
			c.meter.tasks.Add(context.Background(), int64(n), outcome)
		}
	}
	if n := eff.Events[dag.EventRetry]; n > 0 {
		c.meter.retries.Add(context.Background(), int64(n))
	}
	if eff.Late > 0 {
		c.meter.late.Add(context.Background(), int64(eff.Late), labelled("kind", "tree"))
	}
	for _, t := range eff.Trees {
		if outcome, ok := treeOutcomes[t.Ended]; ok && t.Final {
			c.meter.trees.Add(context.Background(), 1, outcome)
		}
	}
}

// late: runs of schedules had not ended when they were due.
func (c *Coordinator) late(of pg.DecidedSchedules) {
	c.meter.late.Add(context.Background(), int64(of.Late), labelled("kind", "run"))
	c.announce(of.Trees)
	c.webhooks.nudge(of.Trees)
}

// audited: a pass of the auditor ended.
func (c *Coordinator) audited(err error) {
	outcome := "done"
	if err != nil {
		outcome = "failed"
		c.log.Warn("an audit pass failed", "error", err)
	}
	c.meter.passes.Add(context.Background(), 1, labelled("outcome", outcome))
}

// dispatched: an attempt is on its way to a worker, by the queue or with a receipt. The header goes with its message: it
// makes the worker's span a child of this one.
func (c *Coordinator) dispatched(ctx context.Context, w *pg.Work) nats.Header {
	if !c.recording() {
		return nil
	}
	ctx, span := tracer().Start(c.inTree(ctx, w.Key.Tree()), "dispatch", trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attribute.String("task_id", w.ID), attribute.Int("attempt", int(w.Attempt)), attribute.String("executor", w.Executor)))
	defer span.End()
	header := nats.Header{}
	otel.GetTextMapPropagator().Inject(ctx, propagation.HeaderCarrier(header))
	return header
}

// notDispatched: the message of an attempt can't be made.
func (c *Coordinator) notDispatched(w *pg.Work, err error) {
	c.log.Error("a task could not be dispatched", "task_id", w.ID, "attempt", w.Attempt, "error", err)
}

// published: messages of attempts were given to NATS. err: some of them did not get through, or nobody knows.
func (c *Coordinator) published(messages int, err error) {
	if err != nil {
		c.log.Warn("tasks could not be published; reconcile publishes them again", "tasks", messages, "error", err)
	}
	c.meter.publishes.Add(context.Background(), int64(messages))
}

// sent: messages of attempts are stored in NATS, or not. Each span is below that of the attempt's dispatch.
func (c *Coordinator) sent(ctx context.Context, messages []queue.WorkMessage, begin time.Time, err error) {
	if !c.recording() {
		return
	}
	for i := range messages {
		m := &messages[i]
		of := otel.GetTextMapPropagator().Extract(ctx, propagation.HeaderCarrier(m.Header))
		_, span := tracer().Start(of, "publish", trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithAttributes(attribute.String("messaging.system", "nats"), attribute.String("pool", m.Pool), attribute.Int("priority", m.Priority)))
		failed(span, err)
		span.End()
	}
}

// failed marks a span whose work failed.
func failed(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
}

// answered: claims of workers are answered. Those that a worker need not ask for again are in the traces of their trees.
func (c *Coordinator) answered(ctx context.Context, all []asked, begin time.Time) {
	if !c.recording() {
		return
	}
	for i := range all {
		a := &all[i]
		for j, g := range a.grants {
			k := dag.Key(g.GetAttempt().GetTask())
			if a.index[j] < 0 || a.verdicts[j] == workerv1.Verdict_VERDICT_UNSPECIFIED {
				continue
			}
			_, span := tracer().Start(c.inTree(ctx, k.Tree()), "claim", trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
				attribute.Int64("task_key", int64(k)), attribute.Int("attempt", int(g.GetAttempt().GetNumber())), attribute.String("worker_id", a.worker),
				attribute.Bool("granted", a.verdicts[j] == workerv1.Verdict_VERDICT_YES)))
			span.End()
		}
	}
}

// telling: a webhook is about to be told something of a tree. The span is to be ended.
func (c *Coordinator) telling(ctx context.Context, t dag.TreeKey, webhook, event string) (context.Context, trace.Span) {
	if !c.recording() {
		return ctx, trace.SpanFromContext(context.Background())
	}
	return tracer().Start(c.inTree(ctx, t), "webhook", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("webhook_id", webhook), attribute.String("event", event)))
}

// republished: attempts whose messages are gone are sent again.
func (c *Coordinator) republished(attempts int) {
	c.log.Warn("tasks are published again: their messages are gone", "tasks", attempts)
	c.meter.republishes.Add(context.Background(), int64(attempts))
}

// claimed: a batch of claims is answered. err: why some of them are answered with neither yes nor no.
func (c *Coordinator) claimed(claims int, took time.Duration, err error) {
	if err != nil {
		c.log.Warn("claims could not be decided", "claims", claims, "error", err)
	}
	c.meter.claims.Add(context.Background(), int64(claims))
	c.meter.claimBatch.Record(context.Background(), int64(claims))
	c.meter.claimSeconds.Record(context.Background(), took.Seconds())
}

// settled: a batch of results is recorded and its receipts are sent. err: some of it is not, and will come again; what was
// recorded before is in the trace all the same.
func (c *Coordinator) settled(ctx context.Context, b *settling, err error) {
	if c.recording() {
		for _, t := range b.recorded {
			for _, r := range t.results {
				_, span := tracer().Start(c.inTree(ctx, r.Task.Tree()), "settle", trace.WithTimestamp(t.begin),
					trace.WithAttributes(attribute.Int64("task_key", int64(r.Task)), attribute.Int("attempt", int(r.Attempt)), attribute.String("outcome", r.Outcome.String())))
				span.End(trace.WithTimestamp(t.end))
			}
		}
	}
	if err != nil {
		c.log.Warn("results were not recorded and will come again", "results", len(b.results), "error", err)
		return
	}
	c.demands.learnLasting(b.results)
	c.meter.results.Add(context.Background(), int64(len(b.results)))
	c.meter.settleBatch.Record(context.Background(), int64(len(b.results)))
	c.meter.settleSeconds.Record(context.Background(), time.Since(b.begin).Seconds())
}

// unstorable: Postgres does not take a result. last: it was the failure that stood in for one; it is left out.
func (c *Coordinator) unstorable(r *dag.Result, last bool, err error) {
	line := "a result can't be stored; its attempt fails"
	if last {
		line = "a result is left out: its failure can't be stored either"
	}
	c.log.Error(line, "task_key", int64(r.Task), "attempt", r.Attempt, "error", err)
}

// workerLost: the lease of a worker has ended.
func (c *Coordinator) workerLost(e *pg.Instance) {
	c.log.Warn("a worker is lost: its lease has ended", "worker_id", e.ID, "instance", e.Instance)
	c.meter.workersLost.Add(context.Background(), 1)
}

// tookBack: attempts are taken back from a worker.
func (c *Coordinator) tookBack(attempts []pg.OpenAttempt, why loss) {
	if why == strayAttempt {
		for _, a := range attempts {
			c.log.Warn("an attempt is taken back: its worker does not know it", "task_key", int64(a.Key), "attempt", a.Attempt)
		}
	}
	c.meter.lost.Add(context.Background(), int64(len(attempts)), metric.WithAttributes(attribute.Bool("crash", why == lostWorker)))
}

// dropped: a worker's request is not taken, as too many wait.
func (c *Coordinator) dropped(kind queue.Kind) {
	c.meter.drops.Add(context.Background(), 1, metric.WithAttributes(attribute.String("kind", string(kind))))
}

// forged: claims or results of one message came with wrong tokens: one line, however many the message holds.
func (c *Coordinator) forged(what, worker string, count int) {
	if count > 0 {
		c.log.Warn("messages had wrong tokens", "of", what, "worker_id", worker, "count", count)
	}
}

// violated: a rule of the system does not hold in what is stored. shown has the ids of its tree and task; nil: unknown.
func (c *Coordinator) violated(v *pg.Violation, shown *Violation) {
	attrs := []any{"kind", v.Kind, "tree_key", int64(v.Tree), "task_key", int64(v.Task), "text", v.Text}
	if shown != nil {
		attrs = append(attrs, "tree_id", shown.TreeID, "task_id", shown.TaskID)
	}
	c.log.Error("a rule of the system does not hold in what is stored", attrs...)
	c.violations.add(v.Kind, shown, v.Task)
	c.meter.violations.Add(context.Background(), 1, metric.WithAttributes(attribute.String("kind", v.Kind)))
}
