// Package approval has an executor that asks people before a tree goes on, without holding a slot.
//
// It owns approval_executor and the form of its inputs. It must not know how answers are given, or who may give them.
package approval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// ID is the executor's id.
const ID = "approval_executor"

// Bounds of the inputs.
const (
	maxMessage   = 16 << 10 // bytes
	maxChoices   = 20
	maxChoice    = 64 // bytes
	maxApprovers = 100
	maxApprover  = 255
	maxSeconds   = 365 * 24 * 3600
)

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "message": {"type": "string", "minLength": 1, "maxLength": 16384, "description": "What is to be decided"},
    "approvers": {"type": ["array", "null"], "maxItems": 100, "items": {"type": "string", "minLength": 1, "maxLength": 255}, "description": "Who may answer: ids of users, and roles; absent: whoever may run the tree"},
    "choices": {"type": ["array", "null"], "minItems": 1, "maxItems": 20, "uniqueItems": true, "items": {"type": "string", "minLength": 1, "maxLength": 64}, "default": ["approve", "reject"], "description": "Possible answers; reject rejects"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 31536000, "description": "Seconds to wait at most; absent: for ever"},
    "on_timeout": {"anyOf": [{"enum": ["fail", "skip", null]}, {"type": "object", "properties": {"choice": {"type": "string"}, "comment": {"type": "string"}}, "required": ["choice"], "additionalProperties": false}], "default": "fail", "description": "What becomes of the task then; an object is the answer"},
    "on_reject": {"enum": ["fail", "skip", null], "default": "fail", "description": "What becomes of the task when it is rejected"}
  },
  "required": ["message"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "choice": {"type": "string", "description": "What was chosen"},
    "by": {"type": "string", "description": "Who chose it: a user, or the name of a link"},
    "at": {"type": "string", "format": "date-time", "description": "When"},
    "comment": {"type": "string", "description": "What they said"}
  },
  "required": ["choice", "by", "at", "comment"]
}`)

// Executor is approval_executor.
type Executor struct{}

// New makes one.
func New() *Executor { return &Executor{} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Approval Executor", Type: "core",
		Description: "Asks people and waits for their answer without holding a slot; who, when and comment are the result",
		Tags:        []string{"core", "wait"},
		Inputs:      inputSchema, Output: outputSchema, Cancelable: true, Concurrency: executors.Waiting,
		Examples: []executors.Example{
			{Title: "Ask a person first", Inputs: json.RawMessage(`{"message": "Deploy build 117 to production?", "approvers": ["alice", "approver"]}`)},
			{Title: "Let silence be a yes after a day", Inputs: json.RawMessage(`{"message": "Send the newsletter?", "timeout": 86400, "on_timeout": {"choice": "approve"}}`)},
			{Title: "Choose a way", Inputs: json.RawMessage(`{"message": "How shall the refund be paid?", "choices": ["card", "voucher", "reject"], "on_reject": "skip"}`)},
		},
	}
}

// data is what whoever answers has to know.
type data struct {
	Message   string          `json:"message"`
	Choices   []string        `json:"choices"`
	Approvers []string        `json:"approvers,omitempty"`
	OnTimeout json.RawMessage `json:"on_timeout,omitempty"`
	OnReject  string          `json:"on_reject,omitempty"`
}

// Run implements [executors.Executor].
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var in struct {
		Message   string          `json:"message"`
		Approvers []string        `json:"approvers"`
		Choices   []string        `json:"choices"`
		Timeout   *float64        `json:"timeout"`
		OnTimeout json.RawMessage `json:"on_timeout"`
		OnReject  *string         `json:"on_reject"`
	}
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	d := data{Message: in.Message, Choices: in.Choices, Approvers: in.Approvers}
	if d.Choices == nil {
		d.Choices = []string{"approve", "reject"}
	}
	if fault := d.fault(); fault != "" {
		return nil, executors.Invalid(ID, fault)
	}
	await := executors.Await{Kind: executors.AwaitApproval}
	if in.Timeout != nil {
		if *in.Timeout <= 0 || *in.Timeout > maxSeconds {
			return nil, executors.Invalid(ID, "timeout must be above 0 and at most a year, in seconds")
		}
		await.Timeout = time.Duration(*in.Timeout * float64(time.Second))
	}
	if in.OnReject != nil {
		if d.OnReject = *in.OnReject; d.OnReject != "fail" && d.OnReject != "skip" {
			return nil, executors.Invalid(ID, `on_reject must be "fail" or "skip"`)
		}
	}
	if text := bytes.TrimSpace(in.OnTimeout); len(text) > 0 && string(text) != "null" {
		if !answers(text, d.Choices) {
			return nil, executors.Invalid(ID, `on_timeout must be "fail", "skip" or an object with one of the choices`)
		}
		d.OnTimeout = in.OnTimeout
	}
	await.Data = d
	return executors.Awaiting(await), nil
}

// answers reports whether a value says what becomes of the task when nobody has answered.
func answers(text []byte, choices []string) bool {
	if string(text) == `"fail"` || string(text) == `"skip"` {
		return true
	}
	var answer struct {
		Choice  string `json:"choice"`
		Comment string `json:"comment"`
	}
	return text[0] == '{' && json.Unmarshal(text, &answer) == nil && slices.Contains(choices, answer.Choice) && len(answer.Comment) <= maxMessage
}

// fault is what is wrong with what people are asked; empty: nothing.
func (d *data) fault() string {
	switch {
	case strings.TrimSpace(d.Message) == "":
		return "message is required in inputs"
	case len(d.Message) > maxMessage:
		return fmt.Sprintf("message must have at most %d bytes", maxMessage)
	case len(d.Choices) == 0 || len(d.Choices) > maxChoices:
		return fmt.Sprintf("choices must have 1 to %d entries", maxChoices)
	case len(d.Approvers) > maxApprovers:
		return fmt.Sprintf("approvers must have at most %d entries", maxApprovers)
	}
	for i, c := range d.Choices {
		if c == "" || len(c) > maxChoice || strings.ContainsRune(c, 0) || slices.Contains(d.Choices[:i], c) {
			return fmt.Sprintf("choices[%d] must be a text of 1 to %d bytes that no other choice has", i, maxChoice)
		}
	}
	for i, a := range d.Approvers {
		if a == "" || len(a) > maxApprover {
			return fmt.Sprintf("approvers[%d] must be a text of 1 to %d bytes", i, maxApprover)
		}
	}
	return ""
}

// Demo implements [executors.Demonstrator]: somebody takes the first choice.
func (*Executor) Demo(call *executors.Call) (any, time.Duration) {
	choice := "approve"
	var in struct{ Choices []string }
	if json.Unmarshal(call.Inputs, &in) == nil && len(in.Choices) > 0 {
		choice = in.Choices[0]
	}
	return map[string]any{"choice": choice, "by": "demo", "at": "2026-01-01T00:00:00Z", "comment": "only demonstrated"}, 0
}
