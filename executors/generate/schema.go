package generate

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "requirement": {"type": "string", "description": "What the tree shall do, in plain language: steps, what may run side by side, what goes from one step to the next"},
    "user_id": {"type": ["string", "null"], "description": "Owner of the tasks, if the task itself has none"},
    "llm_provider": {"type": ["string", "null"], "description": "Whose model: openai or anthropic, or another that llm_executor knows; by default as the model's name says, else as the worker's operator says, else openai"},
    "model": {"type": ["string", "null"], "description": "Name of the model, or provider/model; by default as the worker's operator says"},
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2, "default": 0.7, "description": "How freely the model chooses its words"},
    "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 1000000, "default": 4000, "description": "Most tokens of an answer; a large tree needs more"},
    "max_tasks": {"type": ["integer", "null"], "minimum": 1, "maximum": 10000, "default": 50, "description": "Most tasks of the tree; the worker's operator may have set a lower bound"},
    "executors": {"type": ["array", "null"], "items": {"type": "string"}, "maxItems": 100, "description": "Executors that the tree may use; by default those that neither run commands nor touch files and databases of the worker. Counts only as it was submitted"},
    "allow_commands": {"type": ["boolean", "null"], "default": false, "description": "Let the tree use executors that run commands or code, or start other trees. Counts only as it was submitted"},
    "api_key": {"type": ["string", "null"], "description": "Key of the provider; by default the one that came with the request, else the worker's own"},
    "api_base": {"type": ["string", "null"], "description": "Address of a service that speaks one of the formats, such as https://llm.example.com/v1. It needs api_key: no other key is sent there"},
    "api": {"enum": ["openai", "anthropic", null], "description": "The format of api_base; by default that of the model's provider"},
    ` + budget.Properties + `,
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 300, "description": "Seconds, for both rounds; by default the task's own timeout"}
  },
  "required": ["requirement"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "status": {"enum": ["completed", "failed"], "description": "completed: the tree is valid. failed: the budget was used up, and on_exhausted is partial"},
    "tasks": {"type": "array", "items": {"type": "object"}, "description": "The tasks of the tree, ready to be submitted"},
    "count": {"type": "integer", "description": "How many there are"},
    "model": {"type": "string", "description": "The model that answered, as its service calls it"},
    "repaired": {"type": "boolean", "description": "The first answer had faults, and the model was told of them"},
    "warnings": {"type": "array", "items": {"type": "string"}, "description": "What was left out of the answer, or is likely a mistake"},
    "token_usage": {"type": "object", "description": "What both rounds used: total_tokens, prompt_tokens, completion_tokens, cached_prompt_tokens, successful_requests"},
    "cost": {"type": "object", "description": "What that cost, if the model has a price: amount, currency, unpriced_calls"}
  },
  "required": ["status", "tasks", "count"]
}`)

var examples = []executors.Example{
	{Title: "A tree of two calls side by side", Inputs: json.RawMessage(`{"requirement": "Fetch https://example.org/orders and https://example.org/rates in parallel, then put both results together"}`)},
	{Title: "With the executors that the tree may use, and another model", Inputs: json.RawMessage(`{"requirement": "Every file in incoming is copied to archive, and then listed", "executors": ["file_executor"], "model": "anthropic/claude-3-5-sonnet-20241022", "max_tasks": 5}`)},
}
