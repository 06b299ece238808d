package model_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

const weather = `{"type":"object","properties":{"city":{"type":"string"},"unit":{"type":"string"}},"required":["city"]}`

// TestAConversationGoesOverEachWire: the service checks each field as the real ones do.
func TestAConversationGoesOverEachWire(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := modeltest.Start(t)
			s.Play("m", modeltest.Script{Turns: []modeltest.Turn{{
				Text: "One moment.", Calls: []modeltest.Call{{ID: "call_9", Name: "get_weather", Arguments: `{"city":"Rome"}`}, {Name: "get_time", Arguments: `{}`}},
				Usage: &modeltest.Usage{Prompt: 100, Completion: 20, Cached: 40},
			}}})
			b := newBench(t, model.Config{})
			zero := 0.0
			resp, err := b.session(w.at(s)).Ask(t.Context(), &model.Request{
				Models: []string{"m"}, Stream: w.stream, Temperature: &zero, MaxTokens: 77, ToolChoice: "required", Agent: "guide",
				Messages: []model.Message{
					model.Text(model.System, "Be brief."),
					{Role: model.User, Parts: []model.Part{
						{Text: "What is this?"}, {ImageURL: "https://example.com/a.png"}, {Image: []byte("\x89PNG\r\n\x1a\n"), MediaType: "image/png"},
					}},
					{Role: model.Assistant, Calls: []model.ToolCall{{ID: "call_1", Name: "get_weather", Arguments: json.RawMessage(`{"city":"Paris"}`)},
						{ID: "call_2", Name: "get_time", Arguments: json.RawMessage(`no JSON`)}}},
					{Role: model.ToolRole, CallID: "call_1", Parts: []model.Part{{Text: "18 degrees"}}},
					{Role: model.ToolRole, CallID: "call_2", Failed: true, Parts: []model.Part{{Text: "arguments are not JSON"}}},
					model.Text(model.User, "And in Rome?"),
				},
				Tools: []model.Tool{{Name: "get_weather", Description: "Weather of a city", Schema: json.RawMessage(weather)}, {Name: "get_time", Description: "The time"}},
				Extra: map[string]json.RawMessage{"top_p": json.RawMessage("0.9"), "stop": json.RawMessage(`"END"`), "user": json.RawMessage(`"u-1"`)},
			})
			if err != nil {
				t.Fatal(err)
			}
			r := s.Requests()[0]
			if r.Refused() != "" {
				t.Fatalf("refused: %s: %s", r.Refused(), r.Body)
			}
			if r.MaxTokens != 77 || r.Stream != w.stream || len(r.Tools) != 2 || r.Messages[0].Text != "Be brief." || r.Messages[0].Role != "system" {
				t.Errorf("the request is %+v", r)
			}
			shown := encoded(t, r.Messages)
			for _, want := range []string{"https://example.com/a.png", "iVBORw0KGgo=", `Paris`, "18 degrees", "And in Rome?", "no JSON"} {
				if !strings.Contains(shown, want) {
					t.Errorf("the request lacks %s: %s", want, shown)
				}
			}
			for _, want := range []string{`"top_p":0.9`, "END", "u-1"} {
				if !strings.Contains(string(r.Body), want) {
					t.Errorf("the request lacks %s: %s", want, r.Body)
				}
			}
			if !strings.HasPrefix(r.Header.Get("Idempotency-Key"), "key-1-1-") || r.Header.Get("X-Taskgrove-Attempt") != "1" {
				t.Errorf("the headers are %v", r.Header)
			}
			m := resp.Message
			if m.Text() != "One moment." || len(m.Calls) != 2 || m.Calls[0].ID != "call_9" || m.Calls[0].Name != "get_weather" || string(m.Calls[0].Arguments) != `{"city":"Rome"}` ||
				m.Calls[1].ID == "" || string(m.Calls[1].Arguments) != `{}` || resp.Finish != "tool_calls" {
				t.Errorf("got %+v", resp)
			}
			want := executors.Usage{Calls: 1, PromptTokens: 100, CompletionTokens: 20, CachedTokens: 40, Unpriced: 1}
			if resp.Usage != want || b.used != want || resp.Estimated {
				t.Errorf("used %+v, recorded %+v", resp.Usage, b.used)
			}
			if w.stream && b.streamed() != "One moment." {
				t.Errorf("told %q", b.streamed())
			}
			if b.pieces[0] != (executors.Piece{Kind: executors.PieceModelCall, Agent: "guide", Name: "m"}) {
				t.Errorf("told first %+v", b.pieces[0])
			}
			completionOf(t, resp)
		})
	}
}

// completionOf checks that a completion has OpenAI's form, and says the same as the response.
func completionOf(t *testing.T, resp *model.Response) {
	t.Helper()
	var c struct {
		Object  string
		Choices []struct {
			Message struct {
				Role    string
				Content *string
				Calls   []struct {
					ID, Type string
					Function struct{ Name, Arguments string }
				} `json:"tool_calls"`
			}
			Finish string `json:"finish_reason"`
		}
		Usage struct {
			Prompt     int64 `json:"prompt_tokens"`
			Completion int64 `json:"completion_tokens"`
			Total      int64 `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal(resp.Completion, &c); err != nil {
		t.Fatal(err)
	}
	if c.Object != "chat.completion" || len(c.Choices) != 1 || c.Choices[0].Message.Role != "assistant" || c.Choices[0].Finish != resp.Finish ||
		c.Choices[0].Message.Content == nil || *c.Choices[0].Message.Content != resp.Message.Text() || len(c.Choices[0].Message.Calls) != len(resp.Message.Calls) ||
		c.Usage.Prompt != resp.Usage.PromptTokens || c.Usage.Completion != resp.Usage.CompletionTokens || c.Usage.Total != resp.Usage.TotalTokens() {
		t.Errorf("the completion is %s", resp.Completion)
	}
	for i, call := range c.Choices[0].Message.Calls {
		if call.Type != "function" || call.Function.Name != resp.Message.Calls[i].Name || call.Function.Arguments != string(resp.Message.Calls[i].Arguments) {
			t.Errorf("its call is %+v", call)
		}
	}
}

// TestConnectionsAreUsedAgain, also after streams.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		s := modeltest.New("")
		s.Play("m", modeltest.Recorded("conversation"))
		var opened atomic.Int32
		web := httptest.NewUnstartedServer(s.Handler())
		web.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		}
		web.Start()
		b := newBench(t, model.Config{})
		base := web.URL
		if w.api == "openai" {
			base += "/v1"
		}
		for range 10 {
			r := say("Hi")
			r.Stream = w.stream
			if _, err := b.session(model.Options{Key: "k", BaseURL: base, API: w.api}).Ask(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if n := opened.Load(); n > 2 {
			t.Errorf("%s: 10 calls took %d connections", w.name, n)
		}
		_ = b.models.Close()
		web.Close()
		s.Close()
	}
}

func TestSeveralAnswersAreInTheCompletion(t *testing.T) {
	t.Parallel()
	url := raw(t, "text/event-stream", `data: {"id":"c","model":"gpt-x","choices":[{"index":0,"delta":{"content":"A"}},{"index":1,"delta":{"content":"B"}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"}]}

data: [DONE]

`)
	b := newBench(t, model.Config{})
	r := say("Hi")
	r.Stream, r.Extra = true, map[string]json.RawMessage{"n": json.RawMessage("2")}
	resp, err := b.session(model.Options{Key: "k", BaseURL: url}).Ask(t.Context(), r)
	if err != nil || resp.Message.Text() != "A" || !strings.Contains(string(resp.Completion), `"content":"B"`) || b.streamed() != "A" {
		t.Errorf("got %+v, %v, told %q", resp, err, b.streamed())
	}
}

// TestCallsWithoutAnIndexAreToldApart, as Gemini's compatible service sends them.
func TestCallsWithoutAnIndexAreToldApart(t *testing.T) {
	t.Parallel()
	url := raw(t, "text/event-stream", `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"arguments":"1}"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"id":"b","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}

`)
	b := newBench(t, model.Config{})
	r := say("Hi")
	r.Stream = true
	resp, err := b.session(model.Options{Key: "k", BaseURL: url}).Ask(t.Context(), r)
	if err != nil || len(resp.Message.Calls) != 2 || string(resp.Message.Calls[0].Arguments) != `{"x":1}` || resp.Message.Calls[1].Name != "g" {
		t.Errorf("got %+v, %v", resp, err)
	}
}

// TestNewModelsOfOpenAIGetTheirOwnBound: they refuse max_tokens.
func TestNewModelsOfOpenAIGetTheirOwnBound(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"o3-mini": "max_completion_tokens", "gpt-5": "max_completion_tokens", "gpt-4o": "max_tokens", "llama-3": "max_tokens"} {
		s := modeltest.Start(t)
		s.Play(name, modeltest.Recorded("good"))
		b := newBench(t, model.Config{})
		r := say("Hi", name)
		r.MaxTokens = 50
		if _, err := b.session(wires[0].at(s)).Ask(t.Context(), r); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var body map[string]json.RawMessage
		if err := json.Unmarshal(s.Requests()[0].Body, &body); err != nil || string(body[want]) != "50" {
			t.Errorf("%s: sent %s", name, s.Requests()[0].Body)
		}
	}
}

// TestServicesThatKnowNoStreamOptionsAreAskedWithout.
func TestServicesThatKnowNoStreamOptionsAreAskedWithout(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("m", modeltest.Script{Turns: []modeltest.Turn{
		{Fault: modeltest.FaultPolicy, Message: "Unrecognized request argument supplied: stream_options", Wants: []string{"stream_options"}},
		{Text: "Fine.", Malformed: modeltest.GarbleNoUsage, Reply: func(r *modeltest.Request) modeltest.Turn {
			if strings.Contains(string(r.Body), "stream_options") {
				t.Errorf("asked again with them: %s", r.Body)
			}
			return modeltest.Turn{Text: "Fine."}
		}},
	}})
	b := newBench(t, model.Config{})
	r := say("Hi")
	r.Stream = true
	resp, err := b.session(wires[1].at(s)).Ask(t.Context(), r)
	if err != nil || resp.Message.Text() != "Fine." || !resp.Estimated {
		t.Errorf("got %+v, %v", resp, err)
	}
}
