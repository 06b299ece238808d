package llm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	"github.com/taskgrove/taskgrove/executors/model"
)

// message is one of OpenAI's form.
type message struct {
	Role    string          `json:"role"`
	Name    string          `json:"name"`
	Content json.RawMessage `json:"content"`
	CallID  string          `json:"tool_call_id"`
	Calls   []ToolCall      `json:"tool_calls"`
}

// part is a part of its content.
type part struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Image struct {
		URL    string `json:"url"`
		Detail string `json:"detail"`
	} `json:"image_url"`
}

func (p *plan) readMessage(at string, raw json.RawMessage, values values) {
	var from message
	if err := json.Unmarshal(raw, &from); err != nil || len(raw) == 0 || raw[0] != '{' {
		p.fault("%s must be an object of role and content", at)
		return
	}
	m := model.Message{Role: model.Role(from.Role), Name: from.Name, CallID: from.CallID}
	if from.Role == "developer" {
		m.Role = model.System
	}
	for _, c := range from.Calls {
		m.Calls = append(m.Calls, model.ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: json.RawMessage(c.Function.Arguments)})
	}
	var text string
	var parts []part
	switch content := bytes.TrimSpace(from.Content); {
	case !given(content) && len(m.Calls) > 0:
	case given(content) && json.Unmarshal(content, &text) == nil:
		m.Parts = []model.Part{{Text: p.fill(at+".content", text, values)}}
	case given(content) && json.Unmarshal(content, &parts) == nil:
		for i, one := range parts {
			m.Parts = append(m.Parts, p.readPart(fmt.Sprintf("%s.content[%d]", at, i), one, values))
		}
	default:
		p.fault("%s.content must be a text, or a list of parts of the types text and image_url", at)
	}
	p.request.Messages = append(p.request.Messages, m)
}

func (p *plan) readPart(at string, from part, values values) (out model.Part) {
	switch from.Type {
	case "text":
		out.Text = p.fill(at+".text", from.Text, values)
	case "image_url":
		address := p.fill(at+".image_url.url", from.Image.URL, values)
		out.Detail = from.Image.Detail
		if !strings.HasPrefix(address, "data:") {
			out.ImageURL = address
			if address == "" {
				p.fault("%s.image_url.url is missing", at)
			}
			return out
		}
		var err error
		if out.MediaType, out.Image, err = dataURL(address); err != nil {
			p.fault("%s.image_url.url %v", at, err)
		}
	default:
		p.fault("%s: type %.40q is not text or image_url", at, from.Type)
	}
	return out
}

// dataURL is what a data URL in base64 holds.
func dataURL(text string) (mediaType string, data []byte, err error) {
	head, body, ok := strings.Cut(strings.TrimPrefix(text, "data:"), ",")
	head, encoded := strings.CutSuffix(head, ";base64")
	mediaType, _, bad := mime.ParseMediaType(head)
	if !ok || !encoded || bad != nil {
		return "", nil, fmt.Errorf("must be data:image/…;base64,…")
	}
	if data, err = base64.StdEncoding.DecodeString(body); err != nil || len(data) == 0 {
		return "", nil, fmt.Errorf("holds no base64")
	}
	return mediaType, data, nil
}
