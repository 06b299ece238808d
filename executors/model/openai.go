package model

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// openAI is the format of OpenAI's chat completions.
type openAI struct{}

func (openAI) path(*url.URL) string { return "/chat/completions" }

func (openAI) faults(*Request) []string { return nil }

func (openAI) authorize(h http.Header, r *route) {
	switch {
	case r.key == "":
	case r.known.azure:
		h.Set("Api-Key", r.key)
	default:
		h.Set("Authorization", "Bearer "+r.key)
	}
}

func (w openAI) encode(q *question) ([]byte, error) {
	messages := make([]any, len(q.Messages))
	for i := range q.Messages {
		messages[i] = w.message(&q.Messages[i])
	}
	b := body{"model": q.route.name, "messages": messages}
	if q.Temperature != nil {
		b["temperature"] = *q.Temperature
	}
	if q.max > 0 {
		field := "max_tokens"
		if q.route.known.hasGPT && newer.MatchString(q.route.name) {
			field = "max_completion_tokens"
		}
		b[field] = q.max
	}
	if q.Stream {
		b["stream"] = true
		if !q.route.known.noUsage && !q.plainUsage {
			b["stream_options"] = map[string]any{"include_usage": true}
		}
	}
	if len(q.Tools) > 0 {
		tools := make([]any, len(q.Tools))
		for i, t := range q.Tools {
			tools[i] = map[string]any{"type": "function", "function": map[string]any{"name": t.Name, "description": t.Description, "parameters": schemaOf(t)}}
		}
		b["tools"] = tools
		switch q.ToolChoice {
		case "":
		case "auto", "none", "required":
			b["tool_choice"] = q.ToolChoice
		default:
			b["tool_choice"] = map[string]any{"type": "function", "function": map[string]any{"name": q.ToolChoice}}
		}
	}
	if q.Schema != nil {
		b["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "answer", "schema": q.Schema, "strict": strict(q.Schema)}}
	}
	return b.encode(q.Extra)
}

// schemaOf are a tool's arguments.
func schemaOf(t Tool) json.RawMessage {
	if len(t.Schema) == 0 {
		return json.RawMessage(`{"type":"object","properties":{}}`)
	}
	return t.Schema
}

func (w openAI) message(m *Message) any {
	out := map[string]any{"role": m.Role}
	if m.Name != "" {
		out["name"] = m.Name
	}
	if m.Role == ToolRole {
		out["tool_call_id"] = m.CallID
		out["content"] = m.Text()
		return out
	}
	out["content"] = w.content(m)
	if len(m.Calls) == 0 {
		return out
	}
	calls := make([]any, len(m.Calls))
	for i, c := range m.Calls {
		calls[i] = map[string]any{"id": c.ID, "type": "function", "function": map[string]any{"name": c.Name, "arguments": string(c.Arguments)}}
	}
	out["tool_calls"] = calls
	return out
}

// content is a text if there is nothing else; null if there is nothing.
func (openAI) content(m *Message) any {
	plain := true
	for _, p := range m.Parts {
		plain = plain && p.ImageURL == "" && p.Image == nil
	}
	switch {
	case len(m.Parts) == 0 && len(m.Calls) > 0:
		return nil
	case plain:
		return m.Text()
	}
	var parts []any
	for _, p := range m.Parts {
		address := p.ImageURL
		if p.Image != nil {
			address = "data:" + p.MediaType + ";base64," + base64.StdEncoding.EncodeToString(p.Image)
		}
		if address == "" {
			parts = append(parts, map[string]any{"type": "text", "text": p.Text})
			continue
		}
		image := map[string]any{"url": address}
		if p.Detail != "" {
			image["detail"] = p.Detail
		}
		parts = append(parts, map[string]any{"type": "image_url", "image_url": image})
	}
	return parts
}

// openAIUsage is what a completion says of its usage.
type openAIUsage struct {
	Prompt     count `json:"prompt_tokens"`
	Completion count `json:"completion_tokens"`
	Details    *struct {
		Cached count `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	Hit count `json:"prompt_cache_hit_tokens"` // of DeepSeek
}

func (u *openAIUsage) into(d *draft) {
	if u == nil {
		return
	}
	cached := u.Hit
	if u.Details != nil {
		cached = u.Details.Cached
	}
	d.usage.raise(int64(u.Prompt), int64(u.Completion), int64(cached))
}

// openAIMessage is a message, or what an event adds to one.
type openAIMessage struct {
	Content *string         `json:"content"`
	Refusal *string         `json:"refusal"`
	Calls   few[openAICall] `json:"tool_calls"`
}

type openAICall struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// openAIAnswer is a completion, or an event of one.
type openAIAnswer struct {
	ID      string            `json:"id"`
	Model   string            `json:"model"`
	Created count             `json:"created"`
	Choices few[openAIChoice] `json:"choices"`
	Usage   *openAIUsage      `json:"usage"`
	Error   json.RawMessage   `json:"error"`
}

type openAIChoice struct {
	Index   int            `json:"index"`
	Message *openAIMessage `json:"message"`
	Delta   *openAIMessage `json:"delta"`
	Finish  *string        `json:"finish_reason"`
}

func (a *openAIAnswer) into(d *draft) {
	if a.ID != "" {
		d.id = a.ID
	}
	if a.Model != "" {
		d.model = a.Model
	}
	if a.Created != 0 {
		d.created = int64(a.Created)
	}
	a.Usage.into(d)
}

func (w openAI) decode(_ *question, text []byte, to *draft) error {
	var a openAIAnswer
	if err := unmarshal(text, &a); err != nil {
		return err
	}
	if fault := inBand(a.Error); fault != nil {
		return fault
	}
	a.into(to)
	if len(a.Choices) == 0 {
		return errors.New("it has no choices")
	}
	for i := range a.Choices {
		if a.Choices[i].Message == nil {
			return errors.New("it has a choice without a message")
		}
		for n := range a.Choices[i].Message.Calls {
			a.Choices[i].Message.Calls[n].Index = &n
		}
		if _, err := w.add(to, a.Choices[i].Index, a.Choices[i].Message, a.Choices[i].Finish); err != nil {
			return err
		}
	}
	to.whole = text
	return nil
}

func (w openAI) event(_ *question, e event, to *draft) (text string, last bool, err error) {
	if string(e.data) == "[DONE]" {
		return "", true, nil
	}
	var a openAIAnswer
	if err := unmarshal(e.data, &a); err != nil {
		return "", false, err
	}
	if fault := inBand(a.Error); fault != nil {
		return "", false, fault
	}
	a.into(to)
	for i := range a.Choices {
		c := &a.Choices[i]
		message := c.Delta
		if message == nil {
			message = &openAIMessage{}
		}
		added, err := w.add(to, c.Index, message, c.Finish)
		if err != nil {
			return text, false, err
		}
		if c.Index == 0 {
			text += added
		}
	}
	return text, false, nil
}

// add adds a message, or a part of one, to a choice.
func (openAI) add(to *draft, index int, m *openAIMessage, finish *string) (text string, err error) {
	c, err := to.choice(index)
	if err != nil {
		return "", err
	}
	if m.Content != nil {
		text = *m.Content
		c.text.WriteString(text)
	}
	if m.Refusal != nil {
		c.refusal.WriteString(*m.Refusal)
	}
	for i := range m.Calls {
		part := &m.Calls[i]
		call, err := c.openAICall(part.Index, part.ID, part.Function.Name)
		if err != nil {
			return text, err
		}
		call.arguments.WriteString(part.Function.Arguments)
	}
	if finish != nil && *finish != "" {
		c.finish = openAIFinish(*finish)
	}
	return text, nil
}

// openAICall is the call of a tool that a part belongs to. Some services leave the index out: then a new id begins a new call.
func (c *choice) openAICall(index *int, id, name string) (*toolCall, error) {
	at := len(c.calls)
	switch {
	case index != nil:
		at = *index
	case len(c.calls) > 0 && (id == "" || id == c.calls[len(c.calls)-1].id):
		at = len(c.calls) - 1
	}
	if at < 0 || at > len(c.calls) {
		return nil, fmt.Errorf("it has call %d of a tool after %d", at, len(c.calls))
	}
	if at == len(c.calls) {
		return c.call(id, name)
	}
	call := c.calls[at]
	if call.id == "" {
		call.id = id
	}
	if call.name == "" {
		call.name = name
	}
	return call, nil
}

func openAIFinish(reason string) string {
	switch reason {
	case "function_call":
		return "tool_calls"
	case "max_tokens":
		return "length"
	}
	return reason[:min(len(reason), maxReason)]
}

// maxReason bounds what is kept of a reason that the format does not have.
const maxReason = 100
