package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Bounds of an answer besides its bytes.
const (
	maxCalls   = 128 // calls of tools
	maxChoices = 16
	maxDepth   = 200 // levels of JSON
	maxTokens  = 1 << 40
	maxParts   = 4096 // of a list in an answer: each takes more room here than in its text
)

var errShape = errors.New("it has another form than the format says")

// draft is an answer as far as it has come, in OpenAI's form.
type draft struct {
	id, model string
	created   int64
	choices   []*choice
	usage     usage
	served    bool // the service has begun to work, as far as is known
	anthropic anthropicState
	whole     json.RawMessage // the completion as the service wrote it; nil: it is made of the rest
}

// choice is one of the answers to a question, of which there usually is one.
type choice struct {
	text, refusal strings.Builder
	calls         []*toolCall
	finish        string
}

type toolCall struct {
	id, name  string
	arguments strings.Builder
}

// few is a list of an answer, which is refused before it is made if it is long.
type few[T any] []T

// errParts is about a list of more than [maxParts].
var errParts = fmt.Errorf("it has a list of more than %d parts", maxParts)

// UnmarshalJSON implements [json.Unmarshaler].
func (f *few[T]) UnmarshalJSON(text []byte) error {
	n := 0
	for range rawjson.Elements(text) {
		if n++; n > maxParts {
			return errParts
		}
	}
	return json.Unmarshal(text, (*[]T)(f))
}

// count is a number of tokens, whatever a service writes: not below 0, and not beyond reason.
type count int64

// UnmarshalJSON implements [json.Unmarshaler].
func (c *count) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		f = 0
	}
	*c = count(min(f, maxTokens))
	return nil
}

// usage is what a service says it used.
type usage struct {
	known                      bool
	prompt, completion, cached int64
}

// raise takes numbers of the whole answer over what was said of it before: later ones are no smaller. All of them 0 say nothing.
func (u *usage) raise(prompt, completion, cached int64) {
	u.prompt, u.completion, u.cached = max(u.prompt, prompt), max(u.completion, completion), max(u.cached, cached)
	u.known = u.prompt > 0 || u.completion > 0
}

func (u usage) usage() executors.Usage {
	return executors.Usage{Calls: 1, PromptTokens: u.prompt, CompletionTokens: u.completion, CachedTokens: min(u.cached, u.prompt)}
}

// choice is the one with an index.
func (d *draft) choice(index int) (*choice, error) {
	if index < 0 || index >= maxChoices {
		return nil, fmt.Errorf("it has choice %d, the most is %d", index, maxChoices-1)
	}
	for len(d.choices) <= index {
		d.choices = append(d.choices, &choice{})
	}
	return d.choices[index], nil
}

// call adds a call of a tool.
func (c *choice) call(id, name string) (*toolCall, error) {
	if len(c.calls) == maxCalls {
		return nil, fmt.Errorf("it has more than %d calls of tools", maxCalls)
	}
	made := &toolCall{id: id, name: name}
	c.calls = append(c.calls, made)
	return made, nil
}

// message is a choice's message.
func (c *choice) message(redact *secrets.Redactor) Message {
	m := Message{Role: Assistant}
	text := c.text.String()
	if text == "" {
		text = c.refusal.String()
	}
	if text != "" {
		m.Parts = []Part{{Text: redact.Text(clean(text))}}
	}
	for i, call := range c.calls {
		id := call.id
		if id == "" {
			id = "call_" + strconv.Itoa(i+1)
		}
		m.Calls = append(m.Calls, ToolCall{ID: redact.Text(clean(id)), Name: redact.Text(clean(call.name)), Arguments: redactedJSON(redact, call.arguments.String())})
	}
	return m
}

// redactedJSON is a text that a model wrote as JSON.
func redactedJSON(redact *secrets.Redactor, text string) json.RawMessage {
	if strings.TrimSpace(text) == "" {
		return json.RawMessage("{}")
	}
	if json.Valid([]byte(text)) {
		return redact.JSON([]byte(text))
	}
	return json.RawMessage(redact.Text(clean(text)))
}

// clean is a text that can be stored.
func clean(text string) string { return executors.Text([]byte(text)) }

// response is the answer as far as it has come.
func (d *draft) response(q *question, redact *secrets.Redactor) *Response {
	if len(d.choices) == 0 {
		d.choices = []*choice{{}}
	}
	first := d.choices[0]
	r := &Response{Message: first.message(redact), Finish: redact.Text(clean(first.finish)), Model: redact.Text(clean(d.model))}
	if first.refusal.Len() > 0 && first.text.Len() == 0 {
		r.Finish = "content_filter"
	}
	if r.Model == "" {
		r.Model = q.route.name
	}
	if d.whole != nil {
		r.Completion = redact.JSON(d.whole)
	} else {
		r.Completion = d.completion(r, redact)
	}
	return r
}

// completion is the whole in OpenAI's form.
func (d *draft) completion(r *Response, redact *secrets.Redactor) json.RawMessage {
	type function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	type call struct {
		ID       string   `json:"id"`
		Type     string   `json:"type"`
		Function function `json:"function"`
	}
	type message struct {
		Role    string  `json:"role"`
		Content *string `json:"content"`
		Refusal *string `json:"refusal,omitempty"`
		Calls   []call  `json:"tool_calls,omitempty"`
	}
	type choice struct {
		Index   int     `json:"index"`
		Message message `json:"message"`
		Finish  *string `json:"finish_reason"`
	}
	var choices []choice
	for i, c := range d.choices {
		one := choice{Index: i, Message: message{Role: string(Assistant)}}
		if c.text.Len() > 0 {
			one.Message.Content = new(redact.Text(clean(c.text.String())))
		}
		if c.refusal.Len() > 0 {
			one.Message.Refusal = new(redact.Text(clean(c.refusal.String())))
		}
		if c.finish != "" {
			one.Finish = new(redact.Text(clean(c.finish)))
		}
		m := c.message(redact)
		for _, made := range m.Calls {
			one.Message.Calls = append(one.Message.Calls, call{made.ID, "function", function{made.Name, string(made.Arguments)}})
		}
		choices = append(choices, one)
	}
	created := d.created
	if created == 0 {
		created = time.Now().Unix()
	}
	out := map[string]any{"id": redact.Text(clean(d.id)), "object": "chat.completion", "created": created, "model": r.Model, "choices": choices}
	if d.usage.known {
		out["usage"] = usageJSON(d.usage.usage())
	}
	text, _ := json.Marshal(out) // texts and numbers
	return text
}

// usageJSON is a usage in OpenAI's form.
func usageJSON(u executors.Usage) any {
	return map[string]any{
		"prompt_tokens": u.PromptTokens, "completion_tokens": u.CompletionTokens, "total_tokens": u.TotalTokens(),
		"prompt_tokens_details": map[string]any{"cached_tokens": u.CachedTokens},
	}
}

// unmarshal reads JSON from outside.
func unmarshal(text []byte, to any) error {
	if len(text) > maxDepth && rawjson.Depth(text) > maxDepth {
		return fmt.Errorf("it nests more than %d levels", maxDepth)
	}
	if err := json.Unmarshal(text, to); err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return errShape
		}
		if errors.Is(err, errParts) {
			return errParts
		}
		return errors.New("it is not JSON")
	}
	return nil
}
