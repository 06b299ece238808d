package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
)

// Bounds of what a model sees of a server's tools.
const (
	maxTools       = 512
	maxDescription = 4 << 10
	maxName        = 64
)

// tool is one of a server, as it describes it.
type tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"inputSchema"`
}

// Tools are the server's tools as a model may be offered them: their names fit [model.Tool], and are unique within the session. What a server
// says of its tools is data from outside. It asks the server once.
func (s *Session) Tools(ctx context.Context) ([]model.Tool, error) {
	s.mu.Lock()
	known := s.tools
	s.mu.Unlock()
	if known == nil {
		raw, err := s.listTools(ctx)
		if err != nil {
			return nil, err
		}
		var list struct {
			Tools []tool `json:"tools"`
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("Invalid JSON response: %s", cut(err.Error(), maxText)) //nolint:staticcheck // the text of spec 8.9
		}
		if len(list.Tools) > maxTools {
			return nil, executors.Invalid(ID, fmt.Sprintf("the server has %d tools, and an agent may be offered %d of a server", len(list.Tools), maxTools))
		}
		known = append([]tool{}, list.Tools...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tools, s.names = known, map[string]string{}
	tools := make([]model.Tool, 0, len(known))
	seen := map[string]bool{}
	for _, t := range known {
		if t.Name == "" || seen[t.Name] {
			continue // it can't be called, or is the one before
		}
		seen[t.Name] = true
		name := s.unique(t.Name)
		s.names[name] = t.Name
		schema := t.Schema
		if len(schema) == 0 || string(schema) == "null" {
			schema = json.RawMessage(`{"type":"object"}`)
		}
		tools = append(tools, model.Tool{Name: name, Description: cut(t.Description, maxDescription), Schema: schema})
	}
	return tools, nil
}

// unique is a tool's name for models: with the server's before it, of letters that models take, and not another's. The caller holds mu.
func (s *Session) unique(name string) string {
	whole := name
	if s.server.Name != "" {
		whole = s.server.Name + "__" + name
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, whole)
	const tail = 8
	unique := plain
	for n := 0; ; n++ {
		if _, taken := s.names[unique]; len(unique) <= maxName && !taken {
			return unique
		}
		sum := sha256.Sum256(append([]byte(whole), make([]byte, n)...)) // another one if a server has a name that looks like it
		unique = plain[:min(len(plain), maxName-tail-1)] + "_" + hex.EncodeToString(sum[:tail/2])
	}
}

// Answer is what a tool answered.
type Answer struct {
	Parts      []model.Part    // texts and images, in their order; of what else there is, a text tells
	Structured json.RawMessage // nil: none
	Failed     bool            // the tool says so; Parts tell why
	Result     json.RawMessage // all of it, as it came
}

// Text is the answer's texts as one.
func (a *Answer) Text() string {
	var texts []string
	for _, p := range a.Parts {
		if p.Text != "" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// CallTool calls a tool by a name that [Session.Tools] gave. arguments are a JSON object, or nil. An error is of the connection or the protocol,
// classed, or says that there is no such tool; a tool that failed is an answer.
func (s *Session) CallTool(ctx context.Context, name string, arguments json.RawMessage) (*Answer, error) {
	s.mu.Lock()
	theirs, ok := s.names[name]
	s.mu.Unlock()
	if !ok {
		return nil, executors.Invalid(ID, fmt.Sprintf("the server has no tool %.100q", name))
	}
	if len(arguments) == 0 || string(arguments) == "null" {
		arguments = json.RawMessage(`{}`)
	}
	if json.Unmarshal(arguments, &map[string]json.RawMessage{}) != nil {
		return nil, executors.Invalid(ID, fmt.Sprintf("the arguments of tool %.100q must be a JSON object", name))
	}
	raw, err := s.callTool(ctx, theirs, arguments)
	if err != nil {
		return nil, err
	}
	return answer(raw), nil
}

// block is a piece of content.
type block struct {
	Type, Text, Data, MimeType, URI, Name string
	Resource                              *struct{ URI, MimeType, Text, Blob string }
}

// answer reads a result.
func answer(raw json.RawMessage) *Answer {
	var r struct {
		Content    []json.RawMessage `json:"content"`
		Structured json.RawMessage   `json:"structuredContent"`
	}
	_ = json.Unmarshal(raw, &r) // what can't be read is in Result all the same
	a := &Answer{Structured: r.Structured, Failed: failed(raw), Result: raw}
	for _, one := range r.Content {
		var b block
		if json.Unmarshal(one, &b) != nil {
			continue
		}
		a.Parts = append(a.Parts, b.part())
	}
	if len(a.Parts) == 0 && a.Structured != nil {
		a.Parts = []model.Part{{Text: string(a.Structured)}}
	}
	return a
}

func (b *block) part() model.Part {
	switch b.Type {
	case "text":
		return model.Part{Text: b.Text}
	case "image":
		return picture(b.Data, b.MimeType)
	case "resource":
		if b.Resource == nil {
			break
		}
		if b.Resource.Blob == "" {
			return model.Part{Text: b.Resource.Text}
		}
		return picture(b.Resource.Blob, b.Resource.MimeType)
	case "resource_link":
		return model.Part{Text: fmt.Sprintf("[resource %s: %s]", cut(b.Name, 200), cut(b.URI, 1000))}
	case "audio":
		return model.Part{Text: fmt.Sprintf("[%s, not shown]", cut(b.MimeType, 100))}
	}
	return model.Part{Text: fmt.Sprintf("[content of type %s, not shown]", cut(b.Type, 100))}
}

// picture is an image, if it is one that models take.
func picture(data, kind string) model.Part {
	switch kind {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		if raw, err := base64.StdEncoding.DecodeString(data); err == nil {
			return model.Part{Image: raw, MediaType: kind}
		}
	}
	return model.Part{Text: fmt.Sprintf("[%s, not shown]", cut(kind, 100))}
}
