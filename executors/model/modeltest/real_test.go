package modeltest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/executors/network"
)

// weather is the tool, and the schema of the answer, in the conversations.
var weather = json.RawMessage(`{"type":"object","additionalProperties":false,"required":["city","degrees"],"properties":{"city":{"type":"string"},"degrees":{"type":"integer"}}}`)

var weatherTool = model.Tool{Name: "get_weather", Description: "Tells the weather of a city",
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["city"],"properties":{"city":{"type":"string","description":"Name of the city, nothing else"}}}`)}

// goodPaths are what is asked of the test service and, by make test-llm, of the real ones.
var goodPaths = []struct {
	script  string // that the test service plays
	request model.Request
	check   func(*model.Response) error
}{
	{"good", model.Request{Messages: []model.Message{model.Text(model.System, "Answer with one sentence."), model.Text(model.User, "What is the capital of France?")}, MaxTokens: 60},
		func(r *model.Response) error { return says(r, "Paris", "stop") }},
	{"tool", model.Request{Messages: []model.Message{model.Text(model.User, "How warm is it in Paris? Use the tool.")}, Tools: []model.Tool{weatherTool}, ToolChoice: "get_weather", MaxTokens: 200},
		func(r *model.Response) error {
			var in struct{ City string }
			if len(r.Message.Calls) != 1 || r.Message.Calls[0].Name != "get_weather" || r.Message.Calls[0].ID == "" {
				return fmt.Errorf("got the calls %+v", r.Message.Calls)
			}
			if err := json.Unmarshal(r.Message.Calls[0].Arguments, &in); err != nil || !strings.Contains(in.City, "Paris") {
				return fmt.Errorf("got the arguments %s (%v)", r.Message.Calls[0].Arguments, err)
			}
			return nil
		}},
	{"tool-answered", model.Request{Messages: []model.Message{model.Text(model.User, "How warm is it in Paris? Use the tool."),
		{Role: model.Assistant, Calls: []model.ToolCall{{ID: "call_abc123", Name: "get_weather", Arguments: json.RawMessage(`{"city":"Paris"}`)}}},
		{Role: model.ToolRole, CallID: "call_abc123", Parts: []model.Part{{Text: "18 degrees Celsius"}}}}, Tools: []model.Tool{weatherTool}, MaxTokens: 200},
		func(r *model.Response) error { return says(r, "18", "stop") }},
	{"structured", model.Request{Messages: []model.Message{model.Text(model.User, "It is 18 degrees in Paris. Give that as JSON.")}, Schema: weather, MaxTokens: 200},
		func(r *model.Response) error {
			var out struct {
				City    string
				Degrees int
			}
			if err := json.Unmarshal([]byte(said(r)), &out); err != nil || out.City != "Paris" || out.Degrees != 18 {
				return fmt.Errorf("got %s (%v)", said(r), err)
			}
			return nil
		}},
	{"image", model.Request{Messages: []model.Message{{Role: model.User, Parts: []model.Part{{Text: "Answer with the word yes if you see an image."}, {Image: pixel(), MediaType: "image/png"}}}}, MaxTokens: 60},
		func(r *model.Response) error { return says(r, "es", "stop") }},
	{"length", model.Request{Messages: []model.Message{model.Text(model.User, "Count from one to five hundred, in words.")}, MaxTokens: 16},
		func(r *model.Response) error { return says(r, "", "length") }},
}

func pixel() []byte {
	raw, _ := base64.StdEncoding.DecodeString(png)
	return raw
}

// scripts are those that no file has.
var scripts = map[string]modeltest.Script{
	"tool-answered": {Turns: []modeltest.Turn{{Text: "It is 18 degrees in Paris.", Times: -1}}},
	"image":         {Turns: []modeltest.Turn{{Text: "Yes.", Times: -1}}},
}

func said(r *model.Response) (text string) {
	for _, p := range r.Message.Parts {
		text += p.Text
	}
	return text
}

func says(r *model.Response, text, finish string) error {
	if !strings.Contains(said(r), text) || r.Finish != finish {
		return fmt.Errorf("got %q, which ends by %s", said(r), r.Finish)
	}
	return nil
}

// service is one that the good paths are asked of.
type service struct {
	name, model, key, url, api string
}

// ask asks a conversation, and looks at the answer, its usage and what was told live.
func (s service) ask(t *testing.T, request model.Request, check func(*model.Response) error) {
	t.Helper()
	models := model.New(model.Config{}, network.New(network.Config{Guard: network.Guard{Loopback: s.url != ""}}), nil)
	defer models.Close() //nolint:errcheck // idle connections
	for _, stream := range []bool{false, true} {
		var mu sync.Mutex
		live := ""
		call := &executors.Call{TaskID: "t", Attempt: 1, Inputs: json.RawMessage(`{}`), Reporter: nothing{}, Live: func(p executors.Piece) {
			mu.Lock()
			defer mu.Unlock()
			if p.Kind == executors.PieceToken {
				live += p.Text
			}
		}}
		session, err := models.Session(call, model.Options{ID: "test", Key: s.key, BaseURL: s.url, API: s.api})
		if err != nil {
			t.Fatal(err)
		}
		request.Models, request.Stream = []string{s.model}, stream
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		response, err := session.Ask(ctx, &request)
		cancel()
		if err != nil {
			t.Errorf("%s, stream %v: %v", s.name, stream, err)
			continue
		}
		if err := check(response); err != nil {
			t.Errorf("%s, stream %v: %v", s.name, stream, err)
		}
		if u := response.Usage; u.PromptTokens < 5 || u.CompletionTokens < 1 {
			t.Errorf("%s, stream %v: it used %+v", s.name, stream, u)
		}
		if stream && request.Schema == nil && live != said(response) {
			t.Errorf("%s: told %q live, and answered %q", s.name, live, said(response))
		}
	}
}

type nothing struct{}

func (nothing) Log(string, string)       {}
func (nothing) Progress(float64, string) {}

// What make test-llm asks of real services, the test service answers as they do.
func TestTheGoodPathsOfTheTestService(t *testing.T) {
	t.Parallel()
	for _, path := range goodPaths {
		script, ok := scripts[path.script]
		if !ok {
			script = modeltest.Recorded(path.script)
			script.Turns = slices.Clone(script.Turns[:1])
			script.Turns[0].Times = -1
		}
		s := modeltest.Start(t)
		s.Play("m", script)
		for _, api := range []service{{"openai/" + path.script, "m", s.Key(), s.OpenAI(), "openai"}, {"anthropic/" + path.script, "m", s.Key(), s.Anthropic() + "/v1", "anthropic"}} {
			api.ask(t, path.request, path.check)
		}
	}
}

// The same, asked of the real services. It costs a few cents at most.
func TestTheGoodPathsOfRealServices(t *testing.T) {
	if os.Getenv("TASKGROVE_TEST_LLM") == "" {
		t.Skip("the real services are asked by make test-llm only, where OPENAI_API_KEY or ANTHROPIC_API_KEY is set")
	}
	for _, s := range []struct{ name, model, key, named string }{
		{"openai", "gpt-4o-mini", os.Getenv("OPENAI_API_KEY"), os.Getenv("OPENAI_MODEL")},
		{"anthropic", "claude-haiku-4-5", os.Getenv("ANTHROPIC_API_KEY"), os.Getenv("ANTHROPIC_MODEL")},
	} {
		t.Run(s.name, func(t *testing.T) {
			if s.key == "" {
				t.Skipf("skipped: there is no %s_API_KEY", strings.ToUpper(s.name))
			}
			if s.named != "" {
				s.model = s.named
			}
			for _, path := range goodPaths {
				service{name: path.script, model: s.name + "/" + s.model, key: s.key}.ask(t, path.request, path.check)
			}
		})
	}
}

func (nothing) Checkpoint(data json.RawMessage) error { return nil }
