package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// telemetry is what a process tells of itself. Its parts get it through OpenTelemetry's global providers.
type telemetry struct {
	metrics  http.Handler // GET /metrics
	shutdown []func(context.Context) error
}

// newTelemetry sets the global providers: metrics for Prometheus to fetch; traces, sent by OTLP, only when
// OpenTelemetry's variables say where to.
func newTelemetry(ctx context.Context, service string, log *slog.Logger) (*telemetry, error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry failed", "error", err) }))
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", Version())),
		resource.WithFromEnv()) // last: OTEL_SERVICE_NAME wins
	if err != nil {
		return nil, fmt.Errorf("telemetry: describe the process: %w", err)
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry))
	if err != nil {
		return nil, fmt.Errorf("telemetry: metrics: %w", err)
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithResource(about))
	otel.SetMeterProvider(meters)
	t := &telemetry{
		metrics:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError}),
		shutdown: []func(context.Context) error{meters.Shutdown},
	}

	spans, err := newExporter(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("telemetry: traces: %w", err), t.stop(ctx))
	}
	if spans != nil {
		tracers := trace.NewTracerProvider(trace.WithBatcher(spans), trace.WithResource(about))
		otel.SetTracerProvider(tracers)
		t.shutdown = append(t.shutdown, tracers.Shutdown)
	}
	return t, nil
}

// stop sends what is left.
func (t *telemetry) stop(ctx context.Context) error {
	var faults []error
	for _, shutdown := range t.shutdown {
		faults = append(faults, shutdown(ctx))
	}
	return errors.Join(faults...)
}
