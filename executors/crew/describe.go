package crew

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
)

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	d := executors.Description{
		ID: ID, Name: "CrewAI Executor", Type: "crewai",
		Description: "Runs a crew of agents, with roles, goals, tasks and tools, sequential or led by a manager",
		Tags:        []string{"crewai", "agents", "llm"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      model.Kinds(),
		Cancelable: true, Concurrency: executors.Waiting, Secrets: true,
		Connection: &executors.Connection{Types: []string{"llm"}, Fields: []string{"api_key", "api_base", "api"}},
		Examples:   examples,
	}
	if e.batch {
		d.ID, d.Name = BatchID, "Batch CrewAI Executor"
		d.Description = "Runs several crews of agents, one after the other; if any fails, all have run and the batch fails"
		d.Examples = batchExamples
	}
	return d
}

var inputSchema = json.RawMessage(`{
  "type": "object",
  "description": "Values of the variables of the crew: {topic} in a text of params.works stands for the input topic",
  "properties": {
    "api_key": {"type": ["string", "null"], "description": "Key of all models of the crew, best as {\"secret\": \"name\"}. Without it the key comes along with the tree, or is the worker's"},
    "api_base": {"type": ["string", "null"], "description": "Address of the service that all models of the crew are asked at. It takes an api_key, too"},
    "budget": {"description": "What the task may use at most: {tokens, calls, money, seconds}; params.budget goes before it. A budget that is no object is a variable like any other"},
    "on_exhausted": {"enum": ["fail", "skip", "partial", null], "default": "fail", "description": "What becomes of the task when its budget is used up. fail: it fails, and is not tried again. skip: it completes with {\"skipped\": true, \"reason\": …}. partial: it completes with what there is, status being partial, and budget_exhausted says what was used up"}
  }
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "status": {"type": "string", "description": "success; partial if a budget was used up and on_exhausted is partial; failed or cancelled in the details of an error and in partial results"},
    "result": {"description": "The answer of the last task: text, or JSON if the task has a schema or the answer is an object or a list. Of a batch: the results of its works by their names"},
    "error": {"type": "string", "description": "Why it was not done to its end"},
    "token_usage": {"type": "object", "description": "What all models have used: total_tokens, prompt_tokens, completion_tokens, cached_prompt_tokens and successful_requests"},
    "cost": {"type": "object", "description": "amount, currency, and unpriced_calls if some models have no price; only where the operator gives prices"},
    "tasks_output": {"type": "array", "description": "Of a crew: the results of its tasks in their order, each with task, agent (the role), result, and note if the agent had to come to an end before it wanted to"},
    "partial_result": {"type": "object", "description": "Of a batch that failed or was cancelled: the results of its works"},
    "interrupted": {"type": "string", "description": "What had arrived of the answer that was under way"},
    "budget_exhausted": {"type": "string", "description": "What was used up: tokens, calls, money or seconds"},
    "skipped": {"type": "boolean", "description": "With on_exhausted skip: true, and reason is the only other field"},
    "reason": {"type": "string", "description": "Why it was skipped"}
  }
}`)
