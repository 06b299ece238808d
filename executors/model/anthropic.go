package model

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// anthropic is the format of Anthropic's messages.
type anthropic struct{}

const (
	anthropicVersion = "2023-06-01"
	// anthropicTokens is asked for where nobody says, as the format demands a number.
	anthropicTokens = 4096
	// answerTool is what the model calls to give an answer of a schema: the format has no other way.
	answerTool = "structured_answer"
)

// path: bases with and without the version are in use.
func (anthropic) path(base *url.URL) string {
	if strings.HasSuffix(strings.TrimSuffix(base.Path, "/"), "/v1") {
		return "/messages"
	}
	return "/v1/messages"
}

func (anthropic) authorize(h http.Header, r *route) {
	if r.key != "" {
		h.Set("X-Api-Key", r.key)
	}
	h.Set("Anthropic-Version", anthropicVersion)
}

func (anthropic) faults(r *Request) (faults []string) {
	if !slices.ContainsFunc(r.Messages, func(m Message) bool { return m.Role != System }) {
		faults = append(faults, "messages: Anthropic's format needs one of the user")
	}
	if strings.Contains(string(r.Extra["response_format"]), "json_object") {
		faults = append(faults, "response_format json_object: Anthropic's format has no such thing, use output_schema")
	}
	if r.Schema != nil && slices.ContainsFunc(r.Tools, func(t Tool) bool { return t.Name == answerTool }) {
		faults = append(faults, "tools: "+answerTool+" is how the answer itself comes")
	}
	return faults
}

// block is a part of a message.
type block map[string]any

func (w anthropic) encode(q *question) ([]byte, error) {
	b := body{"model": q.route.name, "max_tokens": q.max}
	if q.max <= 0 {
		b["max_tokens"] = anthropicTokens
	}
	system, messages := w.messages(q.Messages)
	if system != "" {
		b["system"] = system
	}
	b["messages"] = messages
	if q.Temperature != nil {
		b["temperature"] = *q.Temperature
	}
	if q.Stream {
		b["stream"] = true
	}
	w.tools(b, q)
	extra := map[string]json.RawMessage{}
	for name, value := range q.Extra {
		switch name {
		case "stop":
			b["stop_sequences"] = list(value)
		case "user":
			b["metadata"] = map[string]any{"user_id": value}
		case "parallel_tool_calls":
			if choice, ok := b["tool_choice"].(map[string]any); ok && string(value) == "false" && choice["type"] != "none" {
				choice["disable_parallel_tool_use"] = true
			}
		default:
			extra[name] = value
		}
	}
	return b.encode(extra)
}

// list is a text as a list of it.
func list(value json.RawMessage) any {
	if strings.HasPrefix(strings.TrimSpace(string(value)), "[") {
		return value
	}
	return []json.RawMessage{value}
}

func (anthropic) tools(b body, q *question) {
	var tools []any
	for _, t := range q.Tools {
		tools = append(tools, map[string]any{"name": t.Name, "description": t.Description, "input_schema": schemaOf(t)})
	}
	choice := map[string]any{"type": "auto"}
	switch q.ToolChoice {
	case "", "auto", "none":
		if q.ToolChoice == "none" {
			choice["type"] = "none"
		}
	case "required":
		choice["type"] = "any"
	default:
		choice = map[string]any{"type": "tool", "name": q.ToolChoice}
	}
	if q.Schema != nil {
		tools = append(tools, map[string]any{"name": answerTool, "description": "Give the answer. It must be called for the final answer, in place of text.", "input_schema": asObject(q.Schema)})
		switch {
		case len(q.Tools) == 0 || q.ToolChoice == "none":
			choice = map[string]any{"type": "tool", "name": answerTool}
		case q.ToolChoice == "" || q.ToolChoice == "auto":
			choice["type"] = "any"
		}
	}
	if len(tools) > 0 {
		b["tools"], b["tool_choice"] = tools, choice
	}
}

// messages are the texts of the system, and the rest, in turns.
func (w anthropic) messages(all []Message) (system string, out []block) {
	var texts []string
	for i := range all {
		m := &all[i]
		if m.Role == System {
			texts = append(texts, m.Text())
			continue
		}
		role, blocks := "user", w.blocks(m)
		if m.Role == Assistant {
			role = "assistant"
		}
		if len(blocks) == 0 {
			continue
		}
		if last := len(out) - 1; last >= 0 && out[last]["role"] == role {
			out[last]["content"] = append(out[last]["content"].([]block), blocks...)
			continue
		}
		out = append(out, block{"role": role, "content": blocks})
	}
	return strings.Join(texts, "\n\n"), out
}

func (anthropic) blocks(m *Message) (out []block) {
	if m.Role == ToolRole {
		result := block{"type": "tool_result", "tool_use_id": m.CallID}
		if text := m.Text(); text != "" {
			result["content"] = text
		}
		if m.Failed {
			result["is_error"] = true
		}
		return []block{result}
	}
	for _, p := range m.Parts {
		switch {
		case p.Image != nil:
			out = append(out, block{"type": "image", "source": block{"type": "base64", "media_type": p.MediaType, "data": base64.StdEncoding.EncodeToString(p.Image)}})
		case p.ImageURL != "":
			out = append(out, block{"type": "image", "source": block{"type": "url", "url": p.ImageURL}})
		case p.Text != "": // an empty one is refused
			out = append(out, block{"type": "text", "text": p.Text})
		}
	}
	for _, c := range m.Calls {
		out = append(out, block{"type": "tool_use", "id": c.ID, "name": c.Name, "input": argumentsOf(c)})
	}
	return out
}

// argumentsOf are those of a call as an object, which the format demands, whatever the model wrote.
func argumentsOf(c ToolCall) any {
	var object map[string]json.RawMessage
	if json.Unmarshal(c.Arguments, &object) == nil && object != nil {
		return c.Arguments
	}
	return block{"arguments": string(c.Arguments)}
}

// anthropicUsage is what a message says of its usage. What was read from the cache, or written to it, is not in input_tokens.
type anthropicUsage struct {
	Input    *count `json:"input_tokens"`
	Output   *count `json:"output_tokens"`
	Read     *count `json:"cache_read_input_tokens"`
	Creation *count `json:"cache_creation_input_tokens"`
}

// anthropicBlock is a part of an answer.
type anthropicBlock struct {
	Type  string          `json:"type"`
	Text  string          `json:"text"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

type anthropicMessage struct {
	Type    string              `json:"type"`
	ID      string              `json:"id"`
	Model   string              `json:"model"`
	Content few[anthropicBlock] `json:"content"`
	Stop    string              `json:"stop_reason"`
	Usage   *anthropicUsage     `json:"usage"`
	Error   json.RawMessage     `json:"error"`
}

// into takes what an event says over what those before it said: numbers are of the whole message.
func (u *anthropicUsage) into(d *draft, parts *[3]int64) {
	if u == nil {
		return
	}
	for i, n := range []*count{u.Input, u.Read, u.Creation} {
		if n != nil {
			parts[i] = max(parts[i], int64(*n))
		}
	}
	written := count(0)
	if u.Output != nil {
		written = *u.Output
	}
	d.usage.raise(parts[0]+parts[1]+parts[2], int64(written), parts[1])
}

func (w anthropic) decode(_ *question, text []byte, to *draft) error {
	var m anthropicMessage
	if err := unmarshal(text, &m); err != nil {
		return err
	}
	if fault := inBand(m.Error); fault != nil {
		return fault
	}
	if m.Type != "message" {
		return errors.New("it is no message")
	}
	to.id, to.model = m.ID, m.Model
	m.Usage.into(to, new([3]int64))
	c, err := to.choice(0)
	if err != nil {
		return err
	}
	for _, b := range m.Content {
		if err := c.take(&b, string(b.Input)); err != nil {
			return err
		}
	}
	c.finish = anthropicFinish(m.Stop)
	return nil
}

// take adds a block. The call of [answerTool] is the answer's text.
func (c *choice) take(b *anthropicBlock, input string) error {
	switch b.Type {
	case "text":
		c.text.WriteString(b.Text)
	case "tool_use":
		if b.Name == answerTool {
			c.text.Reset() // what it thought aloud before
			c.text.WriteString(input)
			return nil
		}
		call, err := c.call(b.ID, b.Name)
		if err != nil {
			return err
		}
		call.arguments.WriteString(input)
	}
	return nil
}

func anthropicFinish(reason string) string {
	switch reason {
	case "end_turn", "stop_sequence", "pause_turn":
		return "stop"
	case "max_tokens", "model_context_window_exceeded":
		return "length"
	case "tool_use":
		return "tool_calls"
	case "refusal":
		return "content_filter"
	}
	return reason[:min(len(reason), maxReason)]
}
