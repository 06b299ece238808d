package node

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace/noop"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// receiver takes traces by both of OTLP's ways, and keeps the names of the spans with the way that each came.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu   sync.Mutex
	came []string
}

func (r *receiver) keep(way string, req *collector.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range req.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				r.came = append(r.came, way+" "+span.Name)
			}
		}
	}
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.keep("grpc", req)
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &sent) != nil {
		http.Error(w, "not a request", http.StatusBadRequest)
		return
	}
	r.keep(req.URL.Path+" "+req.Header.Get("X-Tenant"), &sent)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// TestTracesAreSent by the way that OpenTelemetry's variables choose, to a receiver of each.
func TestTracesAreSent(t *testing.T) {
	r := &receiver{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	overHTTP := httptest.NewServer(r)
	defer overHTTP.Close()
	defer otel.SetTracerProvider(noop.NewTracerProvider())
	defer otel.SetMeterProvider(metricnoop.NewMeterProvider())
	overGRPC := "http://" + l.Addr().String()
	for name, row := range map[string]struct {
		env  map[string]string
		want string // empty: nothing is sent
	}{
		"nowhere":                 {map[string]string{"PROTOCOL": "http/protobuf"}, ""},
		"by default":              {map[string]string{"ENDPOINT": overGRPC}, "grpc work"},
		"grpc":                    {map[string]string{"ENDPOINT": overGRPC, "PROTOCOL": "grpc"}, "grpc work"},
		"HTTP":                    {map[string]string{"ENDPOINT": overHTTP.URL, "PROTOCOL": "http/protobuf", "HEADERS": "x-tenant=acme"}, "/v1/traces acme work"},
		"HTTP below a path":       {map[string]string{"ENDPOINT": overHTTP.URL + "/otlp", "PROTOCOL": "http/protobuf"}, "/otlp/v1/traces  work"},
		"traces have their own":   {map[string]string{"ENDPOINT": overGRPC, "TRACES_ENDPOINT": overHTTP.URL + "/here", "TRACES_PROTOCOL": "http/protobuf"}, "/here  work"},
		"the protocol of traces":  {map[string]string{"ENDPOINT": overGRPC, "PROTOCOL": "http/protobuf", "TRACES_PROTOCOL": "grpc"}, "grpc work"},
		"the endpoint of traces":  {map[string]string{"TRACES_ENDPOINT": overGRPC}, "grpc work"},
		"turned off":              {map[string]string{"ENDPOINT": overGRPC, "OTEL_TRACES_EXPORTER": "none"}, ""},
		"all turned off":          {map[string]string{"ENDPOINT": overGRPC, "OTEL_SDK_DISABLED": "True"}, ""},
		"turned on by name":       {map[string]string{"ENDPOINT": overGRPC, "OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "false"}, "grpc work"},
		"an empty one counts not": {map[string]string{"ENDPOINT": overGRPC, "TRACES_PROTOCOL": ""}, "grpc work"},
	} {
		t.Run(name, func(t *testing.T) {
			r.came = nil
			for _, name := range []string{"ENDPOINT", "PROTOCOL", "HEADERS", "TRACES_ENDPOINT", "TRACES_PROTOCOL"} {
				t.Setenv("OTEL_EXPORTER_OTLP_"+name, row.env[name])
			}
			for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"} {
				t.Setenv(name, row.env[name])
			}
			otel.SetTracerProvider(noop.NewTracerProvider())
			tele, err := newTelemetry(t.Context(), "test", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			_, span := otel.Tracer("test").Start(t.Context(), "work")
			span.End()
			if err := tele.stop(t.Context()); err != nil {
				t.Error(err)
			}
			var want []string
			if row.want != "" {
				want = []string{row.want}
			}
			if !slices.Equal(r.came, want) {
				t.Errorf("got %q, want %q", r.came, want)
			}
		})
	}
}

func TestWrongVariablesOfTracesAreRefused(t *testing.T) {
	defer otel.SetMeterProvider(metricnoop.NewMeterProvider())
	for name, row := range map[string]struct{ endpoint, name, value, want string }{
		"another protocol":  {"http://localhost:4318", "OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", `OTEL_EXPORTER_OTLP_PROTOCOL must be grpc or http/protobuf, not "http/json"`},
		"that of traces":    {"http://localhost:4318", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "GRPC", `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL must be grpc or http/protobuf, not "GRPC"`},
		"no URL":            {"localhost:4317", "OTEL_EXPORTER_OTLP_PROTOCOL", "", "OTEL_EXPORTER_OTLP_ENDPOINT must be an http:// or https:// URL"},
		"another exporter":  {"http://localhost:4318", "OTEL_TRACES_EXPORTER", "zipkin", `OTEL_TRACES_EXPORTER must be otlp or none, not "zipkin"`},
		"no URL for traces": {"", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "tempo", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be an http:// or https:// URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", row.endpoint)
			t.Setenv(row.name, row.value)
			var said bytes.Buffer
			if _, err := newTelemetry(t.Context(), "test", slog.New(slog.NewTextHandler(&said, nil))); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
