package api

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// Traced is ctx with the trace that the carrier names (W3C trace context); ctx itself when it names none.
func Traced(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	return propagation.TraceContext{}.Extract(ctx, carrier)
}
