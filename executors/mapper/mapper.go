// Package mapper has an executor that makes tasks for the items of a list.
//
// It owns map_executor, which is our own: its inputs, and where its list comes from. It must not know how the tasks are made, or when they run: it hands
// over the list and the template.
package mapper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// ID is the executor's id.
const ID = "map_executor"

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "items": {"type": ["array", "string"], "description": "The list, or its JSON as text; or the path to it: deps.NAME.result.files, as the task that it depends on is called, or inputs.files"},
    "task": {"type": "object", "description": "What is made for each item: a task as tasks.create takes it. In its name, inputs and params, {{item}}, {{item.field}} and {{index}} stand for the item. Without a name it is called like this one, with the index"},
    "tasks": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"type": "object"}, "description": "Instead of task: a small tree for each item, with one root, whose result is collected"},
    "window": {"type": ["integer", "null"], "minimum": 0, "default": 0, "description": "How many items are in progress at most; 0: all"},
    "collect": {"enum": ["list", "map", "none", "counted", null], "default": "list", "description": "What the result is: the items' results in order, an object of them by index, {}, or an object with results (in order), count, succeeded, skipped and failed"},
    "on_empty": {"enum": ["complete", "skip", null], "default": "complete", "description": "What becomes of the task if the list is empty; skip: it is skipped, no_data"},
    "stop_on_failure": {"type": ["boolean", "null"], "default": false, "description": "Make no further items once one has failed; those in progress go on"}
  },
  "required": ["items"]
}`)

// Executor is map_executor.
type Executor struct{}

// New makes one.
func New() *Executor { return &Executor{} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Map Executor", Type: "core",
		Description: "Makes a task for each item of a list, and ends with their results",
		Tags:        []string{"core", "control"},
		Inputs:      inputSchema,
		Cancelable:  true,
		Examples: []executors.Example{
			{Title: "Run a command for each item, three at a time", Inputs: json.RawMessage(`{"items": ["a.csv", "b.csv"], "window": 3, "task": {"schemas": {"method": "command_executor"}, "inputs": {"command": "wc -l {{item}}"}}}`)},
			{Title: "Run a small tree for each item", Inputs: json.RawMessage(`{"items": [{"city": "Oslo"}], "tasks": [
  {"id": "fetch", "name": "fetch {{item.city}}", "parent_id": "store", "inputs": {"url": "https://example.org/{{item.city}}"}, "schemas": {"method": "rest_executor"}},
  {"id": "store", "name": "store {{item.city}}", "dependencies": [{"id": "fetch"}], "schemas": {"method": "aggregate_results_executor"}}]}`)},
		},
	}
}

// Run implements [executors.Executor].
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var in struct {
		Items   json.RawMessage `json:"items"`
		Task    json.RawMessage `json:"task"`
		Tasks   json.RawMessage `json:"tasks"`
		Window  int             `json:"window"`
		Collect string          `json:"collect"`
		OnEmpty string          `json:"on_empty"`
		Stop    bool            `json:"stop_on_failure"`
	}
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	items, err := list(call, in.Items)
	if err != nil {
		return nil, err
	}
	each := in.Task
	switch {
	case len(in.Task) > 0 && len(in.Tasks) > 0:
		return nil, executors.Invalid(ID, "task and tasks are there, and one of them is to be")
	case len(in.Tasks) > 0:
		each = in.Tasks
	case len(in.Task) == 0:
		return nil, executors.Invalid(ID, "task is required in inputs, or tasks")
	}
	key := "task"
	if len(in.Tasks) > 0 {
		key = "tasks"
	}
	if !slices.Contains(call.Submitted, key) { // what it says, it would say as a person: which secrets it names, and what it allows
		return nil, executors.Invalid(ID, key+" was written by the result of a dependency: only whoever submits this task can write it")
	}
	if len(bytes.TrimSpace(items[1:])) == 1 && in.OnEmpty == "skip" {
		return executors.Skip("no_data", map[string]any{"count": 0, "succeeded": 0, "skipped": 0, "failed": 0, "results": []any{}}), nil
	}
	if each, err = ownDirs(call.Params, each); err != nil {
		return nil, err
	}
	return executors.Expanding(executors.Expand{Items: items, Each: each, Window: in.Window, StopOnFailure: in.Stop, Collect: in.Collect}), nil
}

// list is the array that items is, or leads to.
func list(call *executors.Call, items json.RawMessage) (json.RawMessage, error) {
	items = bytes.TrimSpace(items)
	switch {
	case len(items) == 0:
		return nil, executors.Invalid(ID, "items is required in inputs")
	case items[0] == '[':
		return items, nil
	case items[0] != '"':
		return nil, executors.Invalid(ID, "items must be a list, or the path to one")
	}
	var path string
	if err := json.Unmarshal(items, &path); err != nil {
		return nil, executors.Invalid(ID, "items has a value that can't be read")
	}
	if text := bytes.TrimSpace([]byte(path)); len(text) > 0 && text[0] == '[' {
		if !json.Valid(text) {
			return nil, executors.Invalid(ID, "items is a text that begins like a list, and is no JSON")
		}
		return text, nil
	}
	names := strings.Split(strings.Trim(strings.TrimSuffix(strings.TrimPrefix(path, "{{"), "}}"), " "), ".")
	switch {
	case names[0] == "inputs" && len(names) > 1:
		names = names[1:]
	case names[0] == "deps" && len(names) > 2 && names[2] == "result": // results are merged under what the task calls its dependencies
		names = append(names[1:2:2], names[3:]...)
	default:
		return nil, executors.Invalid(ID, fmt.Sprintf("items: %.80q is neither a list nor a path like deps.NAME.result.field or inputs.field", path))
	}
	at := call.Inputs
	for _, name := range names {
		var next json.RawMessage
		switch at = bytes.TrimSpace(at); {
		case len(at) > 0 && at[0] == '{':
			var object map[string]json.RawMessage
			if json.Unmarshal(at, &object) == nil {
				next = object[name]
			}
		case len(at) > 0 && at[0] == '[':
			var array []json.RawMessage
			if i, err := strconv.Atoi(name); err == nil && json.Unmarshal(at, &array) == nil && i >= 0 && i < len(array) {
				next = array[i]
			}
		}
		if next == nil {
			return nil, executors.Permanent(executors.WithKind(fmt.Errorf("[%s] items: %.80q leads to nothing: there is no %.80q", ID, path, name), "template.missing_key"))
		}
		at = next
	}
	if at = bytes.TrimSpace(at); at[0] != '[' {
		return nil, executors.Permanent(executors.WithKind(fmt.Errorf("[%s] items: %.80q leads to no list", ID, path), "input"))
	}
	return at, nil
}
