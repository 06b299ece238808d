// Package wait has an executor that waits for a signal from outside, without holding a slot.
//
// It owns wait_executor and the form of its inputs. It must not know how signals are sent, kept or checked.
package wait

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// ID is the executor's id.
const ID = "wait_executor"

// Bounds of the inputs.
const (
	maxName    = 255 // bytes
	maxSchema  = 32 << 10
	maxAnswer  = 16 << 10
	maxSeconds = 365 * 24 * 3600
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "signal": {"type": "string", "minLength": 1, "maxLength": 255, "description": "Name of the signal"},
    "schema": {"type": ["object", "boolean", "null"], "description": "JSON Schema of its payload; absent: any"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 31536000, "description": "Seconds to wait at most; absent: for ever"},
    "on_timeout": {"anyOf": [{"enum": ["fail", "skip", null]}, {"type": "object"}], "default": "fail", "description": "What becomes of the task then; an object is the payload"}
  },
  "required": ["signal"]
}`)

// Executor is wait_executor.
type Executor struct{}

// New makes one.
func New() *Executor { return &Executor{} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Wait Executor", Type: "core",
		Description: "Waits for a signal from outside without holding a slot; its payload is the result",
		Tags:        []string{"core", "wait"},
		Inputs:      inputSchema, Cancelable: true, Concurrency: executors.Waiting,
		Examples: []executors.Example{
			{Title: "Wait for a webhook for a day at most", Inputs: json.RawMessage(`{"signal": "paid", "timeout": 86400,
				"schema": {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}}`)},
			{Title: "Go on with a value if nothing comes", Inputs: json.RawMessage(`{"signal": "discount", "timeout": 600, "on_timeout": {"percent": 0}}`)},
		},
	}
}

// data is what whoever sends the signal has to know.
type data struct {
	Schema    json.RawMessage `json:"schema,omitempty"`
	OnTimeout json.RawMessage `json:"on_timeout,omitempty"`
}

// Run implements [executors.Executor].
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var in struct {
		Signal    string          `json:"signal"`
		Schema    json.RawMessage `json:"schema"`
		Timeout   *float64        `json:"timeout"`
		OnTimeout json.RawMessage `json:"on_timeout"`
	}
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Signal == "":
		return nil, executors.Invalid(ID, "signal is required in inputs")
	case len(in.Signal) > maxName || strings.ContainsRune(in.Signal, 0):
		return nil, executors.Invalid(ID, "signal must have at most 255 bytes, and no zero byte")
	case in.Timeout != nil && (*in.Timeout <= 0 || *in.Timeout > maxSeconds):
		return nil, executors.Invalid(ID, "timeout must be above 0 and at most a year, in seconds")
	case len(in.Schema) > maxSchema:
		return nil, executors.Invalid(ID, "schema must have at most 32 KiB")
	case len(in.OnTimeout) > maxAnswer:
		return nil, executors.Invalid(ID, "on_timeout must have at most 16 KiB")
	}
	await := executors.Await{Kind: executors.AwaitSignal, Name: in.Signal}
	if in.Timeout != nil {
		await.Timeout = time.Duration(*in.Timeout * float64(time.Second))
	}
	var d data
	var schema *inputs.Schema
	if given(in.Schema) {
		var err error
		if schema, err = inputs.Compile(in.Schema); err != nil {
			return nil, executors.Invalid(ID, "schema can't be used: "+err.Error())
		}
		d.Schema = in.Schema
	}
	if given(in.OnTimeout) {
		switch text := bytes.TrimSpace(in.OnTimeout); {
		case string(text) == `"fail"`, string(text) == `"skip"`:
		case text[0] != '{':
			return nil, executors.Invalid(ID, `on_timeout must be "fail", "skip" or an object`)
		case schema != nil:
			if faults := schema.Faults(text); len(faults) > 0 {
				return nil, executors.Invalid(ID, "on_timeout is not what schema asks for: "+strings.Join(faults, "; "))
			}
		}
		d.OnTimeout = in.OnTimeout
	}
	await.Data = d
	return executors.Awaiting(await), nil
}

// given reports whether an input is there and not null.
func given(text json.RawMessage) bool {
	return len(text) > 0 && !bytes.Equal(bytes.TrimSpace(text), []byte("null"))
}

// Demo implements [executors.Demonstrator]: the signal comes at once.
func (*Executor) Demo(*executors.Call) (any, time.Duration) {
	return map[string]any{"demo": true}, 0
}
