package modeltest

import (
	"fmt"
	"slices"
	"strings"
)

// messages looks at the conversation. Roles must alternate: Anthropic's own service has come to join messages of one role, but others
// that speak its format refuse them.
func (f anthropic) messages(r *Request, body map[string]any) *failure {
	list, _ := body["messages"].([]any)
	if len(list) == 0 {
		return invalid("messages: at least one message is required")
	}
	before := ""
	if last, _ := list[len(list)-1].(map[string]any); last["role"] == "assistant" && unsampled.MatchString(r.Model) {
		return invalid("This model does not support assistant message prefill. The conversation must end with a user message.")
	}
	for i, v := range list {
		at := fmt.Sprintf("messages.%d", i)
		m, ok := v.(map[string]any)
		if !ok {
			return invalid("%s: Input should be an object", at)
		}
		role := text(m["role"])
		switch {
		case m["role"] == nil:
			return invalid("%s.role: Field required", at)
		case role == "system":
			return invalid("messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.")
		case role != "user" && role != "assistant":
			return invalid("messages: Unexpected role \"%s\". Allowed roles are \"user\" or \"assistant\"", role)
		case i == 0 && role != "user":
			return invalid("messages: first message must use the \"user\" role")
		case role == before:
			return invalid("messages: roles must alternate between \"user\" and \"assistant\", but found multiple \"%s\" roles in a row", role)
		}
		before = role
		for _, name := range sorted(m) {
			if name != "role" && name != "content" {
				return invalid("%s.%s: Extra inputs are not permitted", at, name)
			}
		}
		if why := f.message(r, role, m["content"], at, i == len(list)-1); why != nil {
			return why
		}
	}
	return nil
}

// message reads one: its texts, and each answer of a tool as a message of its own.
func (f anthropic) message(r *Request, role string, content any, at string, last bool) *failure {
	m := Message{Role: role}
	switch content := content.(type) {
	case string:
		m.Text = content
	case []any:
		for i, v := range content {
			block, ok := v.(map[string]any)
			if !ok {
				return invalid("%s.content.%d: Input should be an object", at, i)
			}
			if why := f.block(r, &m, block, fmt.Sprintf("%s.content.%d", at, i)); why != nil {
				return why
			}
		}
	case nil:
		return invalid("%s.content: Field required", at)
	default:
		return invalid("%s.content: Input should be a valid list", at)
	}
	empty := m.Text == "" && len(m.Calls) == 0 && len(m.Images) == 0 && (len(r.Messages) == 0 || r.Messages[len(r.Messages)-1].Role != "tool")
	if empty && !(last && role == "assistant") {
		return invalid("%s: all messages must have non-empty content except for the optional final assistant message", at)
	}
	if last && role == "assistant" && strings.TrimRight(m.Text, " \t\n\r") != m.Text {
		return invalid("messages: final assistant content cannot end with trailing whitespace")
	}
	if m.Text != "" || len(m.Calls) > 0 || len(m.Images) > 0 {
		r.Messages = append(r.Messages, m)
	}
	return nil
}

func (f anthropic) block(r *Request, m *Message, block map[string]any, at string) *failure {
	switch kind := text(block["type"]); {
	case kind == "text":
		if said, ok := block["text"].(string); !ok {
			return invalid("%s.text.text: Field required", at)
		} else if said == "" {
			return invalid("messages: text content blocks must be non-empty")
		} else if strings.TrimSpace(said) == "" {
			return invalid("messages: text content blocks must contain non-whitespace text")
		}
		m.Text += text(block["text"])
	case kind == "image" && m.Role == "user":
		return f.image(m, block, at)
	case kind == "tool_use" && m.Role == "assistant":
		return f.toolUse(m, block, at)
	case kind == "tool_result" && m.Role == "user":
		return f.toolResult(r, block, at)
	case kind == "tool_use", kind == "tool_result", kind == "image":
		return invalid("%s: `%s` blocks can not be in `%s` messages", strings.Split(at, ".content")[0], kind, m.Role)
	case kind == "":
		return invalid("%s.type: Field required", at)
	default:
		return invalid("%s: Input tag '%s' found using 'type' does not match any of the expected tags: 'document', 'image', 'redacted_thinking', 'text', 'thinking', "+
			"'tool_result', 'tool_use'", at, kind)
	}
	return nil
}

func (anthropic) image(m *Message, block map[string]any, at string) *failure {
	source, _ := block["source"].(map[string]any)
	switch text(source["type"]) {
	case "url":
		url := text(source["url"])
		if !strings.HasPrefix(url, "https://") {
			return invalid("%s.image.source.url: Only HTTPS URLs are supported.", at)
		}
		m.Images = append(m.Images, url)
	case "base64":
		mediaType, data := text(source["media_type"]), text(source["data"])
		if !slices.Contains(imageTypes, mediaType) {
			return invalid("%s.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'", at)
		}
		if strings.HasPrefix(data, "data:") {
			return invalid("%s.image.source.base64.data: Base64 data should not have a data: prefix", at)
		}
		if why := imageFault(data, mediaType); why == "base64" {
			return invalid("%s.image.source.base64: invalid base64 data", at)
		} else if slices.Contains(imageTypes, why) {
			return invalid("%s.image.source.base64.data: Image does not match the provided media type %s", at, mediaType)
		} else if why != "" {
			return invalid("Could not process image")
		}
		m.Images = append(m.Images, "data:"+mediaType+";base64,"+data)
	default:
		return invalid("%s.image.source: Input tag '%s' found using 'type' does not match any of the expected tags: 'base64', 'file', 'url'", at, text(source["type"]))
	}
	return nil
}

func (anthropic) toolUse(m *Message, block map[string]any, at string) *failure {
	input, ok := block["input"].(map[string]any)
	switch {
	case text(block["id"]) == "":
		return invalid("%s.tool_use.id: Field required", at)
	case !anthropicID.MatchString(text(block["id"])):
		return invalid("%s.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'", at)
	case text(block["name"]) == "":
		return invalid("%s.tool_use.name: Field required", at)
	case block["input"] == nil:
		return invalid("%s.tool_use.input: Field required", at)
	case !ok:
		return invalid("%s.tool_use.input: Input should be an object", at)
	case slices.ContainsFunc(m.Calls, func(c Call) bool { return c.ID == text(block["id"]) }):
		return invalid("messages: `tool_use` ids must be unique")
	}
	m.Calls = append(m.Calls, Call{ID: text(block["id"]), Name: text(block["name"]), Arguments: string(marshal(input))})
	return nil
}

func (f anthropic) toolResult(r *Request, block map[string]any, at string) *failure {
	id := text(block["tool_use_id"])
	if id == "" {
		return invalid("%s.tool_result.tool_use_id: Field required", at)
	}
	result := Message{Role: "tool", CallID: id, IsError: block["is_error"] == true}
	switch content := block["content"].(type) {
	case nil:
	case string:
		result.Text = content
	case []any:
		inner := Message{Role: "user"}
		for i, v := range content {
			part, _ := v.(map[string]any)
			if kind := text(part["type"]); kind != "text" && kind != "image" {
				return invalid("%s.tool_result.content.%d: Input tag '%s' found using 'type' does not match any of the expected tags: 'image', 'text'", at, i, kind)
			}
			if why := f.block(r, &inner, part, fmt.Sprintf("%s.tool_result.content.%d", at, i)); why != nil {
				return why
			}
		}
		result.Text, result.Images = inner.Text, inner.Images
	default:
		return invalid("%s.tool_result.content: Input should be a valid list", at)
	}
	r.Messages = append(r.Messages, result)
	return nil
}

// pairs looks whether each use of a tool has its result at the head of the next message, and each result its use in the message before.
func (anthropic) pairs(_ *Request, body map[string]any) *failure {
	list, _ := body["messages"].([]any)
	var open []string
	for i, v := range list {
		m, _ := v.(map[string]any)
		results, misplaced := heads(m)
		for n, id := range results {
			if !slices.Contains(open, id) {
				return invalid("messages.%d.content.%d: unexpected `tool_use_id` found in `tool_result` blocks: %s. Each `tool_result` block must have a corresponding `tool_use` "+
					"block in the previous message.", i, n, id)
			}
		}
		missing := slices.DeleteFunc(slices.Clone(open), func(id string) bool { return slices.Contains(results, id) && !slices.Contains(misplaced, id) })
		if len(missing) > 0 {
			return lacking(i-1, missing)
		}
		open = uses(m)
	}
	if len(open) > 0 {
		return lacking(len(list)-1, open)
	}
	return nil
}

func lacking(at int, ids []string) *failure {
	return invalid("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s. Each `tool_use` block must have a corresponding `tool_result` "+
		"block in the next message.", at, strings.Join(ids, ", "))
}

// heads are the results that a message has, and those of them that come after something else.
func heads(m map[string]any) (results, misplaced []string) {
	blocks, _ := m["content"].([]any)
	other := false
	for _, v := range blocks {
		block, _ := v.(map[string]any)
		if text(block["type"]) != "tool_result" {
			other = true
			continue
		}
		results = append(results, text(block["tool_use_id"]))
		if other {
			misplaced = append(misplaced, text(block["tool_use_id"]))
		}
	}
	return results, misplaced
}

// uses are the ids of a message's uses of tools.
func uses(m map[string]any) []string {
	var ids []string
	blocks, _ := m["content"].([]any)
	for _, v := range blocks {
		if block, _ := v.(map[string]any); text(block["type"]) == "tool_use" {
			ids = append(ids, text(block["id"]))
		}
	}
	return ids
}
