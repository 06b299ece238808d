package agent

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// Spans are by OpenTelemetry's conventions for generative AI: invoke_agent and execute_tool. The model's own are package model's.

const instrumentation = "github.com/taskgrove/taskgrove/executors/agent"

// said is a text for a span: without secrets that the task was given, which its author may have put into a prompt.
func (s *Session) said(text string) string {
	if s.call.Redact != nil {
		text = s.call.Redact(text)
	}
	return cut(text, maxContent)
}

const maxContent = 16 << 10 // of an attribute

func (s *Session) tracer() trace.Tracer {
	if s.Trace != nil {
		return s.Trace
	}
	return otel.Tracer(instrumentation)
}

func (s *Session) startAgent(ctx context.Context, a *Agent, j Job) (context.Context, trace.Span) {
	ctx, span := s.tracer().Start(ctx, "invoke_agent "+a.Name, trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(
		attribute.String("gen_ai.operation.name", "invoke_agent"),
		attribute.String("gen_ai.agent.name", a.Name),
		attribute.String("taskgrove.job", j.Name),
	))
	if len(a.Models) > 0 {
		span.SetAttributes(attribute.String("gen_ai.request.model", a.Models[0]))
	}
	if model.Captures() {
		span.SetAttributes(attribute.String("gen_ai.system_instructions", s.said(a.System)),
			attribute.String("gen_ai.input.messages", s.said(j.Prompt)))
	}
	return ctx, span
}

func endAgent(span trace.Span, w *work, answer *Answer, err error) {
	defer span.End()
	span.SetAttributes(
		attribute.Int64("gen_ai.usage.input_tokens", w.usage.PromptTokens),
		attribute.Int64("gen_ai.usage.output_tokens", w.usage.CompletionTokens),
	)
	if err != nil {
		span.SetStatus(codes.Error, cut(w.said(err.Error()), 500))
	}
	if answer == nil {
		return
	}
	span.SetAttributes(attribute.String("gen_ai.response.model", answer.Model))
	if model.Captures() {
		span.SetAttributes(attribute.String("gen_ai.output.messages", w.said(answer.Text)))
	}
}

func (s *Session) startTool(ctx context.Context, a *Agent, spec *model.Tool, c model.ToolCall) (context.Context, trace.Span) {
	ctx, span := s.tracer().Start(ctx, "execute_tool "+c.Name, trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(
		attribute.String("gen_ai.operation.name", "execute_tool"),
		attribute.String("gen_ai.agent.name", a.Name),
		attribute.String("gen_ai.tool.name", c.Name),
		attribute.String("gen_ai.tool.call.id", c.ID),
		attribute.String("gen_ai.tool.type", "function"),
	))
	if model.Captures() {
		span.SetAttributes(attribute.String("gen_ai.tool.description", s.said(spec.Description)),
			attribute.String("gen_ai.tool.call.arguments", s.said(string(c.Arguments))))
	}
	return ctx, span
}

func (s *Session) endTool(span trace.Span, answer tools.Answer, err error) {
	defer span.End()
	switch {
	case err != nil:
		span.SetStatus(codes.Error, cut(s.said(err.Error()), 500))
	case answer.Failed:
		span.SetStatus(codes.Error, "the tool could not do what was asked")
		span.SetAttributes(attribute.String("error.type", "tool_error"))
	}
	if model.Captures() {
		span.SetAttributes(attribute.String("gen_ai.tool.call.result", s.said(answer.String())))
	}
}
