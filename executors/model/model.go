// Package model asks language models: OpenAI's and Anthropic's wire formats, and every service that speaks one of them.
//
// It owns conversations as both formats have them, the providers with their addresses and keys (spec 5.7), streaming, the classing of
// errors, and the account of each call: budget, usage, cost, span. It must not know what a conversation is for: the executors of models,
// agents and generated trees do.
package model

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Role says who speaks.
type Role string

// The roles.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool" // the answer of a tool
)

// Message is one of a conversation.
type Message struct {
	Role  Role
	Name  string // of who speaks, if several have the role; a format that has no names drops it
	Parts []Part
	Calls []ToolCall // of an assistant
	// Of a tool's answer: the call that it answers, and whether that failed.
	CallID string
	Failed bool
}

// Part is a piece of a message: a text, or an image by its address or its bytes.
type Part struct {
	Text      string
	ImageURL  string // https
	Image     []byte
	MediaType string // of Image: image/png, image/jpeg, image/gif or image/webp
	Detail    string // of an image: low, high or auto; empty: the service's own choice
}

// Text makes a message of one text.
func Text(role Role, text string) Message { return Message{Role: role, Parts: []Part{{Text: text}}} }

// Tool is one that a model may call.
type Tool struct {
	Name        string // [a-zA-Z0-9_-]{1,64}
	Description string
	Schema      json.RawMessage // of its arguments, a JSON Schema of an object
}

// ToolCall is a model's wish to call a tool. Arguments are as the model wrote them: JSON, or not.
type ToolCall struct {
	ID, Name  string
	Arguments json.RawMessage
}

// Request is one question to a model.
type Request struct {
	Models      []string // provider/model or model; the next one is asked if one can't answer
	Messages    []Message
	Tools       []Tool
	ToolChoice  string          // auto (or empty), none, required, or a tool's name
	Schema      json.RawMessage // the answer must be JSON of this schema; nil: text
	Temperature *float64
	MaxTokens   int                        // of the answer; 0: the provider's default
	Stream      bool                       // tell each token as a [executors.Piece]
	Agent       string                     // who asks, for pieces and spans
	Extra       map[string]json.RawMessage // further fields of the wire format, as they are
}

// Response is a model's answer.
type Response struct {
	Message Message
	Finish  string // stop, length, tool_calls, content_filter
	Model   string // that answered, as the service calls it
	Usage   executors.Usage
	// Estimated: the service did not say what it used, so the tokens in Usage are counted from the texts.
	Estimated bool
	Repaired  bool // the model was told what was wrong with its first answer, which did not fit the schema
	// Skipped are the models of the list that could not answer, in order.
	Skipped []Skipped
	// Completion is the answer as an OpenAI-shaped chat completion, whichever format it came in.
	Completion json.RawMessage
}

// Skipped is a model that could not answer, so that the next of the list was asked.
type Skipped struct {
	Model  string `json:"model"`
	Reason string `json:"reason"`
}

// Text is all text of a message.
func (m *Message) Text() string {
	if len(m.Parts) == 1 {
		return m.Parts[0].Text
	}
	var b strings.Builder
	for _, p := range m.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// Asker asks models on behalf of one attempt. Safe for concurrent use.
type Asker interface {
	// Ask returns an answer, or an error that is classed: permanent, or when to try again. Budget, usage, pieces and spans are its affair.
	// After an error the response may hold what had arrived until then.
	Ask(ctx context.Context, r *Request) (*Response, error)
}
