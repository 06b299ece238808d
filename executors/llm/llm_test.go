package llm_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/llm"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/executors/network"
)

// executor is one whose well-known services are the tests' own: both formats' addresses are the operator's.
func executor(t *testing.T, s *modeltest.Server) *llm.Executor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(path, []byte("currency: USD\nmodels:\n  \"*\": {input: 1000, output: 1000}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"OPENAI_BASE_URL": s.OpenAI(), "ANTHROPIC_BASE_URL": s.Anthropic(), "LOCAL_BASE_URL": s.OpenAI(), "LLM_API_KEY": s.Key(), "LOCAL_API_KEY": s.Key()}
	models := model.New(model.Config{PricesFile: path, LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}, network.New(network.Config{}), nil)
	e := llm.New(models)
	t.Cleanup(func() { _ = e.Close() })
	if err := e.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

// run runs inputs, and gives what they became as JSON.
func run(t *testing.T, e *llm.Executor, inputs string) (map[string]json.RawMessage, error) {
	t.Helper()
	call, _ := conformance.Call(t, inputs)
	outcome, err := e.Run(t.Context(), call)
	return fields(t, outcome), err
}

func fields(t *testing.T, outcome *executors.Outcome) (all map[string]json.RawMessage) {
	t.Helper()
	text, err := json.Marshal(outcome.Value())
	if err != nil || json.Unmarshal(text, &all) != nil {
		t.Fatalf("the result is %s, %v", text, err)
	}
	return all
}

// TestADemonstrationIsJSON whatever the model is called.
func TestADemonstrationIsJSON(t *testing.T) {
	t.Parallel()
	call, _ := conformance.Call(t, `{"model":"a\u007f\u0007\ue000\"b","messages":[{"role":"user","content":"x"}]}`)
	value, _ := executor(t, modeltest.Start(t)).Demo(call)
	if text, err := json.Marshal(value); err != nil {
		t.Errorf("got %s, %v", text, err)
	}
}

// TestTheResultIsThatOfTheSpec (8.10), over both formats, streamed and not.
func TestTheResultIsThatOfTheSpec(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gpt-4o", "claude-x"} {
		for _, stream := range []string{"false", "true"} {
			s := modeltest.Start(t)
			s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Text: "Tagus.", Usage: &modeltest.Usage{Prompt: 9, Completion: 3, Cached: 4}}}})
			got, err := run(t, executor(t, s), `{"model": "`+name+`", "stream": `+stream+`, "messages": [{"role": "user", "content": "A river?"}], "max_tokens": 9}`)
			if err != nil {
				t.Fatal(err)
			}
			for field, want := range map[string]string{
				"success": "true", "content": `"Tagus."`, "model": `"` + name + `"`, "is_stream": stream, "finish_reason": `"stop"`,
				"token_usage": `{"total_tokens":12,"prompt_tokens":9,"completion_tokens":3,"cached_prompt_tokens":4,"successful_requests":1}`,
				"cost":        `{"amount":0.012,"currency":"USD"}`,
			} {
				if string(got[field]) != want {
					t.Errorf("%s, %s: %s is %s, want %s", name, stream, field, got[field], want)
				}
			}
			var data struct {
				Object  string
				Choices []struct{ Message struct{ Content string } }
				Usage   map[string]json.RawMessage
			}
			if json.Unmarshal(got["data"], &data) != nil || data.Object != "chat.completion" || data.Choices[0].Message.Content != "Tagus." || string(data.Usage["total_tokens"]) != "12" {
				t.Errorf("%s, %s: data is %s", name, stream, got["data"])
			}
			for _, absent := range []string{"structured", "tool_calls", "fallbacks", "repaired", "usage_estimated", "budget_exhausted"} {
				if got[absent] != nil {
					t.Errorf("%s, %s: has %s %s", name, stream, absent, got[absent])
				}
			}
		}
	}
}

// TestExamples runs them against the test's services.
func TestExamples(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("*", modeltest.Script{Turns: []modeltest.Turn{
		{When: "rivers", Text: "Tagus, Douro, Guadiana."}, {When: "4711", Text: `{"number":"4711","total":240}`}, {When: "haiku", Text: "Leaves wait for their roots"}}})
	e := executor(t, s)
	var structured string
	for _, example := range e.Describe().Examples {
		got, err := run(t, e, string(example.Inputs))
		if err != nil {
			t.Errorf("%s: %v", example.Title, err)
			continue
		}
		structured += string(got["structured"])
	}
	if structured != `{"number":"4711","total":240}` {
		t.Errorf("structured: %s", structured)
	}
}

func TestMessagesTakeValues(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("*", modeltest.Recorded("conversation"))
	e := executor(t, s)
	_, err := run(t, e, `{"model": "gpt-4o", "fetch": {"body": "It rains {{api_key}} {{other}}", "list": [{"n": 1}, 2]}, "other": "x", "stop": "END", "_hidden": 1, "unknown_field": 5,
	  "messages": [{"role": "developer", "content": "Text: {{fetch.body}}. List: {{ fetch.list }}, {{fetch.list.0.n}}. {{!fetch}} {not} {{a b}}"},
	    {"role": "user", "content": [{"type": "text", "text": "{{other}}"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Requests()[0]
	if want := `Text: It rains {{api_key}} {{other}}. List: [{"n": 1}, 2], 1. {{fetch}} {not} {{a b}}`; r.Messages[0].Text != want {
		t.Errorf("got  %s\nwant %s", r.Messages[0].Text, want)
	}
	if r.Messages[1].Text != "x" || len(r.Messages[1].Images) != 1 || !strings.Contains(string(r.Body), `"detail":"low"`) {
		t.Errorf("got %+v", r.Messages[1])
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(r.Body, &body) != nil || string(body["stop"]) != `"END"` || body["fetch"] != nil || body["unknown_field"] != nil || body["_hidden"] != nil {
		t.Errorf("sent %s", r.Body)
	}
	_, err = run(t, e, `{"model": "m", "api_key": "hunter2-canary", "messages": [{"role": "user", "content": "{{api_key}} {{fetsh.body}}"}]}`)
	if want := "[llm_executor] messages[0].content: {{api_key}} is no input, and no part of one (write {{!api_key}} for the text itself); messages[0].content: {{fetsh.body}} is no input"; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || !executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

// TestFaultsOfInputs are told all at once, before anything is asked.
func TestFaultsOfInputs(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	e := executor(t, s)
	for inputs, want := range map[string]string{
		`{}`:               "[llm_executor] model is required in inputs",
		`{"messages": []}`: "[llm_executor] model is required in inputs",
		`{"model": "m"}`:   "[llm_executor] messages is required in inputs",
		`{"model": ["a", 1], "messages": [{"role": "user", "content": "x"}]}`: "[llm_executor] model must be a name or a list of names",
		`{"model": "m", "messages": [1, {"role": "user"}, {"role": "user", "content": [{"type": "audio"}]}, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:text"}}]}],
		  "tools": [{"type": "web"}], "tool_choice": 5, "response_format": {"type": "xml"}, "extra_body": {"messages": []}, "max_tokens": 0, "budget": {"tokens": 0}, "on_exhausted": "stop"}`: "[llm_executor] messages[0] must be an object of role and content; " +
			"messages[1].content must be a text, or a list of parts of the types text and image_url; messages[2].content[0]: type \"audio\" is not text or image_url; " +
			"messages[3].content[0].image_url.url must be data:image/…;base64,…; max_tokens must be above 0; tools[0] must be {\"type\": \"function\", \"function\": {\"name\", \"description\", \"parameters\"}}; " +
			"tool_choice must be auto, none, required, or {\"type\": \"function\", \"function\": {\"name\"}}; response_format must be of type text, json_object, or json_schema with a json_schema.schema; " +
			"extra_body.messages: it has an input of its own; budget.tokens must be a whole number above 0; on_exhausted must be fail, skip or partial",
		`{"model": "m", "messages": [{"role": "user", "content": "x"}], "timeout": -1}`:                                     "[llm_executor] timeout must be a number of seconds above 0",
		`{"model": "claude-x", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}`: "[llm_executor] response_format json_object: Anthropic's format has no such thing, use output_schema",
		`{"model": "groq/x", "api_base": "https://elsewhere.example", "messages": [{"role": "user", "content": "x"}]}`:      "[llm_executor] api_key is required with api_base",
	} {
		if _, err := run(t, e, inputs); err == nil || !strings.HasPrefix(err.Error(), want) || !executors.IsPermanent(err) {
			t.Errorf("%s:\ngot  %v\nwant %s", inputs, err, want)
		}
	}
	if len(s.Requests()) > 0 {
		t.Error("something was asked")
	}
}

func TestToolsArePassedOn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gpt-4o", "claude-x"} {
		s := modeltest.Start(t)
		s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Calls: []modeltest.Call{{ID: "call_7", Name: "get_weather", Arguments: `{"city":"Paris"}`}}}, {Text: "18 degrees."}}})
		e := executor(t, s)
		call, _ := conformance.Call(t, `{"model": "`+name+`", "messages": [{"role": "user", "content": "Weather?"}], "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
		  "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}`)
		var told []executors.Piece
		call.Live = func(p executors.Piece) { told = append(told, p) }
		outcome, err := e.Run(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		got := fields(t, outcome)
		if want := `[{"id":"call_7","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}}]`; string(got["tool_calls"]) != want || string(got["content"]) != "null" || string(got["finish_reason"]) != `"tool_calls"` {
			t.Errorf("%s: got %s, %s", name, got["tool_calls"], got["content"])
		}
		if last := told[len(told)-1]; last.Kind != executors.PieceToolCall || last.Name != "get_weather" {
			t.Errorf("%s: told %+v", name, told)
		}
		got, err = run(t, e, `{"model": "`+name+`", "messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": null, "tool_calls": `+string(got["tool_calls"])+`},
		  {"role": "tool", "tool_call_id": "call_7", "content": "18"}], "tools": [{"type": "function", "function": {"name": "get_weather"}}]}`)
		if err != nil || string(got["content"]) != `"18 degrees."` {
			t.Errorf("%s: got %s, %v", name, got["content"], err)
		}
	}
}

func TestWhatABudgetLeavesOfATask(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Text: "no JSON at all", Times: -1, Usage: &modeltest.Usage{Prompt: 9, Completion: 3}}}})
	e := executor(t, s)
	inputs := func(on string) string { // the repair has no room
		return `{"model": "gpt-4o", "budget": {"calls": 1}, "on_exhausted": "` + on + `", "output_schema": {"type": "object"}, "messages": [{"role": "user", "content": "x"}]}`
	}
	got, err := run(t, e, inputs("skip"))
	if err != nil || string(got["skipped"]) != "true" || !strings.Contains(string(got["reason"]), "budget of 1 calls is exhausted") {
		t.Errorf("skip: got %s, %v", got, err)
	}
	got, err = run(t, e, inputs("partial"))
	if err != nil || string(got["budget_exhausted"]) != `"calls"` || string(got["content"]) != `"no JSON at all"` || string(got["success"]) != "false" {
		t.Errorf("partial: got %s, %v", got, err)
	}
	if _, err = run(t, e, inputs("fail")); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "budget of 1 calls is exhausted") {
		t.Errorf("fail: got %v", err)
	}
}

// TestACancelledTaskKeepsWhatHadCome, with its usage.
func TestACancelledTaskKeepsWhatHadCome(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Text: "Once upon a time", Hang: true}}})
	e := executor(t, s)
	call, _ := conformance.Call(t, `{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "A story"}]}`)
	ctx, cancel := context.WithCancelCause(t.Context())
	text := ""
	call.Live = func(p executors.Piece) {
		if p.Kind == executors.PieceToken {
			if text += p.Text; text == "Once upon a time" {
				cancel(executors.ErrCancelled)
			}
		}
	}
	outcome, err := e.Run(ctx, call)
	got := fields(t, outcome)
	if !errors.Is(err, executors.ErrCancelled) || outcome.Kind() != executors.KindPartial || string(got["content"]) != `"Once upon a time"` || string(got["usage_estimated"]) != "true" || got["token_usage"] == nil {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestFallbacksAreInTheResult(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("busy", modeltest.Script{Turns: []modeltest.Turn{{Fault: modeltest.FaultOverloaded}}})
	s.Play("good", modeltest.Recorded("good"))
	e := executor(t, s)
	call, said := conformance.Call(t, `{"model": "busy", "models": ["good"], "messages": [{"role": "user", "content": "x"}]}`)
	outcome, err := e.Run(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	got := fields(t, outcome)
	if string(got["model"]) != `"good"` || !strings.Contains(string(got["fallbacks"]), `[{"model":"busy","reason":"openai answers 503`) {
		t.Errorf("got %s", got)
	}
	if len(said.Lines()) != 1 || !strings.HasPrefix(said.Lines()[0], "log: model busy could not answer: ") {
		t.Errorf("said %q", said.Lines())
	}
}
