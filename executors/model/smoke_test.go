package model_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/network"
)

func TestAStreamIsToldAndCounted(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer sk-canary-1234567890" || !strings.Contains(string(body), `"include_usage":true`) {
			t.Errorf("got %v, %s", r.Header, body)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range []string{
			`{"id":"c1","model":"gpt-x","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}`,
			`{"id":"c1","model":"gpt-x","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}`,
			`{"id":"c1","model":"gpt-x","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}`,
			`[DONE]`,
		} {
			fmt.Fprintf(w, "data: %s\n\n", e)
		}
	}))
	defer s.Close()
	call, _ := conformance.Call(t, `{}`)
	var told []executors.Piece
	var used executors.Usage
	call.Live = func(p executors.Piece) { told = append(told, p) }
	call.Used = func(_ string, u executors.Usage) { used.Add(u) }
	models := model.New(model.Config{}, network.New(network.Config{Guard: network.Guard{Loopback: true}}), nil)
	defer models.Close() //nolint:errcheck // idle connections
	session, err := models.Session(call, model.Options{ID: "llm_executor", Key: "sk-canary-1234567890", BaseURL: s.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := session.Ask(t.Context(), &model.Request{Models: []string{"gpt-x"}, Stream: true, Messages: []model.Message{model.Text(model.User, "Hi")}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Message.Text() != "Hello" || resp.Finish != "stop" || resp.Usage != used || used.PromptTokens != 7 || used.CompletionTokens != 2 || used.Unpriced != 1 {
		t.Errorf("got %+v, %+v", resp, used)
	}
	if len(told) != 3 || told[0].Kind != executors.PieceModelCall || told[1].Text+told[2].Text != "Hello" {
		t.Errorf("told %+v", told)
	}
}
