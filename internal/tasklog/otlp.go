package tasklog

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdk "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/internal/otlpenv"
)

// exporter sends lines by OTLP. It hands them to the SDK's logger, which makes records of them, and sends these itself: the SDK's own queue drops
// what is too much without a word.
type exporter struct {
	to       sdk.Exporter
	provider *sdk.LoggerProvider
	logger   log.Logger
	records  []sdk.Record // that the logger has made
}

func (cfg Config) otlp(ctx context.Context) (sender, error) {
	protocol, err := otlpenv.Of(otlpenv.Logs)
	if err != nil {
		return nil, err
	}
	e := &exporter{}
	switch protocol {
	case otlpenv.GRPC:
		e.to, err = otlploggrpc.New(ctx)
	case otlpenv.HTTP:
		e.to, err = otlploghttp.New(ctx)
	default:
		return nil, errors.New("nobody says where to by OTLP: set OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")
	}
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "taskgrove-worker"),
		attribute.String("service.version", cfg.Version), attribute.String("service.instance.id", cfg.Worker)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the process: %w", err)
	}
	e.provider = sdk.NewLoggerProvider(sdk.WithProcessor(e), sdk.WithResource(about))
	e.logger = e.provider.Logger("github.com/taskgrove/taskgrove/tasks")
	return e, nil
}

// OnEmit implements the SDK's Processor: it keeps the record until all of its batch are there.
func (e *exporter) OnEmit(_ context.Context, r *sdk.Record) error {
	e.records = append(e.records, r.Clone())
	return nil
}

// Enabled implements the SDK's Processor.
func (*exporter) Enabled(context.Context, sdk.EnabledParameters) bool { return true }

// ForceFlush implements the SDK's Processor: nothing stays here.
func (*exporter) ForceFlush(context.Context) error { return nil }

// Shutdown implements the SDK's Processor.
func (e *exporter) Shutdown(ctx context.Context) error { return e.to.Shutdown(ctx) }

func (e *exporter) send(ctx context.Context, lines []Line) (int, error) {
	e.records = e.records[:0]
	for i := range lines {
		l := &lines[i]
		e.logger.Emit(trace.ContextWithSpanContext(context.Background(), l.Span), l.record())
	}
	if err := e.to.Export(ctx, e.records); err != nil {
		return 0, err
	}
	clear(e.records)
	return len(lines), nil
}

func (e *exporter) close(ctx context.Context) error { return e.provider.Shutdown(ctx) }

// record is a line in the words of OpenTelemetry. It has no severity: an executor's stderr is none.
func (l *Line) record() (r log.Record) {
	r.SetTimestamp(l.Time)
	r.SetObservedTimestamp(l.Time)
	r.SetBody(attribute.StringValue(l.Text))
	r.AddAttributes(
		attribute.String("log.iostream", l.Stream), attribute.String("tree_id", l.Tree), attribute.String("task_id", l.Task), attribute.String("task_name", l.Name),
		attribute.Int("attempt", l.Attempt), attribute.Int64("seq", int64(l.Seq)), attribute.String("executor", l.Executor), attribute.String("pool", l.Pool), attribute.String("worker_id", l.Worker))
	if l.User != "" {
		r.AddAttributes(attribute.String("user_id", l.User))
	}
	if l.Namespace != "" {
		r.AddAttributes(attribute.String("namespace", l.Namespace))
	}
	return r
}
