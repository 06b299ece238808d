package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/internal/config"
)

func TestLogFormat(t *testing.T) {
	for _, tt := range []struct {
		format   config.LogFormat
		terminal bool
		json     bool
	}{{"auto", true, false}, {"auto", false, true}, {"text", false, false}, {"json", true, true}} {
		var out bytes.Buffer
		log := slog.New(handler(config.Log{Level: config.Level(slog.LevelWarn), Format: tt.format}, &out, tt.terminal))
		log.Info("quiet")
		log.Warn("heard")
		if strings.HasPrefix(out.String(), "{") != tt.json || strings.Contains(out.String(), "quiet") {
			t.Errorf("%s, terminal %t: got %s", tt.format, tt.terminal, out.String())
		}
	}
}

// TestLinesNameTheirTrace, if their context has one.
func TestLinesNameTheirTrace(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(traced{handler(config.Log{Format: "json"}, &out, false)}).With("process", "worker").WithGroup("of")
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: 1}, SpanID: trace.SpanID{7: 2}})
	log.WarnContext(trace.ContextWithSpanContext(t.Context(), span), "traced", "a", 1)
	log.Warn("untraced")
	first, second, _ := strings.Cut(out.String(), "\n")
	if !strings.Contains(first, `"process":"worker"`) || !strings.Contains(first, `"trace_id":"00000000000000000000000000000001","span_id":"0000000000000002"`) {
		t.Error(first)
	}
	if strings.Contains(second, "trace_id") {
		t.Error(second)
	}
}
