package mcp

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const instrumentation = "github.com/taskgrove/taskgrove/executors/mcp"

// maxContent bounds an attribute that shows what was said.
const maxContent = 16 << 10

// content says whether spans may show what was said.
func content() bool {
	return strings.EqualFold(os.Getenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"), "true")
}

// span begins that of a call, by OpenTelemetry's conventions for MCP, which extend those for generative AI. done ends it.
func (s *Session) span(ctx context.Context, x *exchange) (_ context.Context, done func(json.RawMessage, error)) {
	name := strings.TrimSpace(x.method + " " + x.title)
	ctx, span := otel.Tracer(instrumentation).Start(ctx, cut(name, 200), trace.WithSpanKind(trace.SpanKindClient))
	if !span.IsRecording() {
		return ctx, func(json.RawMessage, error) { span.End() }
	}
	way := "tcp"
	if s.server.Transport == Stdio {
		way = "pipe"
	}
	span.SetAttributes(attribute.String("mcp.method.name", x.method), attribute.String("mcp.protocol.version", s.Protocol()),
		attribute.String("network.transport", way))
	switch x.method {
	case "tools/call":
		span.SetAttributes(attribute.String("gen_ai.operation.name", "execute_tool"), attribute.String("gen_ai.tool.name", x.title))
		if content() {
			span.SetAttributes(attribute.String("gen_ai.tool.call.arguments", s.mask.Mask(cut(string(x.arguments), maxContent))))
		}
	case "prompts/get":
		span.SetAttributes(attribute.String("gen_ai.prompt.name", x.title))
	}
	return ctx, func(raw json.RawMessage, err error) {
		defer span.End()
		switch {
		case err != nil:
			span.SetStatus(codes.Error, cut(err.Error(), 500))
		case failed(raw):
			span.SetStatus(codes.Error, "the tool says that it failed")
			span.SetAttributes(attribute.String("error.type", "tool_error"))
		}
		if content() && x.method == "tools/call" {
			span.SetAttributes(attribute.String("gen_ai.tool.call.result", s.mask.Mask(cut(string(raw), maxContent))))
		}
	}
}

// meta is what goes with a request beside its parameters: how much it wants to hear, and its trace, unless that stays inside.
func (s *Session) meta(ctx context.Context) map[string]any {
	//lint:ignore SA1019 servers that still log do so only for who asks
	meta := map[string]any{sdk.MetaKeyLogLevel: "info"}
	if s.call.Trace.Parent == "" {
		return meta
	}
	told := propagation.MapCarrier{"traceparent": s.call.Trace.Parent, "tracestate": s.call.Trace.State}
	propagation.TraceContext{}.Inject(ctx, told) // of the call's own span, if there is one
	for name, value := range told {
		if value != "" {
			meta[name] = value
		}
	}
	return meta
}
