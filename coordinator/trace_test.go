package coordinator_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
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
	var told sync.Map // spans that a webhook was told of
	var final atomic.Bool
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		told.Store(r.Header.Get("Traceparent"), true)
		if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte(`"final":true`)) {
			final.Store(true) // what is sent later than the last would have a span, and be cut off
		}
	}))
	defer receiver.Close()
	c := cluster.Start(t, cluster.Options{Coordinator: func(cfg *config.Coordinator) { cfg.WebhookAllow = []string{"127.0.0.1"} }})
	client := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: 9}, SpanID: trace.SpanID{7: 9}, TraceFlags: trace.FlagsSampled, Remote: true})
	_, err := c.Service().Submit(trace.ContextWithRemoteSpanContext(t.Context(), client), coordinator.SubmitOptions{
		Webhook: &coordinator.Webhook{URL: receiver.URL},
	}, cluster.Seq([]*dag.Task{noop("trace-root", "", "trace-a"), noop("trace-a", "trace-root")}))
	if err != nil {
		t.Fatal(err)
	}
	c.Settled("trace-root")
	c.Eventually("the webhook is told of the end", func() error {
		if !final.Load() {
			return errors.New("it is not")
		}
		return nil
	})
	for _, w := range c.Workers {
		_ = w.Stop()
	}
	for _, one := range c.Coordinators {
		_ = one.Stop() // what is under way has its span then
	}
	counts, traces, all := map[string]int{}, map[trace.TraceID]bool{}, map[trace.SpanID]tracetest.SpanStub{}
	for _, s := range spans.GetSpans() {
		all[s.SpanContext.SpanID()] = s
		name, _, _ := strings.Cut(s.Name, " ")
		switch {
		case name == "probe":
		case s.SpanContext.TraceID() == client.TraceID():
			counts["client's "+name]++
			if len(s.Links) != 1 {
				t.Errorf("the span in the client's trace has the links %v", s.Links)
			}
		default:
			counts[name]++
			traces[s.SpanContext.TraceID()] = true
		}
	}
	if len(traces) != 1 {
		t.Errorf("got %d traces besides the client's, want one", len(traces))
	}
	// The second task is handed over with the receipt of the first: it is not published, and not claimed by a request.
	for name, want := range map[string]int{"submit": 1, "dispatch": 2, "publish": 1, "claim": 1, "run": 2, "report": 2, "settle": 2, "client's submit": 1} {
		if counts[name] != want {
			t.Errorf("%s: got %d spans, want %d (%v)", name, counts[name], want, counts)
		}
	}
	if counts["webhook"] == 0 {
		t.Error("no span tells of the webhook")
	}
	for _, s := range all {
		name, _, _ := strings.Cut(s.Name, " ")
		above, _, _ := strings.Cut(all[s.Parent.SpanID()].Name, " ")
		if want := map[string]string{"publish": "dispatch", "run": "dispatch", "report": "run"}[name]; want != "" && above != want {
			t.Errorf("a span %s is below %q, want %s", name, above, want)
		}
		if _, was := told.Load(fmt.Sprintf("00-%s-%s-01", s.SpanContext.TraceID(), s.SpanContext.SpanID())); name == "webhook" && !was {
			t.Errorf("the webhook was not told of its span %s", s.SpanContext.SpanID())
		}
		if s.EndTime.Before(s.StartTime) {
			t.Errorf("the span %s ends before it begins", s.Name)
		}
	}
}
