package modeltest

import (
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"
)

// openAI is the format of OpenAI's chat completions.
type openAI struct{}

func (openAI) name() string { return "openai" }

func (openAI) key(r *http.Request) (string, *failure) {
	header := r.Header.Get("Authorization")
	key, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || key == "" {
		return "", &failure{status: 401, kind: "invalid_request_error", message: "You didn't provide an API key. You need to provide your API key in an " +
			"Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're " +
			"accessing the API from your browser and are prompted for a username and password. You can obtain an API key from " +
			"https://platform.openai.com/account/api-keys."}
	}
	return key, nil
}

func (openAI) headers(s *Server, h http.Header) string {
	id := "req_" + random(16)
	h.Set("X-Request-Id", id)
	h.Set("Openai-Organization", "modeltest")
	h.Set("Openai-Processing-Ms", "12")
	h.Set("Openai-Version", "2020-10-01")
	h.Set("X-Ratelimit-Limit-Requests", "10000")
	h.Set("X-Ratelimit-Limit-Tokens", "2000000")
	h.Set("X-Ratelimit-Remaining-Requests", "9999")
	h.Set("X-Ratelimit-Remaining-Tokens", "1999982")
	h.Set("X-Ratelimit-Reset-Requests", "6ms")
	h.Set("X-Ratelimit-Reset-Tokens", "0s")
	return id
}

// answered is the model that the service says has answered: names without a date stand for one with a date.
var answered = map[string]string{
	"gpt-4o": "gpt-4o-2024-08-06", "gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-4.1": "gpt-4.1-2025-04-14", "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
	"gpt-5": "gpt-5-2025-08-07", "gpt-5-mini": "gpt-5-mini-2025-08-07", "o3": "o3-2025-04-16", "o4-mini": "o4-mini-2025-04-16",
	"claude-sonnet-4-5": "claude-sonnet-4-5-20250929", "claude-haiku-4-5": "claude-haiku-4-5-20251001", "claude-opus-4-1": "claude-opus-4-1-20250805",
	"claude-3-5-haiku-latest": "claude-3-5-haiku-20241022", "claude-3-5-sonnet-latest": "claude-3-5-sonnet-20241022",
}

func answeredAs(model string) string {
	if dated := answered[model]; dated != "" {
		return dated
	}
	return model
}

const fingerprint = "fp_44709d6fcb"

// calls are the calls of tools as OpenAI writes them.
func (openAI) calls(s *Server, t *Turn) []object {
	var out []object
	for _, c := range t.Calls {
		out = append(out, object{"id", callID(s, c, "call_"), "type", "function", "function", object{"name", c.Name, "arguments", c.Arguments}})
	}
	return out
}

func callID(s *Server, c Call, prefix string) string {
	if c.ID != "" {
		return c.ID
	}
	return s.id(prefix, 24)
}

func (f openAI) whole(s *Server, r *Request, t *Turn) []byte {
	var content, refusal any
	said := t.Text
	if t.Fill > 0 || t.Endless {
		said += fillPlace
	}
	if said != "" || len(t.Calls) == 0 && t.Refusal == "" {
		content = said
	}
	if t.Refusal != "" {
		refusal = t.Refusal
	}
	message := object{"role", "assistant", "content", content}
	if len(t.Calls) > 0 {
		message = append(message, "tool_calls", f.calls(s, t))
	}
	message = append(message, "refusal", refusal, "annotations", []any{})
	body := object{"id", s.id("chatcmpl-", 29), "object", "chat.completion", "created", time.Now().Unix(), "model", answeredAs(r.Model),
		"choices", []object{{"index", 0, "message", message, "logprobs", nil, "finish_reason", t.finish()}}}
	if t.Malformed != GarbleNoUsage {
		body = append(body, "usage", f.usage(r, t))
	}
	return indented(append(body, "service_tier", "default", "system_fingerprint", fingerprint))
}

// spent is the usage of a turn: said or estimated.
func spent(r *Request, t *Turn) Usage {
	if t.Usage != nil {
		return *t.Usage
	}
	u := Usage{Prompt: r.promptTokens(), Completion: max(1, int64(len(split(t.Text+t.Refusal)))+int64(t.Fill/4))}
	for _, c := range t.Calls {
		u.Completion += tokens(c.Name+c.Arguments) + 5
	}
	return u
}

func (openAI) usage(r *Request, t *Turn) object {
	u := spent(r, t)
	return object{"prompt_tokens", u.Prompt, "completion_tokens", u.Completion, "total_tokens", u.Prompt + u.Completion,
		"prompt_tokens_details", object{"cached_tokens", u.Cached, "audio_tokens", 0},
		"completion_tokens_details", object{"reasoning_tokens", u.Reasoning, "audio_tokens", 0, "accepted_prediction_tokens", 0, "rejected_prediction_tokens", 0}}
}

func (f openAI) events(s *Server, r *Request, t *Turn) iter.Seq[event] {
	id, created := s.id("chatcmpl-", 29), time.Now().Unix()
	chunk := func(choices []object, usage any, end bool) event {
		o := object{"id", id, "object", "chat.completion.chunk", "created", created, "model", answeredAs(r.Model), "service_tier", "default",
			"system_fingerprint", fingerprint, "choices", choices}
		if !r.noUsage && t.Malformed != GarbleNoUsage {
			o = append(o, "usage", usage)
		}
		return event{data: marshal(append(o, "obfuscation", random(4))), end: end}
	}
	delta := func(d object, finish any) event {
		return chunk([]object{{"index", 0, "delta", d, "logprobs", nil, "finish_reason", finish}}, nil, finish != nil)
	}
	return func(yield func(event) bool) {
		if t.Malformed == GarbleEmpty {
			_ = yield(chunk([]object{}, nil, true)) && yield(event{data: []byte("[DONE]"), end: true})
			return
		}
		for d := range f.deltas(s, t) {
			if !yield(delta(d, nil)) {
				return
			}
		}
		_ = yield(delta(object{}, t.finish())) &&
			(r.noUsage || t.Malformed == GarbleNoUsage || yield(chunk([]object{}, f.usage(r, t), true))) &&
			yield(event{data: []byte("[DONE]"), end: true})
	}
}

// deltas are what a stream adds, step by step.
func (f openAI) deltas(s *Server, t *Turn) iter.Seq[object] {
	return func(yield func(object) bool) {
		var content any = ""
		if t.Text == "" && len(t.Calls) > 0 {
			content = nil
		}
		if !yield(object{"role", "assistant", "content", content, "refusal", nil}) {
			return
		}
		for piece := range t.pieces() {
			if !yield(object{"content", piece}) {
				return
			}
		}
		for _, piece := range split(t.Refusal) {
			if !yield(object{"refusal", piece}) {
				return
			}
		}
		for i, c := range t.Calls {
			if !yield(object{"tool_calls", []object{{"index", i, "id", callID(s, c, "call_"), "type", "function", "function", object{"name", c.Name, "arguments", ""}}}}) {
				return
			}
			for _, piece := range split(c.Arguments) {
				if !yield(object{"tool_calls", []object{{"index", i, "function", object{"arguments", piece}}}}) {
					return
				}
			}
		}
	}
}

func (openAI) failure(f *failure, _ string) []byte {
	return indented(object{"error", object{"message", f.message, "type", f.kind, "param", f.param, "code", f.code}})
}

func (openAI) late(f *failure, _ string) event {
	return event{data: marshal(object{"error", object{"message", f.message, "type", f.kind, "param", f.param, "code", f.code}})}
}

func (openAI) garbled(g Garble, stream bool) []byte {
	kind, field := "chat.completion", "message"
	if stream {
		kind, field = "chat.completion.chunk", "delta"
	}
	switch g {
	case GarbleJSON:
		return []byte(`{"id":"chatcmpl-1","object":"` + kind + `","choices":[{"index":0,"` + field + `":{"content":"unfin`)
	case GarbleShape:
		return []byte(`{"id":7,"object":["` + kind + `"],"created":"now","choices":{"index":"0","` + field + `":"text"},"usage":"none"}`)
	case GarbleDeep:
		return deep(`{"id":"chatcmpl-1","object":"`+kind+`","created":1,"model":"gpt-4o","choices":[{"index":0,"finish_reason":null,"`+field+`":{"content":"a","x":`, `}}]}`)
	}
	return []byte(`{"id":"chatcmpl-1","object":"` + kind + `","created":1,"model":"gpt-4o","choices":[]}`)
}

// deep puts 100 000 levels between two texts.
func deep(before, after string) []byte {
	const levels = 100_000
	return []byte(before + strings.Repeat("[", levels) + strings.Repeat("]", levels) + after)
}

func (openAI) models(s *Server, path string) ([]byte, *failure) {
	model := func(name string) object {
		return object{"id", name, "object", "model", "created", 1_715_367_049, "owned_by", "system"}
	}
	if name := strings.TrimPrefix(path, "/v1/models"); strings.Trim(name, "/") != "" {
		name = strings.Trim(name, "/")
		if !s.plays(name) {
			return nil, &failure{status: 404, kind: "invalid_request_error", param: "model", code: "model_not_found", message: fmt.Sprintf("The model '%s' does not exist", name)}
		}
		return indented(model(name)), nil
	}
	list := []object{}
	for _, name := range s.names() {
		list = append(list, model(name))
	}
	return indented(object{"object", "list", "data", list}), nil
}
