package node

import (
	"context"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"

	"github.com/taskgrove/taskgrove/internal/otlpenv"
)

// newExporter makes what sends traces, as OpenTelemetry's variables say; nil: they say that none are sent.
func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	protocol, err := otlpenv.Of(otlpenv.Traces)
	switch {
	case err != nil || protocol == otlpenv.None:
		return nil, err
	case protocol == otlpenv.GRPC:
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}
