package coordinator

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// One trace per tree (design §10). Its id follows from the tree's key and the cluster's secret, so that every coordinator
// adds to the same trace and nothing about it is stored: submit, dispatch and settle here, run in the worker, which gets
// its parent with the message. A trace that a client brought along is linked to the submission.

// tracer makes spans; when no exporter is configured, ones that are not recorded.
func tracer() trace.Tracer { return otel.Tracer("github.com/taskgrove/taskgrove/coordinator") }

// recording reports whether spans go anywhere, so that the hot path does nothing for them when they do not.
func (c *Coordinator) recording() bool {
	c.recordOnce.Do(func() {
		_, span := tracer().Start(context.Background(), "probe")
		c.records = span.IsRecording()
	})
	return c.records
}

// inTree gives ctx the tree's trace as its parent.
func (c *Coordinator) inTree(ctx context.Context, t dag.TreeKey) context.Context {
	h := sha256.New()
	h.Write(c.store.Secret())
	_ = binary.Write(h, binary.BigEndian, int64(t))
	sum := h.Sum([]byte("trace"))[5:]
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(sum[:16]), SpanID: trace.SpanID(sum[16:24]), TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}

// traceSubmit records a submission in the trace of the tree that it made.
func (c *Coordinator) traceSubmit(ctx context.Context, t dag.TreeKey, tasks int, begin time.Time) {
	if t == 0 || !c.recording() {
		return
	}
	_, span := tracer().Start(c.inTree(ctx, t), "submit", trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithLinks(trace.LinkFromContext(ctx)), trace.WithAttributes(attribute.Int("tasks", tasks)))
	span.End()
}

// traceDispatch records that an attempt was sent, and gives what goes with its message.
func (c *Coordinator) traceDispatch(ctx context.Context, w *pg.Work) nats.Header {
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

// traceSettle records that results were settled.
func (c *Coordinator) traceSettle(ctx context.Context, results []dag.Result, begin time.Time) {
	if !c.recording() {
		return
	}
	for _, r := range results {
		_, span := tracer().Start(c.inTree(ctx, r.Task.Tree()), "settle", trace.WithTimestamp(begin),
			trace.WithAttributes(attribute.Int64("task_key", int64(r.Task)), attribute.Int("attempt", int(r.Attempt)), attribute.String("outcome", r.Outcome.String())))
		span.End()
	}
}
