package modeltest_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// Each row is a request, and what the service says of it; empty: it takes it.
var openAIChecks = []struct{ fact, body, want string }{
	{"plain", `"messages":[{"role":"developer","content":"Be brief."},{"role":"user","content":"Hi"}],"temperature":0.5,"max_tokens":5`, ""},
	{"no messages", `"n":1`, "Missing required parameter: 'messages'."},
	{"empty messages", `"messages":[]`, "Invalid 'messages': empty array."},
	{"unknown role", `"messages":[{"role":"robot","content":"Hi"}]`, "Invalid value: 'robot'. Supported values are"},
	{"unknown field", `"messages":[{"role":"user","content":"Hi"}],"api_base":"x"`, "Unknown parameter: 'api_base'."},
	{"unknown field of a message", `"messages":[{"role":"user","content":"Hi","id":"1"}]`, "Unknown parameter: 'messages[0].id'."},
	{"wrong type", `"messages":[{"role":"user","content":"Hi"}],"temperature":"hot"`, "Invalid type for 'temperature': expected a decimal, but got a string instead."},
	{"too hot", `"messages":[{"role":"user","content":"Hi"}],"temperature":3`, "Expected a value <= 2, but got 3 instead."},
	{"stream options without a stream", `"messages":[{"role":"user","content":"Hi"}],"stream_options":{"include_usage":true}`, "only allowed when 'stream' is enabled"},
	{"no content", `"messages":[{"role":"user","content":null}]`, "expected a string, got null"},
	{"a result without a call", `"messages":[{"role":"user","content":"Hi"},{"role":"tool","tool_call_id":"a","content":"1"}]`, "must be a response to a preceeding message"},
	{"a call without a result", `"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"Hi"}]`,
		"The following tool_call_ids did not have response messages: a"},
	{"a result for another call", `"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"b","content":"1"}]`,
		"'tool_call_id' of 'b' not found"},
	{"a call with its result", `"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"1"}]`, ""},
	{"arguments that are an object", `"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":{}}}]}]`, "expected a string, but got an object"},
	{"a tool's name", `"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"a b"}}]`, "string does not match pattern"},
	{"a tool's schema", `"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"string"}}}]`, "Invalid schema for function 'f'"},
	{"a strict tool", `"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{}}}}]`,
		"'additionalProperties' is required to be supplied and to be false."},
	{"a tool that is not there", `"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"g"}}`,
		"no function named 'g' was specified"},
	{"a choice without tools", `"messages":[{"role":"user","content":"Hi"}],"tool_choice":"auto"`, "only allowed when 'tools' are specified"},
	{"strict JSON", `"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"object","additionalProperties":false,"required":["x"],
		"properties":{"x":{"anyOf":[{"type":"string"},{"type":"null"}]}}}}}`, ""},
	{"strict JSON, not required", `"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"object","additionalProperties":false,"required":[],
		"properties":{"x":{"type":"string"}}}}}`, "Missing 'x'."},
	{"strict JSON, below", `"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"object","additionalProperties":false,"required":["x"],
		"properties":{"x":{"type":"object"}}}}}`, "In context=('properties', 'x'), 'additionalProperties'"},
	{"strict JSON, oneOf", `"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"object","additionalProperties":false,"required":["x"],
		"properties":{"x":{"oneOf":[]}}}}}`, "'oneOf' is not permitted."},
	{"JSON that nobody mentions", `"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_object"}`, "must contain the word 'json'"},
	{"an image", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `"}}]}]`, ""},
	{"an image of another type", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/bmp;base64,AAAA"}}]}]`, "unsupported image"},
	{"an image that is none", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]`, "does not represent a valid image"},
	{"an image of a system", `"messages":[{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]`, "only allowed for messages with role 'user'"},
}

var anthropicChecks = []struct{ fact, body, want string }{
	{"plain", `"max_tokens":5,"system":"Be brief.","messages":[{"role":"user","content":"Hi"}],"temperature":0.5`, ""},
	{"no max_tokens", `"messages":[{"role":"user","content":"Hi"}]`, "max_tokens: Field required"},
	{"unknown field", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"response_format":{}`, "response_format: Extra inputs are not permitted"},
	{"too hot", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"temperature":1.5`, "temperature: range: 0..1"},
	{"a system message", `"max_tokens":5,"messages":[{"role":"system","content":"Hi"}]`, "accepts a top-level `system` parameter"},
	{"unknown role", `"max_tokens":5,"messages":[{"role":"tool","content":"Hi"}]`, "Unexpected role \"tool\""},
	{"first an assistant", `"max_tokens":5,"messages":[{"role":"assistant","content":"Hi"}]`, "first message must use the \"user\" role"},
	{"two of a role", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"},{"role":"user","content":"Ho"}]`, "roles must alternate"},
	{"empty content", `"max_tokens":5,"messages":[{"role":"user","content":""}]`, "all messages must have non-empty content"},
	{"an empty text", `"max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":""}]}]`, "text content blocks must be non-empty"},
	{"a blank at the end", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"So "}]`, "cannot end with trailing whitespace"},
	{"a result without a use", `"max_tokens":5,"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}]`, "unexpected `tool_use_id`"},
	{"a use without a result", `"max_tokens":5,"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},
		{"role":"user","content":"Hi"}]`, "`tool_use` ids were found without `tool_result` blocks immediately after: a"},
	{"a result after a text", `"max_tokens":5,"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},
		{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"tool_result","tool_use_id":"a","content":"1"}]}]`, "immediately after: a"},
	{"a use with its result", `"max_tokens":5,"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"1","is_error":true},{"type":"text","text":"Hi"}]}]`, ""},
	{"uses without tools", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"1"}]}]`, "must define tools"},
	{"input that is no object", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":"{}"}]}]`, "tool_use.input: Input should be an object"},
	{"a tool in OpenAI's shape", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f"}}]`, "Input tag 'function' found"},
	{"a tool without a schema", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"tools":[{"name":"f"}]`, "tools.0.custom.input_schema: Field required"},
	{"a choice in OpenAI's shape", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":"auto"`, "tool_choice: Input should be an object"},
	{"structured", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"output_config":{"format":{"type":"json_schema","schema":{"type":"object","additionalProperties":false}}}`, ""},
	{"structured, open", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`, "must be explicitly set to false"},
	{"structured, with bounds", `"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"output_config":{"format":{"type":"json_schema","schema":{"type":"integer","minimum":1}}}`, "property 'minimum' is not supported"},
	{"an image", `"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}}]}]`, ""},
	{"an image of another type", `"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"` + png + `"}}]}]`, "does not match the provided media type"},
	{"an image over http", `"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"http://example.com/a.png"}}]}]`, "Only HTTPS URLs"},
}

func TestRequestsAreRefusedAsTheServicesDo(t *testing.T) {
	t.Parallel()
	for i, f := range formats {
		rows := openAIChecks
		if i == 1 {
			rows = anthropicChecks
		}
		s := modeltest.Start(t)
		s.Play("m", modeltest.Recorded("conversation"))
		for _, row := range rows {
			checkRefusal(t, s, f.name+": "+row.fact, f.path, `{"model":"m",`+row.body+"}", f.headers(s.Key()), row.want)
		}
		checkRefusal(t, s, f.name+": no JSON", f.path, `{"model":`, f.headers(s.Key()), "JSON")
		checkRefusal(t, s, f.name+": no such model", f.path, strings.Replace(f.body, `"m"`, `"none"`, 1)+"}", f.headers(s.Key()), "none")
		headers := f.headers(s.Key())
		headers.Del("Content-Type")
		checkRefusal(t, s, f.name+": no content type", f.path, f.body+"}", headers, "application/json")
		checkRefusal(t, s, f.name+": another key", f.path, f.body+"}", f.headers("sk-other-key-of-someone"), map[string]string{"openai": "Incorrect API key provided: sk-other", "anthropic": "invalid x-api-key"}[f.name])
		checkRefusal(t, s, f.name+": no key", f.path, f.body+"}", http.Header{"Content-Type": {"application/json"}}, map[string]string{"openai": "You didn't provide an API key", "anthropic": "x-api-key header is required"}[f.name])
	}
}

// Anthropic's version of October 2026 has no parameters of sampling, and its newer models have none in any version.
func TestAnthropicVersions(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	s.Play("*", modeltest.Recorded("conversation"))
	f := formats[1]
	warm := `"max_tokens":5,"temperature":0.5,"messages":[{"role":"user","content":"Hi"}]}`
	for _, row := range []struct{ version, model, want string }{
		{"2023-06-01", "claude-haiku-4-5", ""},
		{"2026-10-21", "claude-haiku-4-5", "temperature: Extra inputs are not permitted"},
		{"2023-06-01", "claude-opus-5-5", "`temperature` is deprecated for this model."},
		{"2020-01-01", "claude-haiku-4-5", "anthropic-version"},
		{"", "claude-haiku-4-5", "anthropic-version: header is required"},
	} {
		headers := maps.Clone(f.headers(s.Key()))
		headers.Set("Anthropic-Version", row.version)
		checkRefusal(t, s, row.version+" "+row.model, f.path, `{"model":"`+row.model+`",`+warm, headers, row.want)
	}
}

func checkRefusal(t *testing.T, s *modeltest.Server, fact, path, body string, headers http.Header, want string) {
	t.Helper()
	resp, got, err := post(t, s, path, body, headers)
	if err != nil {
		t.Fatalf("%s: %v", fact, err)
	}
	requests := s.Requests()
	refused := requests[len(requests)-1].Refused()
	switch {
	case want == "" && (resp.StatusCode != 200 || refused != ""):
		t.Errorf("%s: it is refused: %s", fact, got)
	case want != "" && (resp.StatusCode < 400 || !strings.Contains(refused, want) || !strings.Contains(got, `"error"`)):
		t.Errorf("%s: got %d %s, want %q", fact, resp.StatusCode, got, want)
	}
}
