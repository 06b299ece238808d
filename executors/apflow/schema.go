package apflow

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "base_url": {"type": "string", "description": "http or https URL of the other cluster; the call goes to /tasks below it"},
    "method": {"type": "string", "description": "Name of the method: tasks.execute, tasks.create, tasks.get, …"},
    "params": {"type": ["object", "array"], "description": "Its parameters"},
    "auth_token": {"type": ["string", "null"], "description": "Sent as bearer token"},
    "use_streaming": {"type": ["boolean", "null"], "default": false, "description": "Has no effect: a wait uses the other cluster's events where it has them"},
    "wait_for_completion": {"type": ["boolean", "null"], "default": false, "description": "Of tasks.execute: wait until what was started has ended; if it has not completed, this task fails"},
    "poll_interval": {"type": ["number", "null"], "minimum": 0.01, "maximum": 3600, "default": 1, "description": "Seconds between two looks, where the other cluster has no events"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 300, "description": "Seconds, for everything. By default the task's own timeout, and 300 if it has none"},
    "headers": {"type": ["object", "null"], "default": {}, "description": "Further headers: strings, or lists of strings"},
    "tls": ` + tlsinput.Schema + `
  },
  "required": ["base_url", "method", "params"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "success": {"type": "boolean", "description": "true: all else fails the task. false only in what a cancelled task has"},
    "base_url": {"type": "string", "description": "As in the inputs, without user and password"},
    "method": {"type": "string", "description": "As in the inputs; without wait_for_completion only"},
    "result": {"description": "The result of the call; without wait_for_completion only"},
    "task_id": {"type": "string", "description": "Of the task that was waited for"},
    "status": {"type": "string", "description": "Of that task; of its tree if it is a root and the other cluster tells it"},
    "task": {"description": "That task, as the other cluster shows it"},
    "poll_count": {"type": "integer", "description": "How often it was looked at"},
    "total_failures": {"type": "integer", "description": "How many of these looks failed"}
  },
  "required": ["success", "base_url"]
}`)

var examples = []executors.Example{
	{Title: "Run a tree on another cluster and wait for it", Inputs: json.RawMessage(`{
  "base_url": "https://tasks.example.com", "method": "tasks.execute", "wait_for_completion": true, "timeout": 600,
  "params": {"tasks": [{"id": "report", "name": "report", "schemas": {"method": "system_info_executor"}, "inputs": {"resource": "cpu"}}]}}`)},
	{Title: "See what runs on another cluster", Inputs: json.RawMessage(`{
  "base_url": "https://tasks.example.com", "method": "tasks.running.count", "params": {}}`)},
}
