package agent_test

import (
	"context"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

func TestEachAgentAndToolIsASpan(t *testing.T) {
	for _, captured := range []string{"", "true"} {
		t.Setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", captured)
		recorded := tracetest.NewSpanRecorder()
		b := newBench(t, "openai", false, modeltest.Script{Turns: []modeltest.Turn{calls("look", `{"q":"canary-argument hunter2"}`), {Text: "canary-answer"}}})
		b.call.Redact = func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") } // a secret of the inputs
		b.session.Trace = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorded)).Tracer("")
		var within trace.SpanContext
		look := func(ctx context.Context, args string) (string, error) {
			within = trace.SpanContextFromContext(ctx)
			return "canary-result", nil
		}
		if _, err := b.session.Work(t.Context(), ann(kit{"look": look}), errand); err != nil {
			t.Fatal(err)
		}
		spans := recorded.Ended()
		if len(spans) != 2 || spans[0].Name() != "execute_tool look" || spans[1].Name() != "invoke_agent Ann" {
			t.Fatalf("spans are %v", spans)
		}
		if spans[0].Parent().SpanID() != spans[1].SpanContext().SpanID() || within.SpanID() != spans[0].SpanContext().SpanID() {
			t.Error("the tool's span is not within the agent's, or the tool does not run in it")
		}
		all := map[string]string{}
		var text strings.Builder
		for _, s := range spans {
			for _, a := range s.Attributes() {
				all[string(a.Key)] = a.Value.String()
				text.WriteString(a.Value.String() + "\n")
			}
		}
		for name, want := range map[string]string{
			"gen_ai.agent.name": "Ann", "gen_ai.tool.name": "look", "gen_ai.request.model": "m", "gen_ai.response.model": "m", "gen_ai.tool.type": "function",
		} {
			if all[name] != want {
				t.Errorf("%s is %q, want %q", name, all[name], want)
			}
		}
		if n := all["gen_ai.usage.input_tokens"]; n == "" || n == "0" {
			t.Errorf("attributes are %v", all)
		}
		if strings.Contains(text.String(), "hunter2") {
			t.Errorf("a secret shows: %s", text.String())
		}
		for _, canary := range []string{"canary-argument", "canary-answer", "canary-result", "You are Ann.", "Do the errand."} {
			if strings.Contains(text.String(), canary) != (captured == "true") {
				t.Errorf("capture %q: %s shows %t", captured, canary, strings.Contains(text.String(), canary))
			}
		}
	}
}
