package model_test

import (
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// TestSpans are by OpenTelemetry's GenAI conventions, with content only if it is asked for. It sets the tracer of the process: no test beside it.
func TestSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	defer otel.SetTracerProvider(before)
	for _, w := range wires {
		for _, content := range []string{"", "true"} {
			t.Setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", content)
			recorder.Reset()
			s := modeltest.Start(t)
			s.Play("m", modeltest.Script{Turns: []modeltest.Turn{
				{Text: "The key is " + s.Key(), Usage: &modeltest.Usage{Prompt: 9, Completion: 4, Cached: 3}}, {Fault: modeltest.FaultRate, EchoKey: true}}})
			b := newBench(t, model.Config{})
			b.call.Redact = func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") } // a secret of the inputs
			session := b.session(w.at(s))
			r := say("A secret question of hunter2", "openai/m")
			r.Stream, r.Agent, r.MaxTokens = w.stream, "guide", 50
			if _, err := session.Ask(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if _, err := session.Ask(t.Context(), r); err == nil {
				t.Fatal("no error")
			}
			spans := recorder.Ended()
			if len(spans) != 2 {
				t.Fatalf("%s: %d spans", w.name, len(spans))
			}
			good, bad := attributes(spans[0].Attributes()), attributes(spans[1].Attributes())
			for name, want := range map[string]string{
				"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m", "gen_ai.response.model": "m", "gen_ai.agent.name": "guide",
				"gen_ai.request.max_tokens": "50", "gen_ai.usage.input_tokens": "9", "gen_ai.usage.output_tokens": "4", "gen_ai.usage.cache_read.input_tokens": "3",
				"gen_ai.response.finish_reasons": `["stop"]`, "server.address": "127.0.0.1", "error.type": "",
			} {
				if good[name] != want {
					t.Errorf("%s: %s is %q, want %q", w.name, name, good[name], want)
				}
			}
			if spans[0].Name() != "chat m" || spans[0].SpanKind().String() != "client" || bad["error.type"] != "429" || spans[1].Status().Description == "" {
				t.Errorf("%s: got %s, %s, %v, %v", w.name, spans[0].Name(), spans[0].SpanKind(), bad, spans[1].Status())
			}
			all := fmt.Sprint(good, bad, spans[1].Status())
			if strings.Contains(all, s.Key()) || strings.Contains(all, "hunter2") {
				t.Errorf("%s: shows the key: %s", w.name, all)
			}
			if has := strings.Contains(all, "A secret question") && strings.Contains(all, "The key is ***"); has != (content == "true") {
				t.Errorf("%s: content is %v: %s", w.name, has, all)
			}
		}
	}
}

func attributes(list []attribute.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}
