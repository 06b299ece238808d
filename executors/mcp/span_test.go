package mcp_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/mcp"
)

// TestACallIsASpan that the server may continue, with content only if that was asked for.
func TestACallIsASpan(t *testing.T) {
	defer otel.SetTracerProvider(noop.NewTracerProvider())
	s := web(t)
	for _, captured := range []string{"", "true"} {
		t.Setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", captured)
		recorded := tracetest.NewSpanRecorder()
		otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorded)))
		call, _ := conformance.Call(t, remote(s.URL+"/stateless", object{"tool_name": "meta", "arguments": object{"q": "canary"}}))
		call.Trace = executors.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		out, err := newExecutor(nil).Run(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		spans := recorded.Ended()
		if len(spans) != 1 || spans[0].Name() != "tools/call meta" {
			t.Fatalf("spans are %v", spans)
		}
		text, _ := json.Marshal(out.Value())
		if !strings.Contains(string(text), spans[0].SpanContext().SpanID().String()) {
			t.Errorf("the server was told %s", text)
		}
		all := map[string]string{}
		shown := ""
		for _, a := range spans[0].Attributes() {
			all[string(a.Key)] = a.Value.String()
			shown += a.Value.String()
		}
		if all["gen_ai.operation.name"] != "execute_tool" || all["gen_ai.tool.name"] != "meta" || all["mcp.method.name"] != "tools/call" ||
			all["mcp.protocol.version"] != "2026-07-28" || all["network.transport"] != "tcp" || strings.Contains(shown, "canary") != (captured == "true") {
			t.Errorf("attributes are %v", all)
		}
	}
}

// TestTheTraceOfAnAttemptGoesAlong also where nothing is recorded here.
func TestTheTraceOfAnAttemptGoesAlong(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for tool, want := range map[string]string{"meta": `\"traceparent\":\"` + parent, "environ": "TRACEPARENT=" + parent} {
		call, _ := conformance.Call(t, program("good", object{"tool_name": tool}))
		call.Trace = executors.Trace{Parent: parent}
		out, err := newExecutor(nil).Run(t.Context(), call)
		if err != nil || !strings.Contains(string(out.Value().(*mcp.Result).Result), want) {
			t.Errorf("%s: got %s, %v", tool, out.Value(), err)
		}
	}
}

// TestExamples runs the examples against servers of the test, in place of theirs.
func TestExamples(t *testing.T) {
	s := web(t)
	e := newExecutor(nil)
	for _, example := range e.Describe().Examples {
		var in object
		if err := json.Unmarshal(example.Inputs, &in); err != nil {
			t.Fatal(err)
		}
		if in["transport"] == "stdio" {
			in["command"], in["env"] = os.Args[:1], object{serverMode: "good"}
		} else {
			in["url"] = s.URL + "/mcp"
		}
		if in["auth"] != nil {
			in["auth"] = object{"type": "bearer", "token": "a-token"}
		}
		if got, _, err := run(t.Context(), t, e, in); err != nil || !got.Success {
			t.Errorf("%s: got %+v, %v", example.Title, got, err)
		}
	}
}
