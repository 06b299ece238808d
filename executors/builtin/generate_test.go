package builtin_test

import (
	"fmt"
	"testing"

	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// generateFeatures are those of generate_executor. Its own tests have the hostile answers, and both wire formats.
func generateFeatures(t *testing.T, secret string) conformance.Features {
	s := modeltest.Start(t)
	tree := `[{"id": "a", "name": "Wait", "schemas": {"method": "sleep_executor"}, "inputs": {"seconds": 1}}]`
	s.Play("quick", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: tree}}})
	s.Play("slow", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: "[", Hang: true}}})
	s.Play("echo", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Fault: modeltest.FaultKey, EchoKey: true}}})
	inputs := func(model, key, more string) string {
		return fmt.Sprintf(`{"requirement": "wait for a second", "model": %q, "api_base": %q, "api_key": %q%s}`, model, s.OpenAI(), key, more)
	}
	return conformance.Features{
		Quick:    inputs("quick", s.Key(), ""),
		Slow:     inputs("slow", s.Key(), `, "timeout": 600`),
		Missing:  map[string]string{`{}`: "[generate_executor] requirement is required in inputs"},
		TimesOut: map[string]string{inputs("slow", s.Key(), `, "timeout": 0.2`): "Generation timeout after 0.2 seconds"},
		Left:     func() error { return allEnded(s) },
		Failing:  []string{inputs("echo", secret, ""), inputs("quick", secret+`\u0000`, ""), inputs("no such\nmodel", secret, "")},
		Secret:   secret,
		Demo:     map[string][]string{`{"requirement": "x"}`: {"status", "tasks", "count", "requirement", "task_count"}, `{}`: {"status", "tasks"}},
	}
}
