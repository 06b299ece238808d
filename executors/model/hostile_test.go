package model_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
)

// sse are events of a stream.
func sse(events ...string) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "data: %s\n\n", e)
	}
	return b.String()
}

const (
	asJSON   = "application/json"
	asEvents = "text/event-stream"
)

// TestHostileAnswers: no answer makes us panic, hang, or keep more than is bounded; what is none ends for good after it was asked for twice.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	calls := `{"id":"c","function":{"name":"f","arguments":"{}"}}` + strings.Repeat(`,{"id":"c","function":{"name":"f","arguments":"{}"}}`, 200)
	block := `{"type":"tool_use","id":"c","name":"f","input":{}}`
	for name, row := range map[string]struct{ kind, openAI, anthropic string }{
		"nothing":                         {asJSON, "", ""},
		"null":                            {asJSON, "null", "null"},
		"a number":                        {asJSON, "17", "17"},
		"a list":                          {asJSON, "[]", "[]"},
		"HTML":                            {"text/html", "<html>hello</html>", "<html>hello</html>"},
		"half":                            {asJSON, `{"choices":[{"message":{"content":"x`, `{"type":"message","content":[{"type":"te`},
		"deep":                            {asJSON, `{"choices":` + deep + `}`, `{"type":"message","content":` + deep + `}`},
		"no choices":                      {asJSON, `{"choices":[]}`, `{"content":[]}`},
		"a choice of nothing":             {asJSON, `{"choices":[{}]}`, `{"type":"completion"}`},
		"content of another type":         {asJSON, `{"choices":[{"message":{"content":{"a":1}}}]}`, `{"type":"message","content":"text"}`},
		"an index below 0":                {asJSON, `{"choices":[{"index":-1,"message":{"content":"x"}}]}`, `{"type":1}`},
		"an index beyond reason":          {asJSON, `{"choices":[{"index":1000000000,"message":{"content":"x"}}]}`, `{"type":[]}`},
		"an index beyond numbers":         {asJSON, `{"choices":[{"index":1e300,"message":{"content":"x"}}]}`, `{"type":{}}`},
		"too many calls":                  {asJSON, `{"choices":[{"message":{"tool_calls":[` + calls + `]}}]}`, `{"type":"message","content":[` + block + strings.Repeat(","+block, 200) + `]}`},
		"a call far ahead":                {asEvents, sse(`{"choices":[{"delta":{"tool_calls":[{"index":2000000000,"id":"x"}]}}]}`), sse(`{"type":"content_block_delta","index":9,"delta":{"type":"text_delta","text":"x"}}`)},
		"a call before the first":         {asEvents, sse(`{"choices":[{"delta":{"tool_calls":[{"index":-3,"id":"x"}]}}]}`), sse(`{"type":"content_block_start","index":0,"content_block":{"type":"text"}}`, `{"type":"content_block_start","index":1,"content_block":{"type":"text"}}`)},
		"an event of no JSON":             {asEvents, sse(`{"choices"`), sse(`hello`)},
		"an event of another type":        {asEvents, sse(`{"choices":"x"}`), sse(`{"type":"content_block_start"}`)},
		"a deep event":                    {asEvents, sse(`{"choices":` + deep + `}`), sse(`{"type":"ping","x":` + deep + `}`)},
		"an event of 2 MiB":               {asEvents, sse(strings.Repeat("x", 2<<20)), sse(strings.Repeat("x", 2<<20))},
		"a line without end":              {asEvents, "data: " + strings.Repeat("x", 2<<20), ": " + strings.Repeat("x", 2<<20)},
		"an event in many lines":          {asEvents, strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 2000), strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 2000)},
		"only comments":                   {asEvents, strings.Repeat(": ping\n\n", 100000), strings.Repeat(": ping\n\n", 100000)},
		"an error that is none":           {asJSON, `{"error":{"message":{"a":[1]}}}`, `{"type":"error","error":"x"}`},
		"an error in a stream":            {asEvents, sse(`{"error":{"message":"no","type":"invalid_request_error"}}`), sse(`{"type":"error","error":{"type":"invalid_request_error","message":"no"}}`)},
		"an error that says nothing":      {asEvents, sse(`{"error":{}}`), sse(`{"type":"error"}`)},
		"a stream for who wants none":     {asEvents, sse(`[DONE]`), sse(`{"type":"message_stop"}`)},
		"bytes that are no text":          {asJSON, "\xff\xfe\x00\x01", "\xff\xfe\x00\x01"},
		"a gzip bomb that is no gzip":     {asJSON, "\x1f\x8b" + strings.Repeat("\x00", 1000), "\x1f\x8b" + strings.Repeat("\x00", 1000)},
		"control characters in its words": {asJSON, "{\"error\":{\"message\":\"\\u0000\\u001b[31mred\\r\\nforged log line\"}}", "{\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"\\u0000\\u001b[31mred\\r\\nforged log line\"}}"},
	} {
		for _, w := range wires {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				body := row.openAI
				if w.api == "anthropic" {
					body = row.anthropic
				}
				if row.kind == asEvents && !w.stream {
					t.Skip("it is about streams")
				}
				b := newBench(t, model.Config{MaxAnswerBytes: 4 << 20, Silence: 5 * time.Second})
				start := time.Now()
				r := say("Hi")
				r.Stream = w.stream
				resp, err := b.session(model.Options{Key: "k", BaseURL: raw(t, row.kind, body), API: w.api}).Ask(t.Context(), r)
				within(t, time.Minute, name, start)
				if strings.HasPrefix(name, "a stream for") { // an empty answer
					if err != nil {
						t.Errorf("got %v", err)
					}
					return
				}
				failure, _ := errors.AsType[*model.Error](err)
				if failure == nil {
					t.Fatalf("got %+v, %v", resp, err)
				}
				if len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\x00\x1b\r\n") {
					t.Errorf("says %d bytes: %q", len(err.Error()), err)
				}
			})
		}
	}
}

// TestNumbersOfAServiceAreNotBelieved beyond reason.
func TestNumbersOfAServiceAreNotBelieved(t *testing.T) {
	t.Parallel()
	for _, usage := range []string{`{"prompt_tokens":-5,"completion_tokens":1e400}`, `{"prompt_tokens":"7","completion_tokens":null}`, `{"prompt_tokens":99999999999999999999999,"completion_tokens":2.7,"prompt_tokens_details":{"cached_tokens":1e30}}`} {
		b := newBench(t, model.Config{})
		body := `{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":` + usage + `}`
		resp, err := b.session(model.Options{Key: "k", BaseURL: raw(t, asJSON, body)}).Ask(t.Context(), say("Hi"))
		if err != nil {
			t.Errorf("%s: %v", usage, err)
			continue
		}
		u := resp.Usage
		if u.PromptTokens < 0 || u.CompletionTokens < 0 || u.CachedTokens > u.PromptTokens || u.TotalTokens() < 0 || u.TotalTokens() > 1<<42 {
			t.Errorf("%s: got %+v", usage, u)
		}
	}
}

// TestRedirectsAreNotFollowed: the key would go along.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	to := raw(t, asJSON, `{"choices":[{"message":{"content":"stolen"}}]}`)
	from := redirect(t, to+"/chat/completions")
	b := newBench(t, model.Config{})
	_, err := b.session(model.Options{Key: "k", BaseURL: from}).Ask(t.Context(), say("Hi"))
	if !executors.IsPermanent(err) || !strings.Contains(err.Error(), "307: a redirect, which is not followed") {
		t.Errorf("got %v", err)
	}
}

// TestLongListsAreRefused before they are made: an element of some bytes would take a hundred here.
func TestLongListsAreRefused(t *testing.T) {
	many := strings.Repeat("{},", 2<<20) + "{}"
	for name, row := range map[string]struct{ api, body string }{
		"choices":    {"openai", `{"choices":[` + many + `]}`},
		"tool calls": {"openai", `{"choices":[{"message":{"tool_calls":[` + many + `]}}]}`},
		"blocks":     {"anthropic", `{"type":"message","content":[` + many + `]}`},
	} {
		b := newBench(t, model.Config{})
		o := model.Options{Key: "k", BaseURL: raw(t, asJSON, row.body), API: row.api}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := b.session(o).Ask(t.Context(), say("Hi"))
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "a list of more than 4096 parts") {
			t.Errorf("%s: got %v", name, err)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 200 { // twice the answer, as it is asked for again
			t.Errorf("%s: took %d MiB", name, took)
		}
	}
}
