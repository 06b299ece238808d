package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// captureContent is the variable by which an operator lets spans hold what is said (OpenTelemetry's GenAI conventions).
const captureContent = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

// Captures reports whether spans hold what is said.
func Captures() bool {
	switch os.Getenv(captureContent) {
	case "true", "True", "TRUE", "span_only", "span_and_event", "SPAN_ONLY", "SPAN_AND_EVENT":
		return true
	}
	return false
}

// providerNames are those of OpenTelemetry's GenAI conventions, where they are others than ours.
var providerNames = map[string]string{
	"google": "gcp.gemini", "azure": "azure.ai.openai", "azure_openai": "azure.ai.openai", "mistral": "mistral_ai", "xai": "x_ai", "bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai",
}

// begin begins the span of a call of a model, by OpenTelemetry's GenAI conventions.
func (s *Session) begin(ctx context.Context, q *question) (context.Context, trace.Span) {
	r := q.route
	ctx, span := otel.Tracer("github.com/taskgrove/taskgrove/executors/model").Start(ctx, "chat "+r.name, trace.WithSpanKind(trace.SpanKindClient))
	if !span.IsRecording() {
		return ctx, span
	}
	span.SetAttributes(
		attribute.String("gen_ai.operation.name", "chat"),
		attribute.String("gen_ai.provider.name", cmp.Or(providerNames[r.provider], r.provider)),
		attribute.String("gen_ai.request.model", r.name),
		attribute.String("server.address", r.base.Hostname()),
	)
	if port, err := strconv.Atoi(r.base.Port()); err == nil {
		span.SetAttributes(attribute.Int("server.port", port))
	}
	if q.max > 0 {
		span.SetAttributes(attribute.Int("gen_ai.request.max_tokens", q.max))
	}
	if q.Temperature != nil {
		span.SetAttributes(attribute.Float64("gen_ai.request.temperature", *q.Temperature))
	}
	if q.Stream {
		span.SetAttributes(attribute.Bool("gen_ai.request.stream", true))
	}
	if q.Agent != "" {
		span.SetAttributes(attribute.String("gen_ai.agent.name", q.Agent))
	}
	if q.Schema != nil {
		span.SetAttributes(attribute.String("gen_ai.output.type", "json"))
	}
	if Captures() {
		span.SetAttributes(attribute.String("gen_ai.input.messages", s.content(q.Messages)))
	}
	return ctx, span
}

// end ends a span with what came of the call. resp is nil if nothing did.
func (s *Session) end(span trace.Span, d *draft, resp *Response, err error) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	if resp != nil {
		span.SetAttributes(attribute.String("gen_ai.response.model", resp.Model))
		if id := s.redactor().Text(clean(d.id)); id != "" {
			span.SetAttributes(attribute.String("gen_ai.response.id", id))
		}
		if resp.Finish != "" {
			span.SetAttributes(attribute.StringSlice("gen_ai.response.finish_reasons", []string{resp.Finish}))
		}
		if Captures() {
			span.SetAttributes(attribute.String("gen_ai.output.messages", s.content([]Message{resp.Message})))
		}
	}
	if d.usage.known {
		span.SetAttributes(
			attribute.Int64("gen_ai.usage.input_tokens", d.usage.prompt),
			attribute.Int64("gen_ai.usage.output_tokens", d.usage.completion),
			attribute.Int64("gen_ai.usage.cache_read.input_tokens", d.usage.cached),
		)
	}
	if err == nil {
		return
	}
	kind := "cancelled"
	if failure, ok := errors.AsType[*Error](err); ok {
		kind = string(failure.Kind)
		if failure.Status != 0 {
			kind = strconv.Itoa(failure.Status)
		}
	}
	span.SetAttributes(attribute.String("error.type", kind))
	span.SetStatus(codes.Error, s.redactor().Text(err.Error()))
}

// content are messages in the form of the conventions, without keys and without images.
func (s *Session) content(messages []Message) string {
	type part struct {
		Type      string `json:"type"`
		Content   string `json:"content,omitempty"`
		ID        string `json:"id,omitempty"`
		Name      string `json:"name,omitempty"`
		Arguments string `json:"arguments,omitempty"`
		Response  string `json:"response,omitempty"`
	}
	type message struct {
		Role  Role   `json:"role"`
		Parts []part `json:"parts"`
	}
	redact := func(text string) string {
		if text = s.redactor().Text(text); s.call.Redact != nil {
			text = s.call.Redact(text)
		}
		return text
	}
	out := make([]message, len(messages))
	for i := range messages {
		m := &messages[i]
		out[i] = message{Role: m.Role, Parts: []part{}}
		if m.Role == ToolRole {
			out[i].Parts = append(out[i].Parts, part{Type: "tool_call_response", ID: m.CallID, Response: short(redact(m.Text()))})
			continue
		}
		for _, p := range m.Parts {
			if p.Text != "" {
				out[i].Parts = append(out[i].Parts, part{Type: "text", Content: short(redact(p.Text))})
			}
		}
		for _, c := range m.Calls {
			out[i].Parts = append(out[i].Parts, part{Type: "tool_call", ID: c.ID, Name: c.Name, Arguments: short(redact(string(c.Arguments)))})
		}
	}
	text, _ := json.Marshal(out) // texts
	return string(text)
}

// short bounds a text in a span.
func short(text string) string {
	const most = 16 << 10
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
