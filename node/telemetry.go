package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	metricapi "go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/taskgrove/taskgrove/internal/instrument"
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

// observeItself lets the metrics tell what the process is and whether it is ready, until it stops.
func (p *Process) observeItself(kind Kind) error {
	meter := otel.Meter("github.com/taskgrove/taskgrove/node")
	build, err := meter.Int64ObservableGauge("taskgrove.build", metricapi.WithDescription(instrument.Process.Help("taskgrove.build")))
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	ready, err := meter.Int64ObservableGauge("taskgrove.ready", metricapi.WithDescription(instrument.Process.Help("taskgrove.ready")))
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	what := metricapi.WithAttributes(attribute.String("version", Version()), attribute.String("go", runtime.Version()), attribute.String("kind", string(kind)))
	role := metricapi.WithAttributes(attribute.String("kind", string(kind)))
	seen, err := meter.RegisterCallback(func(ctx context.Context, o metricapi.Observer) error {
		o.ObserveInt64(build, 1, what)
		ctx, cancel := context.WithTimeout(ctx, readyWait)
		defer cancel()
		is := int64(0)
		if p.Ready(ctx) == nil {
			is = 1
		}
		o.ObserveInt64(ready, is, role)
		return nil
	}, build, ready)
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	p.OnStop("metrics of the process", seen.Unregister)
	return nil
}

// readyWait is how long metrics wait for the answer whether the process is ready.
const readyWait = 3 * time.Second

// stop sends what is left.
func (t *telemetry) stop(ctx context.Context) error {
	var faults []error
	for _, shutdown := range t.shutdown {
		faults = append(faults, shutdown(ctx))
	}
	return errors.Join(faults...)
}
