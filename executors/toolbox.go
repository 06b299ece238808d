package executors

import (
	"bytes"
	"context"
	"encoding/json"
)

// Toolbox lets an attempt use other executors of its worker as an agent's tools. Which ones, the worker's operator says.
type Toolbox interface {
	// Tool describes an executor that the attempt may use. The error, which is permanent, says that there is none of this id, or how an
	// operator allows it.
	Tool(executor string) (Description, error)
	// Use runs it once, within the attempt: under its context, its lease and its time. The result is JSON.
	Use(ctx context.Context, use ToolUse) (json.RawMessage, error)
	// Resolve is for tools that are no executors, such as those of an MCP server: fixed, which the task's author has set, is checked as the
	// inputs of an executor that describes itself as d, and becomes the inputs of a call. Secrets and a connection that it names are in their
	// places, and what the call reports is without them. All else is as in the attempt's own call.
	Resolve(d Description, fixed json.RawMessage) (*Call, error)
}

// ToolUse is one use of an executor as a tool.
type ToolUse struct {
	Executor string
	Name     string // the tool's, in the log of the attempt; empty: Executor
	// Fixed are the inputs that the task's author has set, a JSON object or nil. They go before Arguments; only here may secrets and a
	// connection be named.
	Fixed json.RawMessage
	// Arguments are what the model chose, a JSON object: data, whose names of secrets are refused.
	Arguments json.RawMessage
	// Number counts the uses within the attempt that say the same, from 1: with what they say it makes the idempotency key of each. A repeated
	// attempt, whose model may use other tools or the same in another order, so has the same key for the same use, and for no other.
	Number int
}

// Says is all that makes a use do what it does. Arguments that differ in space or in the order of names alone say the same.
func (u *ToolUse) Says() []byte {
	var arguments any
	d := json.NewDecoder(bytes.NewReader(u.Arguments))
	d.UseNumber()
	if d.Decode(&arguments) != nil {
		arguments = string(u.Arguments)
	}
	said, _ := json.Marshal([]any{u.Executor, string(u.Fixed), arguments}) // texts, and what was read
	return said
}
