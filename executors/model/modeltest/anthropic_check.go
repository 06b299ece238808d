package modeltest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// anthropicFields are the fields of a request, with whether each is an object, an array and so on by JSON's words.
var anthropicFields = map[string]string{
	"model": "string", "messages": "array", "max_tokens": "integer", "cache_control": "object", "container": "", "inference_geo": "string", "metadata": "object",
	"output_config": "object", "service_tier": "string", "stop_sequences": "array", "stream": "boolean", "system": "", "temperature": "number", "thinking": "object",
	"tool_choice": "object", "tools": "array", "top_k": "integer", "top_p": "number",
}

// pydantic is what Anthropic says of a value that should be of a type.
var pydantic = map[string]string{
	"string": "Input should be a valid string", "array": "Input should be a valid list", "integer": "Input should be a valid integer",
	"object": "Input should be an object", "boolean": "Input should be a valid boolean", "number": "Input should be a valid number",
}

// newVersion is the version of the API that has no parameters of sampling.
const newVersion = "2026-10-21"

var sampling = []string{"temperature", "top_p", "top_k"}

// unsampled are the models that take no parameters of sampling in any version, and whose answer can't be begun for them.
var unsampled = regexp.MustCompile(`^claude-[a-z]+-(4-[7-9]|[5-9])`)

func (f anthropic) read(r *Request) *failure {
	if r.Path != "/v1/messages" {
		return &failure{status: 404, kind: "not_found_error", message: "Not Found"}
	}
	if r.Method != http.MethodPost {
		return &failure{status: 405, kind: "invalid_request_error", message: "Method Not Allowed"}
	}
	switch version := r.Header.Get("Anthropic-Version"); {
	case version == "":
		return invalid("anthropic-version: header is required")
	case version != "2023-06-01" && version != newVersion:
		return invalid("anthropic-version: \"%s\" is not a valid version", version)
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return invalid("content-type: must be application/json")
	}
	body, err := decode(r.Body)
	if err != nil {
		return invalid("The request body is not valid JSON: %v", err)
	}
	r.Model, r.Stream = text(body["model"]), body["stream"] == true
	r.MaxTokens, _ = wholeNumber(body["max_tokens"])
	for _, check := range []func(*Request, map[string]any) *failure{f.types, f.numbers, f.system, f.messages, f.pairs, f.tools, f.output} {
		if why := check(r, body); why != nil {
			return why
		}
	}
	return nil
}

func (anthropic) types(r *Request, body map[string]any) *failure {
	for _, name := range []string{"model", "max_tokens", "messages"} {
		if _, ok := body[name]; !ok {
			return invalid("%s: Field required", name)
		}
	}
	for _, name := range sorted(body) {
		want, known := anthropicFields[name]
		got := jsonType(body[name])
		switch {
		case !known, r.Header.Get("Anthropic-Version") == newVersion && slices.Contains(sampling, name):
			return invalid("%s: Extra inputs are not permitted", name)
		case want == "" || got == want || want == "number" && got == "integer":
		case got == "null" && !slices.Contains([]string{"model", "messages", "max_tokens"}, name):
		default:
			return invalid("%s: %s", name, pydantic[want])
		}
	}
	return nil
}

// jsonType is the word of JSON Schema for a value's type.
func jsonType(v any) string {
	_, word, found := strings.Cut(kindOf(v), " ")
	if !found {
		return "null"
	}
	if word == "decimal" {
		return "number"
	}
	return word
}

func (anthropic) numbers(r *Request, body map[string]any) *failure {
	if r.Model == "" {
		return invalid("model: String should have at least 1 character")
	}
	if r.MaxTokens < 1 {
		return invalid("max_tokens: must be greater than or equal to 1")
	}
	if most := int64(64000); r.MaxTokens > most {
		return invalid("max_tokens: %d > %d, which is the maximum allowed number of output tokens for %s", r.MaxTokens, most, answeredAs(r.Model))
	}
	for _, name := range sampling {
		if n, ok := number(body[name]); ok && n != 1 && unsampled.MatchString(r.Model) {
			return invalid("`%s` is deprecated for this model.", name)
		}
	}
	for _, name := range []string{"temperature", "top_p"} {
		if n, ok := number(body[name]); ok && (n < 0 || n > 1) {
			return invalid("%s: range: 0..1", name)
		}
	}
	stops, _ := body["stop_sequences"].([]any)
	for i, v := range stops {
		if strings.TrimSpace(text(v)) == "" {
			return invalid("stop_sequences.%d: each stop sequence must contain non-whitespace", i)
		}
	}
	return nil
}

func (f anthropic) system(r *Request, body map[string]any) *failure {
	switch system := body["system"].(type) {
	case nil:
		return nil
	case string:
		r.Messages = append(r.Messages, Message{Role: "system", Text: system})
		return nil
	case []any:
		m := Message{Role: "system"}
		for i, v := range system {
			block, _ := v.(map[string]any)
			switch {
			case text(block["type"]) != "text":
				return invalid("system.%d.type: Input should be 'text'", i)
			case text(block["text"]) == "":
				return invalid("system: text content blocks must be non-empty")
			}
			m.Text += text(block["text"])
		}
		r.Messages = append(r.Messages, m)
		return nil
	}
	return invalid("system: Input should be a valid list")
}

// anthropicName is what the API takes as a tool's name.
var anthropicName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

var anthropicID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func (f anthropic) tools(r *Request, body map[string]any) *failure {
	list, _ := body["tools"].([]any)
	for i, v := range list {
		at := fmt.Sprintf("tools.%d", i)
		tool, ok := v.(map[string]any)
		if !ok {
			return invalid("%s: Input should be an object", at)
		}
		at += ".custom"
		if kind := tool["type"]; kind != nil && kind != "custom" {
			return invalid("tools.%d: Input tag '%v' found using 'type' does not match any of the expected tags: 'custom'", i, kind)
		}
		for _, name := range sorted(tool) {
			if !slices.Contains([]string{"name", "description", "input_schema", "type", "cache_control", "strict"}, name) {
				return invalid("%s.%s: Extra inputs are not permitted", at, name)
			}
		}
		name := text(tool["name"])
		schema, _ := tool["input_schema"].(map[string]any)
		switch {
		case tool["name"] == nil:
			return invalid("%s.name: Field required", at)
		case !anthropicName.MatchString(name):
			return invalid("%s.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'", at)
		case slices.ContainsFunc(r.Tools, func(t Tool) bool { return t.Name == name }):
			return invalid("tools: Tool names must be unique.")
		case schema == nil:
			return invalid("%s.input_schema: Field required", at)
		case schema["type"] == nil:
			return invalid("%s.input_schema.type: Field required", at)
		case schema["type"] != "object":
			return invalid("%s.input_schema.type: Input should be 'object'", at)
		case schema["oneOf"] != nil, schema["allOf"] != nil, schema["anyOf"] != nil:
			return invalid("%s.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level", at)
		}
		if tool["strict"] == true {
			if why := outputFault(schema); why != "" {
				return invalid("%s: %s", at, why)
			}
		}
		r.Tools = append(r.Tools, Tool{Name: name, Description: text(tool["description"]), Schema: marshal(schema), Strict: tool["strict"] == true})
	}
	return f.choice(r, body)
}

func (anthropic) choice(r *Request, body map[string]any) *failure {
	uses := slices.ContainsFunc(r.Messages, func(m Message) bool { return m.CallID != "" || len(m.Calls) > 0 })
	if uses && len(r.Tools) == 0 {
		return invalid("Requests which include `tool_use` or `tool_result` blocks must define tools.")
	}
	choice, ok := body["tool_choice"].(map[string]any)
	if !ok {
		return nil
	}
	r.ToolChoice = marshal(choice)
	kind := text(choice["type"])
	switch {
	case !slices.Contains([]string{"auto", "any", "tool", "none"}, kind):
		return invalid("tool_choice: Input tag '%s' found using 'type' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'", kind)
	case len(r.Tools) == 0:
		return invalid("tool_choice may only be specified while providing tools")
	case kind == "tool" && !slices.ContainsFunc(r.Tools, func(t Tool) bool { return t.Name == text(choice["name"]) }):
		return invalid("Tool '%s' not found in provided tools", text(choice["name"]))
	}
	return nil
}

func (anthropic) output(r *Request, body map[string]any) *failure {
	config, _ := body["output_config"].(map[string]any)
	format, _ := config["format"].(map[string]any)
	if format == nil {
		return nil
	}
	switch {
	case text(format["type"]) != "json_schema":
		return invalid("output_config.format: Input tag '%s' found using 'type' does not match any of the expected tags: 'json_schema'", text(format["type"]))
	case format["schema"] == nil:
		return invalid("output_config.format.schema: Field required")
	}
	r.Schema = marshal(format["schema"])
	if why := outputFault(format["schema"]); why != "" {
		return invalid("output_config.format.schema: %s", why)
	}
	return nil
}
