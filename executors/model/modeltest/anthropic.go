package modeltest

import (
	"encoding/json"
	"iter"
	"net/http"
	"strings"
	"time"
)

// anthropic is the format of Anthropic's messages.
type anthropic struct{}

func (anthropic) name() string { return "anthropic" }

// key is in a header of its own, or in the usual one: the SDK of today sends the latter.
func (anthropic) key(r *http.Request) (string, *failure) {
	key := r.Header.Get("X-Api-Key")
	if key == "" {
		key, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if key == "" {
		return "", &failure{status: 401, kind: "authentication_error", message: "x-api-key header is required"}
	}
	return key, nil
}

func (anthropic) headers(s *Server, h http.Header) string {
	id := s.id("req_011", 24)
	reset := time.Now().Add(time.Second).UTC().Format(time.RFC3339)
	h.Set("Request-Id", id)
	h.Set("Anthropic-Organization-Id", "00000000-0000-4000-8000-000000000000")
	for _, what := range []string{"Requests", "Tokens", "Input-Tokens", "Output-Tokens"} {
		h.Set("Anthropic-Ratelimit-"+what+"-Limit", "400000")
		h.Set("Anthropic-Ratelimit-"+what+"-Remaining", "399000")
		h.Set("Anthropic-Ratelimit-"+what+"-Reset", reset)
	}
	return id
}

// stopReasons are Anthropic's words for why an answer ends.
var stopReasons = map[string]string{"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

func (anthropic) stop(t *Turn) string {
	if t.Refusal != "" {
		return "refusal"
	}
	if word := stopReasons[t.finish()]; word != "" {
		return word
	}
	return t.finish()
}

// usage as Anthropic counts: input_tokens lacks those from the cache.
func (anthropic) usage(u Usage, output int64) object {
	return object{"input_tokens", max(0, u.Prompt-u.Cached), "cache_creation_input_tokens", 0, "cache_read_input_tokens", u.Cached,
		"cache_creation", object{"ephemeral_5m_input_tokens", 0, "ephemeral_1h_input_tokens", 0}, "output_tokens", output, "service_tier", "standard"}
}

// input is a call's arguments where they must be JSON.
func input(arguments string) json.RawMessage {
	if trimmed := strings.TrimSpace(arguments); !json.Valid([]byte(trimmed)) || !strings.HasPrefix(trimmed, "{") {
		return json.RawMessage("{}")
	}
	return json.RawMessage(arguments)
}

func (f anthropic) whole(s *Server, r *Request, t *Turn) []byte {
	content := []object{}
	said := t.Text
	if t.Fill > 0 || t.Endless {
		said += fillPlace
	}
	if said+t.Refusal != "" {
		content = append(content, object{"type", "text", "text", said + t.Refusal})
	}
	for _, c := range t.Calls {
		content = append(content, object{"type", "tool_use", "id", callID(s, c, "toolu_01"), "name", c.Name, "input", input(c.Arguments)})
	}
	body := object{"model", answeredAs(r.Model), "id", s.id("msg_01", 24), "type", "message", "role", "assistant", "content", content,
		"stop_reason", f.stop(t), "stop_sequence", nil}
	if t.Malformed != GarbleNoUsage {
		u := spent(r, t)
		body = append(body, "usage", f.usage(u, u.Completion))
	}
	return marshal(body)
}

func (f anthropic) events(s *Server, r *Request, t *Turn) iter.Seq[event] {
	u := spent(r, t)
	message := object{"model", answeredAs(r.Model), "id", s.id("msg_01", 24), "type", "message", "role", "assistant", "content", []any{},
		"stop_reason", nil, "stop_sequence", nil}
	last := object{"type", "message_delta", "delta", object{"stop_reason", f.stop(t), "stop_sequence", nil}}
	if t.Malformed != GarbleNoUsage {
		message = append(message, "usage", f.usage(u, 1))
		last = append(last, "usage", object{"input_tokens", max(0, u.Prompt-u.Cached), "cache_creation_input_tokens", 0, "cache_read_input_tokens", u.Cached,
			"output_tokens", u.Completion})
	}
	return func(yield func(event) bool) {
		if !yield(named("message_start", "message", message)) {
			return
		}
		if t.Malformed != GarbleEmpty {
			for e := range f.blocks(s, t) {
				if !yield(e) {
					return
				}
			}
		}
		_ = yield(event{name: "message_delta", data: marshal(last), end: true}) &&
			yield(event{name: "message_stop", data: []byte(`{"type":"message_stop"}`), end: true})
	}
}

// named is an event whose data has the type of its name.
func named(name string, fields ...any) event {
	return event{name: name, data: marshal(append(object{"type", name}, fields...))}
}

// blocks are the events of the content.
func (f anthropic) blocks(s *Server, t *Turn) iter.Seq[event] {
	return func(yield func(event) bool) {
		index, pinged := 0, false
		speaks := t.Text+t.Refusal != "" || t.Fill > 0 || t.Endless
		last := len(t.Calls) - 1 // the index of the last block
		if speaks {
			last++
		}
		block := func(start object, pieces iter.Seq[object]) bool {
			if !yield(named("content_block_start", "index", index, "content_block", start)) {
				return false
			}
			if !pinged && !yield(event{name: "ping", data: []byte(`{"type": "ping"}`)}) {
				return false
			}
			pinged = true
			for delta := range pieces {
				if !yield(named("content_block_delta", "index", index, "delta", delta)) {
					return false
				}
			}
			stop := named("content_block_stop", "index", index)
			stop.end = index >= last
			index++
			return yield(stop)
		}
		if speaks {
			if !block(object{"type", "text", "text", ""}, f.texts(t)) {
				return
			}
		}
		for _, c := range t.Calls {
			if !block(object{"type", "tool_use", "id", callID(s, c, "toolu_01"), "name", c.Name, "input", object{}}, f.arguments(c)) {
				return
			}
		}
	}
}

func (anthropic) texts(t *Turn) iter.Seq[object] {
	said := *t
	said.Text += t.Refusal
	return func(yield func(object) bool) {
		for piece := range said.pieces() {
			if !yield(object{"type", "text_delta", "text", piece}) {
				return
			}
		}
	}
}

func (anthropic) arguments(c Call) iter.Seq[object] {
	return func(yield func(object) bool) {
		if !yield(object{"type", "input_json_delta", "partial_json", ""}) {
			return
		}
		for _, piece := range split(c.Arguments) {
			if !yield(object{"type", "input_json_delta", "partial_json", piece}) {
				return
			}
		}
	}
}

func (anthropic) failure(f *failure, requestID string) []byte {
	return marshal(object{"type", "error", "error", object{"type", f.kind, "message", f.message}, "request_id", requestID})
}

func (anthropic) late(f *failure, requestID string) event {
	return event{name: "error", data: marshal(object{"type", "error", "error", object{"type", f.kind, "message", f.message, "details", nil}, "request_id", requestID})}
}

func (anthropic) garbled(g Garble, stream bool) []byte {
	before := `{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-5","stop_reason":"end_turn","content":[{"type":"text","text":"a","x":`
	if stream {
		before = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a","x":`
	}
	switch {
	case g == GarbleJSON:
		return []byte(before + `"unfin`)
	case g == GarbleShape && stream:
		return []byte(`{"type":"content_block_delta","index":"first","delta":["text_delta"]}`)
	case g == GarbleShape:
		return []byte(`{"id":7,"type":"message","role":["assistant"],"content":"text","stop_reason":{},"usage":"none"}`)
	case g == GarbleDeep && stream:
		return deep(before, `}}`)
	case g == GarbleDeep:
		return deep(before, `}]}`)
	}
	return []byte(`{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-5","stop_reason":"end_turn","content":[],"usage":{"input_tokens":1,"output_tokens":1}}`)
}

func (anthropic) models(s *Server, path string) ([]byte, *failure) {
	model := func(name string) object {
		return object{"type", "model", "id", name, "display_name", name, "created_at", "2025-02-19T00:00:00Z"}
	}
	if name := strings.Trim(strings.TrimPrefix(path, "/v1/models"), "/"); name != "" {
		if !s.plays(name) {
			return nil, &failure{status: 404, kind: "not_found_error", message: "model: " + name}
		}
		return marshal(model(name)), nil
	}
	list, first, last := []object{}, any(nil), any(nil)
	for _, name := range s.names() {
		if list = append(list, model(name)); first == nil {
			first = name
		}
		last = name
	}
	return marshal(object{"data", list, "has_more", false, "first_id", first, "last_id", last}), nil
}
