// Package checkitems has an executor that looks whether there is anything to do (flows 5.3).
//
// It owns check_items. It must not know where items come from, or what depends on its outcome.
package checkitems

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// ID is the executor's id: the name of the step in flows.
const ID = "check_items"

// Reason is why a task is skipped that found too few items.
const Reason = "no_data"

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "items": {"type": ["array", "string"], "description": "A list, its JSON as a text, or a text with commas between the items"},
    "min_count": {"type": ["integer", "string", "null"], "default": 1, "pattern": "^ *[+-]?[0-9]{1,18} *$", "description": "How many there must be; a text holds a number, as defaults of templates do"}
  },
  "required": ["items"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "has_data": {"type": "boolean", "description": "There are enough"},
    "count": {"type": "integer", "description": "How many there are"},
    "skipped": {"type": "boolean", "description": "Present and true when there are too few"},
    "reason": {"type": "string", "description": "Then: no_data"},
    "reason_text": {"type": "string", "description": "Then: how many there are, and how many there must be"}
  },
  "required": ["has_data", "count"]
}`)

// Executor is check_items.
type Executor struct{}

// New makes one.
func New() *Executor { return &Executor{} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Check Items", Type: "core",
		Description: "Counts items, and is skipped if there are too few",
		Tags:        []string{"core", "flows"},
		Inputs:      inputSchema, Output: outputSchema,
		Cancelable: true, Repeatable: true,
		Examples: []executors.Example{
			{Title: "Look whether there are any files", Inputs: json.RawMessage(`{"items": ["a.csv", "b.csv"]}`)},
			{Title: "Ask for two at least, of a text", Inputs: json.RawMessage(`{"items": "EUR, USD, GBP", "min_count": 2}`)},
		},
	}
}

// Result is how many items there are.
type Result struct {
	HasData bool   `json:"has_data"`
	Count   int    `json:"count"`
	Text    string `json:"reason_text,omitempty"`
}

// Run implements [executors.Executor].
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var in struct {
		Items json.RawMessage `json:"items"`
		Min   *inputs.Integer `json:"min_count"`
	}
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	count, err := countOf(in.Items)
	if err != nil {
		return nil, executors.Invalid(ID, err.Error())
	}
	least := in.Min.Or(1)
	if int64(count) < least {
		return executors.Skip(Reason, &Result{Count: count, Text: fmt.Sprintf("count(%d) < min_count(%d)", count, least)}), nil
	}
	return executors.Completed(&Result{HasData: true, Count: count}), nil
}

// Demo implements [executors.Demonstrator].
func (*Executor) Demo(call *executors.Call) (result any, takes time.Duration) {
	var in struct {
		Items json.RawMessage `json:"items"`
	}
	_ = json.Unmarshal(call.Inputs, &in) // a demonstration fails for nothing
	n, _ := countOf(in.Items)
	return &Result{HasData: true, Count: max(1, n)}, 0
}

// countOf is how many items a value has.
func countOf(raw json.RawMessage) (int, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return 0, errors.New("items is required in inputs")
	}
	var list []json.RawMessage
	if raw[0] != '"' {
		if json.Unmarshal(raw, &list) != nil {
			return 0, errors.New("items must be a list, or a text with commas between the items")
		}
		return len(list), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return 0, errors.New("items can't be read")
	}
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") && json.Unmarshal([]byte(text), &list) == nil {
		return len(list), nil
	}
	n := 0
	for item := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(item) != "" {
			n++
		}
	}
	return n, nil
}
