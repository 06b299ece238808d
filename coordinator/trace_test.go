package coordinator_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

func TestATreeIsOneTrace(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	before, propagator := otel.GetTracerProvider(), otel.GetTextMapPropagator()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	defer func() {
		otel.SetTracerProvider(before)
		otel.SetTextMapPropagator(propagator)
	}()
	c := cluster.Start(t, cluster.Options{})
	c.Submit(coordinator.SubmitOptions{}, noop("trace-root", "", "trace-a"), noop("trace-a", "trace-root"))
	c.Settled("trace-root")
	for _, w := range c.Workers {
		_ = w.Stop()
	}
	counts, traces := map[string]int{}, map[trace.TraceID]bool{}
	for _, s := range spans.GetSpans() {
		name, _, _ := strings.Cut(s.Name, " ")
		if name == "probe" {
			continue
		}
		counts[name]++
		traces[s.SpanContext.TraceID()] = true
	}
	if len(traces) != 1 {
		t.Errorf("got %d traces, want one", len(traces))
	}
	for name, want := range map[string]int{"submit": 1, "dispatch": 2, "run": 2, "settle": 2} {
		if counts[name] != want {
			t.Errorf("%s: got %d spans, want %d (%v)", name, counts[name], want, counts)
		}
	}
}
