package node

import (
	"context"
	"io"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/term"

	"github.com/taskgrove/taskgrove/internal/config"
)

// newLogger makes the logger of a process: JSON, which says what the process is, or text on a terminal.
func newLogger(cfg config.Log, to *os.File, kind Kind) *slog.Logger {
	terminal := term.IsTerminal(int(to.Fd()))
	log := slog.New(traced{handler(cfg, to, terminal)})
	if isText(cfg, terminal) {
		return log
	}
	return log.With("process", string(kind))
}

func isText(cfg config.Log, terminal bool) bool {
	return cfg.Format == "text" || cfg.Format == "auto" && terminal
}

// traced adds the trace of a line's context, if there is one.
type traced struct{ slog.Handler }

// Handle implements slog.Handler.
func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return t.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }

func handler(cfg config.Log, to io.Writer, terminal bool) slog.Handler {
	options := &slog.HandlerOptions{Level: cfg.Level}
	if isText(cfg, terminal) {
		return slog.NewTextHandler(to, options)
	}
	return slog.NewJSONHandler(to, options)
}
