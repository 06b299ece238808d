package generate_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/generate"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/executors/network"
)

// onWire is an executor whose providers are a test server: the operator's addresses, with the operator's key.
func onWire(t testing.TB, s *modeltest.Server, key string) *generate.Executor {
	t.Helper()
	return onWireWith(t, s, generate.Config{}, map[string]string{"LLM_API_KEY": key})
}

// onWireWith is one with such settings and keys.
func onWireWith(t testing.TB, s *modeltest.Server, cfg generate.Config, env map[string]string) *generate.Executor {
	t.Helper()
	env["OPENAI_BASE_URL"], env["ANTHROPIC_BASE_URL"] = s.OpenAI(), s.Anthropic()
	models := model.New(model.Config{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok && v != "" }}, network.New(network.Config{}), nil)
	t.Cleanup(func() { _ = models.Close() })
	return generate.New(cfg, func(call *executors.Call, o model.Options) (model.Asker, error) { return models.Session(call, o) }, models.Close, catalogue)
}

// ask generates over a wire.
func ask(t testing.TB, s *modeltest.Server, inputs string) (*generate.Result, error) {
	t.Helper()
	call, _ := conformance.Call(t, inputs)
	call.Submitted, call.UserID = []string{"executors", "allow_commands"}, ""
	outcome, err := onWire(t, s, s.Key()).Run(t.Context(), call)
	if err != nil {
		return nil, err
	}
	return outcome.Value().(*generate.Result), nil
}

var wires = map[string]string{"OpenAI": "gpt-4o", "Anthropic": "claude-x"}

func TestBothWires(t *testing.T) {
	for wire, name := range wires {
		for _, live := range []bool{false, true} {
			t.Run(wire, func(t *testing.T) {
				s := modeltest.Start(t)
				s.Play("*", modeltest.Script{Turns: []modeltest.Turn{
					{Text: noURL, Usage: &modeltest.Usage{Prompt: 900, Completion: 30}},
					{Text: "```json\n" + good + "\n```", Usage: &modeltest.Usage{Prompt: 990, Completion: 300}, Last: "tasks[0].inputs.url: is required"},
				}})
				call, _ := conformance.Call(t, `{"requirement": "orders and rates", "model": "`+name+`"}`)
				told := 0
				if live {
					call.Live = func(p executors.Piece) { told += len(p.Text) }
				}
				outcome, err := onWire(t, s, s.Key()).Run(t.Context(), call)
				if err != nil {
					t.Fatal(err)
				}
				r := outcome.Value().(*generate.Result)
				if !r.Repaired || r.Count != 3 || r.Usage.Total != 900+30+990+300 || r.Usage.Requests != 2 || live != (told > len(good)) {
					t.Errorf("got %+v with usage %+v, told %d", r, r.Usage, told)
				}
				if requests := s.Requests(); len(requests) != 2 || requests[0].Refused() != "" || requests[1].Refused() != "" {
					t.Errorf("%d requests", len(requests))
				}
			})
		}
	}
}

func TestFaultsOfTheWire(t *testing.T) {
	for wire, name := range wires {
		t.Run(wire, func(t *testing.T) {
			for fact, row := range map[string]struct {
				turn      modeltest.Turn
				more, err string
				permanent bool
			}{
				"cut off at max_tokens": {modeltest.Turn{Text: good[:150], Finish: "length"}, "", "Failed to parse LLM response: the answer was cut off after 4000 tokens", false},
				"a refusal":             {modeltest.Turn{Text: "I can't help with that.", Times: 2}, "", "Failed to parse LLM response: the answer holds no JSON array of tasks", false},
				"a busy service":        {modeltest.Turn{Fault: modeltest.FaultRate, RetryAfter: "7"}, "", "LLM generation failed: ", false},
				"a wrong key":           {modeltest.Turn{Fault: modeltest.FaultKey, EchoKey: true}, "", "LLM generation failed: ", true},
				"too long":              {modeltest.Turn{Fault: modeltest.FaultContext}, "", "LLM generation failed: ", true},
				"a budget of one call":  {modeltest.Turn{Text: noURL}, `, "budget": {"calls": 1}`, "LLM generation failed: ", true},
			} {
				s := modeltest.Start(t)
				s.Play("*", modeltest.Script{Turns: []modeltest.Turn{row.turn}})
				_, err := ask(t, s, `{"requirement": "x", "model": "`+name+`"`+row.more+`}`)
				if err == nil || !strings.HasPrefix(err.Error(), row.err) || executors.IsPermanent(err) != row.permanent || strings.Contains(err.Error(), s.Key()) {
					t.Errorf("%s: got %v, permanent %t", fact, err, executors.IsPermanent(err))
				}
				if row.turn.RetryAfter != "" && executors.RetryAfterOf(err) < 6*time.Second {
					t.Errorf("%s: again after %v", fact, executors.RetryAfterOf(err))
				}
			}
		})
	}
}

func TestBudgetThatIsUsedUpMayBeNoFailure(t *testing.T) {
	s := modeltest.Start(t)
	s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Text: noURL, Times: -1}}})
	for on, want := range map[string]string{"skip": `"skipped":true`, "partial": `"budget_exhausted":"calls"`} {
		call, _ := conformance.Call(t, `{"requirement": "x", "budget": {"calls": 1}, "on_exhausted": "`+on+`"}`)
		outcome, err := onWire(t, s, s.Key()).Run(t.Context(), call)
		text, _ := json.Marshal(outcome.Value())
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: got %s, %v", on, text, err)
		}
	}
	call, _ := conformance.Call(t, `{"requirement": "x", "budget": {"calls": 1}}`)
	if _, err := onWire(t, s, s.Key()).Run(t.Context(), call); budget.ExhaustedOf(err) == nil {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsAskedWithoutAKey(t *testing.T) {
	s := modeltest.Start(t)
	call, _ := conformance.Call(t, `{"requirement": "x"}`)
	_, err := onWire(t, s, "").Run(t.Context(), call)
	if err == nil || !strings.HasPrefix(err.Error(), "Failed to create LLM client: LLM API key not found") || !executors.IsPermanent(err) || len(s.Requests()) > 0 {
		t.Errorf("got %v after %d requests", err, len(s.Requests()))
	}
}

func TestTheOtherServiceIsAskedIfItAloneHasAKey(t *testing.T) {
	s := modeltest.Start(t)
	s.Play("claude-sonnet-4-5", modeltest.Script{Turns: []modeltest.Turn{{Text: good, Times: -1}}})
	s.Play("gpt-4o", modeltest.Script{Turns: []modeltest.Turn{{Text: good, Times: -1}}})
	for _, row := range []struct{ key, provider, inputs, want string }{
		{"ANTHROPIC_API_KEY", "", `{"requirement": "x"}`, "claude-sonnet-4-5-20250929"}, // as the protocol's default is known no more
		{"OPENAI_API_KEY", "anthropic", `{"requirement": "x"}`, "gpt-4o-2024-08-06"},
		{"ANTHROPIC_API_KEY", "", `{"requirement": "x", "llm_provider": "openai"}`, ""},
		{"ANTHROPIC_API_KEY", "", `{"requirement": "x", "model": "gpt-4o"}`, ""},
		{"GROQ_API_KEY", "", `{"requirement": "x"}`, ""},
	} {
		call, _ := conformance.Call(t, row.inputs)
		outcome, err := onWireWith(t, s, generate.Config{Provider: row.provider}, map[string]string{row.key: s.Key()}).Run(t.Context(), call)
		if row.want == "" {
			if err == nil || !strings.Contains(err.Error(), "LLM API key not found: ") || !strings.Contains(err.Error(), "no key of openai") {
				t.Errorf("%s, %s: got %v", row.key, row.inputs, err)
			}
			continue
		}
		if err != nil || outcome.Value().(*generate.Result).Model != row.want {
			t.Errorf("%s: got %+v, %v, want %s", row.key, outcome.Value(), err, row.want)
		}
	}
}

func TestAnAnswerThatIsNoTreeIsInTheDetail(t *testing.T) {
	s := modeltest.Start(t)
	s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Text: "I would rather not.", Times: -1}}})
	if _, err := ask(t, s, `{"requirement": "x"}`); err == nil || executors.DetailOf(err) != "I would rather not." {
		t.Errorf("got %v with %q", err, executors.DetailOf(err))
	}
}

func TestCancelEndsTheCall(t *testing.T) {
	for wire, name := range wires {
		t.Run(wire, func(t *testing.T) {
			s := modeltest.Start(t)
			s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Text: good[:100], Hang: true}}})
			call, _ := conformance.Call(t, `{"requirement": "x", "model": "`+name+`"}`)
			ctx, cancel := context.WithCancelCause(t.Context())
			var at time.Time
			go func() {
				s.Wait(t, 1)
				at = time.Now()
				cancel(executors.ErrCancelled)
			}()
			outcome, err := onWire(t, s, s.Key()).Run(ctx, call)
			if !errors.Is(err, executors.ErrCancelled) || outcome.Kind() != executors.KindPartial || time.Since(at) > 10*time.Second {
				t.Errorf("got %v after %v", err, time.Since(at))
			}
			<-s.Requests()[0].Ended()
		})
	}
}

func TestExamples(t *testing.T) {
	s := modeltest.Start(t)
	s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Times: -1, Text: `[{"id": "a", "name": "Wait"}]`}}})
	for _, example := range onWire(t, s, s.Key()).Describe().Examples {
		if r, err := ask(t, s, string(example.Inputs)); err != nil || r.Count != 1 {
			t.Errorf("%s: got %+v, %v", example.Title, r, err)
		}
	}
}
