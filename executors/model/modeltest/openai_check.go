package modeltest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// refusal is OpenAI's error about a request.
func refusal(param, code, format string, args ...any) *failure {
	f := &failure{status: 400, kind: "invalid_request_error", message: fmt.Sprintf(format, args...)}
	if param != "" {
		f.param = param
	}
	if code != "" {
		f.code = code
	}
	return f
}

// openAIFields are the fields of a chat completion's request, with the type that each has.
var openAIFields = map[string]string{
	"model": "a string", "messages": "an array", "audio": "an object", "frequency_penalty": "a decimal", "function_call": "", "functions": "an array",
	"logit_bias": "an object", "logprobs": "a boolean", "max_completion_tokens": "an integer", "max_tokens": "an integer", "metadata": "an object",
	"modalities": "an array", "n": "an integer", "parallel_tool_calls": "a boolean", "prediction": "an object", "presence_penalty": "a decimal",
	"prompt_cache_key": "a string", "prompt_cache_retention": "a string", "reasoning_effort": "a string", "response_format": "an object",
	"safety_identifier": "a string", "seed": "an integer", "service_tier": "a string", "stop": "", "store": "a boolean", "stream": "a boolean",
	"stream_options": "an object", "temperature": "a decimal", "tool_choice": "", "tools": "an array", "top_logprobs": "an integer", "top_p": "a decimal",
	"user": "a string", "verbosity": "a string", "web_search_options": "an object",
}

func (f openAI) read(r *Request) *failure {
	if r.Path != "/v1/chat/completions" {
		return &failure{status: 404, kind: "invalid_request_error", message: fmt.Sprintf("Invalid URL (%s %s)", r.Method, r.Path)}
	}
	if r.Method != http.MethodPost {
		return &failure{status: 405, kind: "invalid_request_error", code: "method_not_supported", message: fmt.Sprintf("Not allowed to %s on %s. (HINT: Perhaps you meant to use "+
			"a different HTTP method?)", r.Method, r.Path)}
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return refusal("", "unsupported_content_type", "Unsupported content type: '%s'. This API method only accepts 'application/json' requests, but you specified the header "+
			"'Content-Type: %s'. Please try again with a supported content type.", kind, kind)
	}
	body, err := decode(r.Body)
	if err != nil {
		return refusal("", "", "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API "+
			"expects a JSON payload, but what was sent was not valid JSON. If you have trouble figuring out how to fix this, please contact us through our help center "+
			"at help.openai.com.)")
	}
	r.Model, r.Stream = text(body["model"]), body["stream"] == true
	if r.Model == "" {
		return refusal("", "", "you must provide a model parameter")
	}
	for _, check := range []func(*Request, map[string]any) *failure{f.types, f.numbers, f.messages, f.tools, f.answers} {
		if why := check(r, body); why != nil {
			return why
		}
	}
	return nil
}

// types looks at the types of all fields, in the order of their names.
func (openAI) types(_ *Request, body map[string]any) *failure {
	for _, name := range sorted(body) {
		want, known := openAIFields[name]
		got := kindOf(body[name])
		switch {
		case !known:
			return refusal(name, "unknown_parameter", "Unknown parameter: '%s'.", name)
		case want == "" || got == "null" || got == want || want == "a decimal" && got == "an integer":
		default:
			return refusal(name, "invalid_type", "Invalid type for '%s': expected %s, but got %s instead.", name, want, got)
		}
	}
	if _, ok := body["messages"]; !ok {
		return refusal("messages", "missing_required_parameter", "Missing required parameter: 'messages'.")
	}
	return nil
}

// reasoning are the models that take no temperature and no max_tokens.
var reasoning = regexp.MustCompile(`^(o[1-9]|gpt-[5-9])`)

// numbers looks at the ranges of numbers.
func (openAI) numbers(r *Request, body map[string]any) *failure {
	for _, bound := range []struct {
		name     string
		min, max float64
	}{{"temperature", 0, 2}, {"top_p", 0, 1}, {"frequency_penalty", -2, 2}, {"presence_penalty", -2, 2}} {
		n, ok := number(body[bound.name])
		if ok && n > bound.max {
			return refusal(bound.name, "decimal_above_max_value", "Invalid '%s': decimal above maximum value. Expected a value <= %v, but got %v instead.", bound.name, bound.max, n)
		}
		if ok && n < bound.min {
			return refusal(bound.name, "decimal_below_min_value", "Invalid '%s': decimal below minimum value. Expected a value >= %v, but got %v instead.", bound.name, bound.min, n)
		}
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		n, ok := wholeNumber(body[name])
		if ok && n < 1 {
			return refusal(name, "integer_below_min_value", "Invalid '%s': integer below minimum value. Expected a value >= 1, but got %d instead.", name, n)
		}
		if ok && n > 128_000 {
			return refusal(name, "", "max_tokens is too large: %d. This model supports at most 128000 completion tokens, whereas you provided %d.", n, n)
		}
		r.MaxTokens += n
	}
	if reasoning.MatchString(r.Model) {
		if body["max_tokens"] != nil {
			return refusal("max_tokens", "unsupported_parameter", "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
		}
		if n, ok := number(body["temperature"]); ok && n != 1 {
			return refusal("temperature", "unsupported_value", "Unsupported value: 'temperature' does not support %v with this model. Only the default (1) value is supported.", n)
		}
	}
	if body["stream_options"] != nil && !r.Stream {
		return refusal("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	}
	options, _ := body["stream_options"].(map[string]any)
	r.noUsage = r.Stream && options["include_usage"] != true
	return nil
}

// answers looks at the form that the answer must have.
func (openAI) answers(r *Request, body map[string]any) *failure {
	format, _ := body["response_format"].(map[string]any)
	switch kind := text(format["type"]); {
	case format == nil, kind == "text":
	case kind == "json_object":
		if !strings.Contains(strings.ToLower(r.Conversation()), "json") {
			return refusal("messages", "", "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.")
		}
	case kind == "json_schema":
		spec, _ := format["json_schema"].(map[string]any)
		name := text(spec["name"])
		if spec == nil || name == "" {
			return refusal("response_format.json_schema.name", "missing_required_parameter", "Missing required parameter: 'response_format.json_schema.name'.")
		}
		if !openAIName.MatchString(name) {
			return refusal("response_format.json_schema.name", "invalid_value", "Invalid 'response_format.json_schema.name': string does not match pattern. Expected a string that "+
				"matches the pattern '^[a-zA-Z0-9_-]+$'.")
		}
		schema, ok := spec["schema"].(map[string]any)
		if !ok {
			return refusal("response_format.json_schema.schema", "missing_required_parameter", "Missing required parameter: 'response_format.json_schema.schema'.")
		}
		r.Schema = marshal(schema)
		if why := strictFault(schema); spec["strict"] == true && why != "" {
			return refusal("response_format", "", "Invalid schema for response_format '%s': %s", name, why)
		}
	default:
		return refusal("response_format.type", "invalid_value", "Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", kind)
	}
	return nil
}

var openAIName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// tools looks at the tools and which of them is to be called.
func (f openAI) tools(r *Request, body map[string]any) *failure {
	list, _ := body["tools"].([]any)
	if list != nil && len(list) == 0 {
		return refusal("tools", "empty_array", "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	if len(list) > 128 {
		return refusal("tools", "array_above_max_length", "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length %d instead.", len(list))
	}
	for i, v := range list {
		at := fmt.Sprintf("tools[%d]", i)
		tool, _ := v.(map[string]any)
		function, _ := tool["function"].(map[string]any)
		name := text(function["name"])
		switch {
		case text(tool["type"]) != "function":
			return refusal(at+".type", "invalid_value", "Invalid value: '%s'. Supported values are: 'function' and 'custom'.", text(tool["type"]))
		case name == "":
			return refusal(at+".function.name", "missing_required_parameter", "Missing required parameter: '%s.function.name'.", at)
		case !openAIName.MatchString(name):
			return refusal(at+".function.name", "invalid_value", "Invalid '%s.function.name': string does not match pattern. Expected a string that matches the pattern "+
				"'^[a-zA-Z0-9_-]+$'.", at)
		case slices.ContainsFunc(r.Tools, func(t Tool) bool { return t.Name == name }):
			return refusal("tools", "", "Duplicate function name '%s' in 'tools'.", name)
		}
		if why := f.parameters(name, at, function); why != nil {
			return why
		}
		r.Tools = append(r.Tools, Tool{Name: name, Description: text(function["description"]), Schema: marshal(function["parameters"]), Strict: function["strict"] == true})
	}
	return f.choice(r, body)
}

// parameters looks at a function's schema.
func (openAI) parameters(name, at string, function map[string]any) *failure {
	if function["parameters"] == nil {
		return nil
	}
	schema, ok := function["parameters"].(map[string]any)
	if !ok {
		return refusal(at+".function.parameters", "invalid_type", "Invalid type for '%s.function.parameters': expected an object, but got %s instead.", at, kindOf(function["parameters"]))
	}
	why := ""
	switch kind := schema["type"]; {
	case len(schema) == 0:
	case kind != "object":
		why = fmt.Sprintf("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"%v\"'.", cmpNone(kind))
	case schema["properties"] == nil && function["strict"] != true:
		why = "In context=(), object schema missing properties."
	case function["strict"] == true:
		why = strictFault(schema)
	}
	if why != "" {
		return refusal(at+".function.parameters", "invalid_function_parameters", "Invalid schema for function '%s': %s", name, why)
	}
	return nil
}

// cmpNone is the value, or Python's word for none.
func cmpNone(v any) any {
	if v == nil {
		return "None"
	}
	return v
}

func (openAI) choice(r *Request, body map[string]any) *failure {
	choice := body["tool_choice"]
	if choice == nil {
		if body["parallel_tool_calls"] != nil && len(r.Tools) == 0 {
			return refusal("parallel_tool_calls", "", "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are specified.")
		}
		return nil
	}
	r.ToolChoice = marshal(choice)
	if len(r.Tools) == 0 {
		return refusal("tool_choice", "", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
	}
	if word, ok := choice.(string); ok {
		if !slices.Contains([]string{"none", "auto", "required"}, word) {
			return refusal("tool_choice", "invalid_value", "Invalid value: '%s'. Supported values are: 'none', 'auto', and 'required'.", word)
		}
		return nil
	}
	object, _ := choice.(map[string]any)
	function, _ := object["function"].(map[string]any)
	name := text(function["name"])
	if text(object["type"]) != "function" || !slices.ContainsFunc(r.Tools, func(t Tool) bool { return t.Name == name }) {
		return refusal("tool_choice", "", "Invalid value for 'tool_choice': no function named '%s' was specified in the 'tools' parameter.", name)
	}
	return nil
}

// imageFault says what is wrong with the bytes of an image.
func imageFault(encoded, mediaType string) string {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "base64"
	}
	if got := http.DetectContentType(raw); got != mediaType {
		return got
	}
	return ""
}
