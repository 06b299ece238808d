// Package aggregate collects the results of a task's dependencies in one object (spec 8.13).
//
// It owns the shape of that object. It must not know how results get into the inputs: that happens before any executor is
// called (spec 3.6).
package aggregate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// ID is the executor's id; Alias is its older name (spec 1.3).
const (
	ID    = "aggregate_results_executor"
	Alias = "aggregate_results"
)

// marks are inputs that a pre-hook leaves; they are not results.
var marks = []string{"_pre_hook_executed", "_pre_hook_timestamp"}

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "summary": {"type": "string", "description": "Always the same words"},
    "timestamp": {"type": "string", "format": "date-time", "description": "When they were collected, UTC"},
    "results": {"type": "object", "description": "Each result under the name of its task"},
    "result_count": {"type": "integer", "description": "How many there are"}
  },
  "required": ["summary", "timestamp", "results", "result_count"]
}`)

// Executor is aggregate_results_executor.
type Executor struct{}

// New makes one.
func New() *Executor { return &Executor{} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Aggregate Results Executor", Type: "core",
		Description: "Collects the results of the dependencies in one object",
		Tags:        []string{"core", "aggregation", "results"},
		Inputs:      json.RawMessage(`{"type": "object", "description": "Results of dependencies, by what the submission calls each, or by field name"}`),
		Output:      outputSchema,
		Cancelable:  true, Repeatable: true,
		Examples: []executors.Example{
			{Title: "Collect two values", Inputs: json.RawMessage(`{"orders": 12, "rates": {"EUR": 1.1}}`)},
		},
	}
}

// Result holds the collected results.
type Result struct {
	Summary     string                     `json:"summary"`
	Timestamp   string                     `json:"timestamp"`
	Results     map[string]json.RawMessage `json:"results"`
	ResultCount int                        `json:"result_count"`
}

// Run implements [executors.Executor]. Values pass through as they are, digit by digit.
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	result, err := collect(call)
	if err != nil {
		return nil, err
	}
	return executors.Completed(result), nil
}

// Demo implements [executors.Demonstrator] with what a run gives (spec 8.13): it touches nothing.
func (*Executor) Demo(call *executors.Call) (any, time.Duration) {
	result, err := collect(call)
	if err != nil {
		return executors.DemoResult()
	}
	return result, 50 * time.Millisecond
}

func collect(call *executors.Call) (*Result, error) {
	results := map[string]json.RawMessage{}
	if err := json.Unmarshal(call.Inputs, &results); err != nil {
		return nil, executors.Invalid(ID, fmt.Sprintf("inputs: %v", err))
	}
	if results == nil { // inputs were null
		results = map[string]json.RawMessage{}
	}
	for _, mark := range marks {
		delete(results, mark)
	}
	return &Result{
		Summary:   "Task Results Aggregation",
		Timestamp: time.Now().UTC().Format("2006-01-02T15:04:05.000000-07:00"),
		Results:   results, ResultCount: len(results),
	}, nil
}
