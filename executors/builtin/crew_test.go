package builtin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// crewFeatures are those of crewai_executor, or of batch_crewai_executor, whose works are in the inputs of the suite: see [worksOf]. Its own tests
// have crews of all kinds.
func crewFeatures(t *testing.T, secret string, batch bool) conformance.Features {
	s := modeltest.Start(t)
	s.Play("quick", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: "Yes."}}})
	s.Play("slow", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: "Well, ", Hang: true}}})
	s.Play("large", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Fill: 9 << 20}}})
	s.Play("echo", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Fault: modeltest.FaultKey, EchoKey: true}}})
	inputs := func(model, key string) string {
		works := fmt.Sprintf(`{"agents": {"ann": {"role": "Ann", "llm": %q}}, "tasks": {"ask": {"description": "Well?"}}}`, model)
		if batch {
			works = `{"one": ` + works + `}`
		}
		return fmt.Sprintf(`{"api_base": %q, "api_key": %q, "@works": %s}`, s.OpenAI(), key, works)
	}
	return conformance.Features{
		Quick:   inputs("quick", s.Key()),
		Slow:    inputs("slow", s.Key()),
		Large:   inputs("large", s.Key()),
		Left:    func() error { return allEnded(s) },
		Failing: []string{inputs("echo", secret), inputs("quick", secret+`\u0000`)},
		Secret:  secret,
		Demo:    map[string][]string{inputs("quick", ""): {"status", "result", "token_usage"}, `{}`: {"status", "result", "token_usage"}},
	}
}

// allEnded says whether a request is still open.
func allEnded(s *modeltest.Server) error {
	for _, r := range s.Requests() {
		if err := soon(func() bool {
			select {
			case <-r.Ended():
				return true
			default:
				return false
			}
		}, "a request is open"); err != nil {
			return err
		}
	}
	return nil
}

// worksOf is an executor that takes its works from the input @works, as the suite varies nothing but inputs.
type worksOf struct{ executors.Executor }

func (w worksOf) with(call *executors.Call) *executors.Call {
	var in map[string]json.RawMessage
	if json.Unmarshal(call.Inputs, &in) != nil || in["@works"] == nil {
		return call
	}
	changed := *call
	changed.Params, _ = json.Marshal(map[string]json.RawMessage{"works": in["@works"]})
	delete(in, "@works")
	changed.Inputs, _ = json.Marshal(in)
	return &changed
}

// Run implements [executors.Executor].
func (w worksOf) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	return w.Executor.Run(ctx, w.with(call))
}

// Demo implements [executors.Demonstrator].
func (w worksOf) Demo(call *executors.Call) (any, time.Duration) {
	return w.Executor.(executors.Demonstrator).Demo(w.with(call))
}

// Close implements [io.Closer].
func (w worksOf) Close() error { return w.Executor.(io.Closer).Close() }
