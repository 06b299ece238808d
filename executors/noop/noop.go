// Package noop has executors that do nothing. They serve to measure everything else, and to try out trees.
//
// It owns noop_executor and noop_repeatable_executor, which differ only in what they declare. Both are our own; the task-tree
// protocol has no such executors.
package noop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// The executors' ids. The repeatable one may start before its claim is confirmed.
const (
	ID           = "noop_executor"
	RepeatableID = "noop_repeatable_executor"
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "value": {"description": "The result; {} when absent"},
    "fail": {"type": ["string", "null"], "description": "Fail with this text instead"},
    "permanent": {"type": ["boolean", "null"], "default": false, "description": "The failure must not be retried"}
  }
}`)

// Executor is one of the two.
type Executor struct{ repeatable bool }

// New makes noop_executor.
func New() *Executor { return &Executor{} }

// NewRepeatable makes noop_repeatable_executor.
func NewRepeatable() *Executor { return &Executor{repeatable: true} }

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	d := executors.Description{
		ID: ID, Name: "No-op Executor", Type: "core",
		Description: "Returns its input at once, or fails as told",
		Tags:        []string{"core", "test"},
		Inputs:      inputSchema,
		Cancelable:  true,
		Examples: []executors.Example{
			{Title: "Have a result without doing anything", Inputs: json.RawMessage(`{"value": {"orders": 12}}`)},
		},
	}
	if e.repeatable {
		d.ID, d.Name, d.Repeatable = RepeatableID, "Repeatable No-op Executor", true
	}
	return d
}

var nothing = json.RawMessage("{}")

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(call.Inputs) <= len(nothing) {
		return executors.Completed(nothing), nil
	}
	var in struct {
		Value     json.RawMessage `json:"value"`
		Fail      *string         `json:"fail"`
		Permanent bool            `json:"permanent"`
	}
	if err := rawjson.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Invalid(e.Describe().ID, fmt.Sprintf("inputs: %v", err))
	}
	switch {
	case in.Fail != nil && in.Permanent:
		return nil, executors.Permanent(errors.New(*in.Fail))
	case in.Fail != nil:
		return nil, errors.New(*in.Fail)
	case in.Value == nil:
		return executors.Completed(nothing), nil
	}
	return executors.Completed(in.Value), nil
}
