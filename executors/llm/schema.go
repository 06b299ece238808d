package llm

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "model": {"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1, "description": "Name of the model, with its provider before a slash where the name does not tell it: gpt-4o, anthropic/claude-sonnet-4-5, groq/llama-3.3-70b. Of a list, the next is asked where one is unknown, overloaded, broken or silent"},
    "models": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Further models, asked in order after model"},
    "messages": {"type": "array", "items": {"type": "object"}, "minItems": 1, "description": "The conversation, in OpenAI's form: role (system, user, assistant, tool) and content, a text or a list of parts of the types text and image_url. {{name}} stands for another input, such as the result of the dependency of that name, {{name.field}} for a part of it"},
    "stream": {"type": ["boolean", "null"], "default": false, "description": "Show the answer while it comes; the result is the same"},
    "temperature": {"type": ["number", "null"], "description": "How freely the model chooses; by default as it likes"},
    "max_tokens": {"type": ["integer", "null"], "minimum": 1, "description": "Most tokens of the answer; by default as the service likes, of Anthropic's format 4096"},
    "api_key": {"type": ["string", "null"], "description": "Key of the service. By default the one that was sent along with the tree, or the worker's"},
    "api_base": {"type": ["string", "null"], "description": "Address of a service that speaks one of the formats, such as https://llm.example.com/v1. It needs api_key: no other key is sent there"},
    "api": {"enum": ["openai", "anthropic", null], "description": "The format of api_base; by default that of the model's provider"},
    "tools": {"type": ["array", "null"], "items": {"type": "object"}, "description": "Tools that the model may wish to call, in OpenAI's form; the calls are in the result, and nothing calls them"},
    "tool_choice": {"type": ["string", "object", "null"], "description": "auto, none, required, or the tool that must be called"},
    "output_schema": {"type": ["object", "null"], "description": "JSON Schema of the answer, an object: it is asked for in the service's own way, and checked; the model may mend it once"},
    "response_format": {"type": ["object", "null"], "description": "OpenAI's way to say the same: {\"type\": \"json_schema\", \"json_schema\": {\"schema\": …}}"},
    "extra_body": {"type": ["object", "null"], "description": "Further fields of the request, as they are. Usual ones (top_p, stop, seed, n, reasoning_effort, thinking, …) are also taken from inputs of their names"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 600, "description": "Seconds, for everything. By default the task's own timeout, and 600 if it has none"},
    ` + budget.Properties + `
  },
  "required": ["model", "messages"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "success": {"type": "boolean", "description": "true. false only in what a task has that was stopped, or whose budget was used up"},
    "data": {"type": ["object", "null"], "description": "The answer as an OpenAI chat completion, whichever service gave it"},
    "content": {"type": ["string", "null"], "description": "Its text; null if there is none"},
    "model": {"type": "string", "description": "The model that answered, as the inputs name it"},
    "is_stream": {"type": "boolean", "description": "As stream in the inputs"},
    "structured": {"description": "With output_schema: the answer as a value"},
    "tool_calls": {"type": "array", "description": "Tools that the model wishes to call, if any"},
    "finish_reason": {"type": "string", "description": "stop, length, tool_calls or content_filter"},
    "token_usage": {"type": "object", "description": "total_tokens, prompt_tokens, completion_tokens, cached_prompt_tokens and successful_requests, of all calls that the task took"},
    "usage_estimated": {"type": "boolean", "description": "true: the service did not say all of what it used, so token_usage is counted from the texts"},
    "cost": {"type": "object", "description": "amount, currency, and unpriced_calls if some models have no price; only where the operator gives prices"},
    "repaired": {"type": "boolean", "description": "true: the first answer did not fit output_schema"},
    "fallbacks": {"type": "array", "description": "Models of the list that could not answer, each with model and reason"},
    "budget_exhausted": {"type": "string", "description": "With on_exhausted partial: which part of the budget was used up"},
    "skipped": {"type": "boolean", "description": "With on_exhausted skip: true, and reason is the only other field"},
    "reason": {"type": "string", "description": "Why it was skipped"}
  }
}`)

var examples = []executors.Example{
	{Title: "Ask a question", Inputs: json.RawMessage(`{
  "model": "gpt-4o-mini", "max_tokens": 200,
  "messages": [{"role": "user", "content": "Name three rivers of Portugal."}]}`)},
	{Title: "Get JSON of a schema, from whichever of two models answers, for 2000 tokens at most", Inputs: json.RawMessage(`{
  "model": ["anthropic/claude-sonnet-4-5", "gpt-4o"],
  "messages": [
    {"role": "system", "content": "You read invoices."},
    {"role": "user", "content": "Invoice 4711 of 3 May 2026: two chairs, 240 EUR together."}],
  "output_schema": {
    "type": "object", "additionalProperties": false, "required": ["number", "total"],
    "properties": {"number": {"type": "string"}, "total": {"type": "number"}}},
  "max_tokens": 500, "budget": {"tokens": 2000}}`)},
	{Title: "Show the answer while it comes, from a service of your own", Inputs: json.RawMessage(`{
  "model": "local/llama-3", "stream": true,
  "messages": [{"role": "user", "content": "Write a haiku about task trees."}]}`)},
}
