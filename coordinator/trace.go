package coordinator

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/dag"
)

// One trace per tree (design §10). Its id follows from the tree's key and the cluster's secret, so that every coordinator
// adds to the same trace and nothing about it is stored: submit, dispatch and settle here, run in the worker, which gets
// its parent with the message. A trace that a client brought along is linked to the submission. The spans are in facts.go.

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
