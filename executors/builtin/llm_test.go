package builtin_test

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// llmFeatures are those of llm_executor. Its own tests have both wire formats, and all faults.
func llmFeatures(t *testing.T, secret string) conformance.Features {
	s := modeltest.Start(t)
	s.Play("quick", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: "Yes."}}})
	s.Play("slow", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: "Well, ", Hang: true}}})
	s.Play("large", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Fill: 9 << 20}}})
	s.Play("echo", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Fault: modeltest.FaultKey, EchoKey: true}}})
	inputs := func(model, key, more string) string {
		return fmt.Sprintf(`{"model": %q, "api_base": %q, "api_key": %q, "messages": [{"role": "user", "content": "Well?"}]%s}`, model, s.OpenAI(), key, more)
	}
	return conformance.Features{
		Quick: inputs("quick", s.Key(), ""),
		Slow:  inputs("slow", s.Key(), `, "timeout": 600, "stream": true`),
		Missing: map[string]string{
			`{}`:             "[llm_executor] model is required in inputs",
			`{"model": "m"}`: "[llm_executor] messages is required in inputs",
		},
		Large:    inputs("large", s.Key(), ""),
		TimesOut: map[string]string{inputs("slow", s.Key(), `, "timeout": 0.2`): "Model timeout after 0.2 seconds"},
		Left:     func() error { return allEnded(s) },
		Failing: []string{
			inputs("echo", secret, ""),
			inputs("echo", secret, `, "stream": true`),
			inputs("quick", secret+`\u0000`, ""),
			`{"model": "m", "api_base": "http://127.0.0.1:1", "api_key": "` + secret + `", "messages": [{"role": "user", "content": "x"}]}`,
		},
		Secret: secret,
		Demo:   map[string][]string{`{"model": "gpt-4o", "messages": []}`: {"success", "data", "content", "model", "is_stream"}, `{}`: {"success"}},
	}
}
