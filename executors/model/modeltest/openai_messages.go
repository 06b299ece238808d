package modeltest

import (
	"fmt"
	"slices"
	"strings"
)

// messages looks at the conversation.
func (f openAI) messages(r *Request, body map[string]any) *failure {
	list, _ := body["messages"].([]any)
	if len(list) == 0 {
		return refusal("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	for i, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return refusal(fmt.Sprintf("messages[%d]", i), "invalid_type", "Invalid type for 'messages[%d]': expected an object, but got %s instead.", i, kindOf(v))
		}
		if why := f.message(r, m, fmt.Sprintf("messages[%d]", i)); why != nil {
			return why
		}
	}
	return f.answered(r)
}

// messageFields are the fields of a message, by its role.
var messageFields = map[string][]string{
	"system": {"role", "content", "name"}, "developer": {"role", "content", "name"}, "user": {"role", "content", "name"},
	"assistant": {"role", "content", "name", "refusal", "audio", "tool_calls", "function_call", "annotations"},
	"tool":      {"role", "content", "tool_call_id"}, "function": {"role", "content", "name"},
}

func (f openAI) message(r *Request, m map[string]any, at string) *failure {
	role := text(m["role"])
	if m["role"] == nil {
		return refusal(at+".role", "missing_required_parameter", "Missing required parameter: '%s.role'.", at)
	}
	fields, ok := messageFields[role]
	if !ok {
		return refusal(at+".role", "invalid_value", "Invalid value: '%s'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", role)
	}
	for _, name := range sorted(m) {
		if !slices.Contains(fields, name) {
			return refusal(at+"."+name, "unknown_parameter", "Unknown parameter: '%s.%s'.", at, name)
		}
	}
	if role == "developer" {
		role = "system"
	}
	message := Message{Role: role, CallID: text(m["tool_call_id"])}
	if role == "tool" && message.CallID == "" {
		return refusal(at+".tool_call_id", "missing_required_parameter", "Missing required parameter: '%s.tool_call_id'.", at)
	}
	if why := f.toolCalls(&message, m, at); why != nil {
		return why
	}
	if why := f.content(&message, m, at); why != nil {
		return why
	}
	r.Messages = append(r.Messages, message)
	return nil
}

func (openAI) toolCalls(message *Message, m map[string]any, at string) *failure {
	list, ok := m["tool_calls"].([]any)
	if !ok {
		if m["tool_calls"] != nil {
			return refusal(at+".tool_calls", "invalid_type", "Invalid type for '%s.tool_calls': expected an array of objects, but got %s instead.", at, kindOf(m["tool_calls"]))
		}
		return nil
	}
	if len(list) == 0 {
		return refusal(at+".tool_calls", "empty_array", "Invalid '%s.tool_calls': empty array. Expected an array with minimum length 1, but got an empty array instead.", at)
	}
	for i, v := range list {
		at := fmt.Sprintf("%s.tool_calls[%d]", at, i)
		call, _ := v.(map[string]any)
		function, _ := call["function"].(map[string]any)
		for _, field := range []struct {
			name  string
			value any
		}{{"id", call["id"]}, {"type", call["type"]}, {"function.name", function["name"]}, {"function.arguments", function["arguments"]}} {
			if _, ok := field.value.(string); !ok && field.value != nil {
				return refusal(at+"."+field.name, "invalid_type", "Invalid type for '%s.%s': expected a string, but got %s instead.", at, field.name, kindOf(field.value))
			}
			if field.value == nil {
				return refusal(at+"."+field.name, "missing_required_parameter", "Missing required parameter: '%s.%s'.", at, field.name)
			}
		}
		if !openAIName.MatchString(text(function["name"])) {
			return refusal(at+".function.name", "invalid_value", "Invalid '%s.function.name': string does not match pattern. Expected a string that matches the pattern "+
				"'^[a-zA-Z0-9_-]+$'.", at)
		}
		if len(text(call["id"])) > 40 {
			return refusal(at+".id", "string_above_max_length", "Invalid '%s.id': string too long. Expected a string with maximum length 40, but got a string with length %d instead.",
				at, len(text(call["id"])))
		}
		message.Calls = append(message.Calls, Call{ID: text(call["id"]), Name: text(function["name"]), Arguments: text(function["arguments"])})
	}
	return nil
}

func (f openAI) content(message *Message, m map[string]any, at string) *failure {
	switch content := m["content"].(type) {
	case string:
		message.Text = content
	case nil:
		if message.Role != "assistant" || len(message.Calls) == 0 && m["refusal"] == nil && m["function_call"] == nil {
			return refusal(at+".content", "invalid_type", "Invalid value for 'content': expected a string, got null.")
		}
	case []any:
		if len(content) == 0 {
			return refusal(at+".content", "empty_array", "Invalid '%s.content': empty array. Expected an array with minimum length 1, but got an empty array instead.", at)
		}
		for i, v := range content {
			part, _ := v.(map[string]any)
			if why := f.part(message, part, fmt.Sprintf("%s.content[%d]", at, i)); why != nil {
				return why
			}
		}
	default:
		return refusal(at+".content", "invalid_type", "Invalid type for '%s.content': expected one of a string or array of objects, but got %s instead.", at, kindOf(content))
	}
	return nil
}

func (openAI) part(message *Message, part map[string]any, at string) *failure {
	kind := text(part["type"])
	switch {
	case kind == "text":
		said, ok := part["text"].(string)
		if !ok {
			return refusal(at+".text", "missing_required_parameter", "Missing required parameter: '%s.text'.", at)
		}
		message.Text += said
		return nil
	case kind != "image_url":
		return refusal(at+".type", "invalid_value", "Invalid value: '%s'. Supported values are: 'text','image_url','input_audio','refusal','audio', and 'file'.", kind)
	case message.Role != "user":
		return refusal(at, "", "Invalid 'messages'. Image URLs are only allowed for messages with role 'user', but this message with role '%s' contains an image URL.", message.Role)
	}
	image, _ := part["image_url"].(map[string]any)
	url := text(image["url"])
	if url == "" {
		return refusal(at+".image_url", "missing_required_parameter", "Missing required parameter: '%s.image_url.url'.", at)
	}
	message.Images = append(message.Images, url)
	return imageURLFault(url)
}

func imageURLFault(url string) *failure {
	rest, isData := strings.CutPrefix(url, "data:")
	if !isData {
		if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
			return refusal("url", "invalid_image_url", "Failed to download image from %s. Image URL is not valid.", url)
		}
		return nil
	}
	mediaType, encoded, ok := strings.Cut(rest, ";base64,")
	switch {
	case !ok:
		return refusal("url", "invalid_value", "Invalid 'messages[0].content[0].image_url.url'. Expected a base64-encoded data URL with an image MIME type (e.g. "+
			"'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), but got a value without the 'base64' part.")
	case !strings.HasPrefix(mediaType, "image/"):
		return refusal("url", "invalid_image_format", "Invalid MIME type. Only image types are supported.")
	case !slices.Contains(imageTypes, mediaType):
		return refusal("url", "invalid_image_format", "You uploaded an unsupported image. Please make sure your image has of one the following formats: ['png', 'jpeg', 'gif', 'webp'].")
	}
	if why := imageFault(encoded, mediaType); why == "base64" {
		return refusal("url", "invalid_base64", "Invalid base64 image_url.")
	} else if why != "" {
		return refusal("url", "image_parse_error", "The image data you provided does not represent a valid image. Please check your input and try again.")
	}
	return nil
}

// imageTypes are those that both services take.
var imageTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// answered looks whether each call of a tool has its answer right after it, and each answer its call.
func (openAI) answered(r *Request) *failure {
	open, at := map[string]bool{}, 0
	unanswered := func(i int) *failure {
		if len(open) == 0 {
			return nil
		}
		ids := sorted(open)
		return refusal(fmt.Sprintf("messages.[%d].role", i), "", "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "+
			"The following tool_call_ids did not have response messages: %s", strings.Join(ids, ", "))
	}
	for i, m := range r.Messages {
		if m.Role == "tool" {
			if at == 0 {
				return refusal(fmt.Sprintf("messages.[%d].role", i), "", "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.")
			}
			if !open[m.CallID] {
				return refusal(fmt.Sprintf("messages.[%d].tool_call_id", i), "", "Invalid parameter: 'tool_call_id' of '%s' not found in 'tool_calls' of previous message.", m.CallID)
			}
			delete(open, m.CallID)
			continue
		}
		if why := unanswered(i); why != nil {
			return why
		}
		at = 0
		for _, c := range m.Calls {
			open[c.ID] = true
			at = i + 1
		}
	}
	return unanswered(len(r.Messages))
}
