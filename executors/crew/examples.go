package crew

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
)

var examples = []executors.Example{
	{
		Title: "Let one agent research and another one write",
		Params: json.RawMessage(`{
			"works": {
				"agents": {
					"researcher": {"role": "Researcher", "goal": "Find out what matters about {topic}", "backstory": "You check every fact twice", "tools": ["LimitedScrapeWebsiteTool()"]},
					"writer": {"role": "Writer", "goal": "Write so that anybody understands it"}
				},
				"tasks": {
					"research": {"description": "Read {page} and note the five main facts about {topic}", "expected_output": "A list of five facts", "agent": "researcher"},
					"article": {"description": "Write a short article about {topic} from the facts", "expected_output": "Three paragraphs in Markdown", "agent": "writer"}
				}
			},
			"budget": {"calls": 20, "tokens": 100000}
		}`),
		Schemas: json.RawMessage(`{"model": "openai/gpt-4o-mini"}`),
		Inputs:  json.RawMessage(`{"topic": "heat pumps", "page": "https://example.org/heat-pumps"}`),
	},
	{
		Title: "Let a manager divide the work, and get JSON",
		Params: json.RawMessage(`{
			"works": {
				"process": "hierarchical",
				"manager_llm": "openai/gpt-4o",
				"agents": {
					"analyst": {"role": "Analyst", "goal": "Judge figures soberly", "llm": "openai/gpt-4o-mini"},
					"critic": {"role": "Critic", "goal": "Find what is wrong with a judgement", "llm": "openai/gpt-4o-mini"}
				},
				"tasks": {
					"rating": {"description": "Rate this company: {facts}", "output_schema": {"type": "object", "properties": {"rating": {"type": "integer"}, "reasons": {"type": "array", "items": {"type": "string"}}}, "required": ["rating", "reasons"], "additionalProperties": false}}
				}
			}
		}`),
		Inputs: json.RawMessage(`{"facts": "Revenue grew by 20 %, and debts by 40 %"}`),
	},
}

var batchExamples = []executors.Example{{
	Title: "Greet people and say goodbye to them, as one task",
	Params: json.RawMessage(`{
		"works": {
			"greeting": {
				"agents": {"greeter": {"role": "Greeter", "goal": "Make people feel welcome"}},
				"tasks": {"greet": {"description": "Greet {name}", "expected_output": "One sentence", "agent": "greeter"}}
			},
			"farewell": {
				"agents": {"host": {"role": "Host", "goal": "Let people leave with a smile"}},
				"tasks": {"part": {"description": "Say goodbye to {name}", "expected_output": "One sentence", "agent": "host"}}
			}
		}
	}`),
	Schemas: json.RawMessage(`{"model": "openai/gpt-4o-mini"}`),
	Inputs:  json.RawMessage(`{"name": "Alice"}`),
}}
