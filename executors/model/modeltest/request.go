package modeltest

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
)

// Request is one that came, in the words of both formats.
type Request struct {
	Format string // openai or anthropic
	Method string
	Path   string
	Header http.Header
	Body   json.RawMessage

	Model      string
	Stream     bool
	Messages   []Message // the system's text first
	Tools      []Tool
	ToolChoice json.RawMessage
	Schema     json.RawMessage // that the answer must have
	MaxTokens  int64           // 0: not said

	refused atomic.Pointer[string]
	left    atomic.Bool
	ended   chan struct{}
	noUsage bool // OpenAI streams: usage was not asked for
}

// Message is one of a conversation.
type Message struct {
	Role    string // system (developer too), user, assistant or tool
	Text    string
	Images  []string // addresses, data: ones too
	Calls   []Call
	CallID  string // of a tool's answer
	IsError bool   // of a tool's answer; only Anthropic has it
}

// Tool is one that the model may call.
type Tool struct {
	Name, Description string
	Schema            json.RawMessage
	Strict            bool
}

// Refused is why the service refused the request by itself; empty: it did not.
func (r *Request) Refused() string {
	if text := r.refused.Load(); text != nil {
		return *text
	}
	return ""
}

// Ended is closed when the answer has ended, by whoever.
func (r *Request) Ended() <-chan struct{} { return r.ended }

// Left says that the client left before the answer had ended.
func (r *Request) Left() bool { return r.left.Load() }

// Conversation is all texts of the messages, calls of tools and descriptions of tools, one a line.
func (r *Request) Conversation() string {
	var b strings.Builder
	for _, m := range r.Messages {
		b.WriteString(m.Role + ": " + m.Text + "\n")
		for _, c := range m.Calls {
			b.WriteString("call: " + c.Name + " " + c.Arguments + "\n")
		}
	}
	for _, t := range r.Tools {
		b.WriteString("tool: " + t.Name + " " + t.Description + "\n")
	}
	return b.String()
}

// last is the text of the last message.
func (r *Request) last() string {
	if len(r.Messages) == 0 {
		return ""
	}
	return r.Messages[len(r.Messages)-1].Text
}

// tokens estimates how many tokens a text has: four bytes each.
func tokens(text string) int64 { return int64(len(text)+3) / 4 }

// promptTokens estimates what the request has.
func (r *Request) promptTokens() int64 {
	n := tokens(r.Conversation()) + 3
	for _, m := range r.Messages {
		n += 85 * int64(len(m.Images))
	}
	for _, t := range r.Tools {
		n += tokens(string(t.Schema))
	}
	return n
}
