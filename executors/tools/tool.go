package tools

import (
	"context"
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
)

// Tool is one that an agent may use. A tool that keeps something open is an io.Closer too; it is closed at the end of the attempt.
type Tool interface {
	// Spec is what the model is told of the tool. It stays the same.
	Spec() model.Tool
	// Run does the work once. args are a JSON object that fits the schema of the spec. call is the attempt that the tool is used in.
	//
	// An error is told to the model, which may try otherwise, as text: no secrets. If the context has ended it ends the attempt. Run may be
	// called by several goroutines at once.
	Run(ctx context.Context, call *executors.Call, args json.RawMessage) (Answer, error)
}

// Answer is what a tool says.
type Answer struct {
	Text   string          // that the model reads; empty: JSON is what it reads
	JSON   json.RawMessage // the answer as data; nil: it is text
	Failed bool            // the tool could not do what was asked
}

// String is what the model reads.
func (a Answer) String() string {
	if a.Text == "" && len(a.JSON) > 0 {
		return string(a.JSON)
	}
	return a.Text
}

// Message is the answer to a call of a tool, as a part of the conversation.
func (a Answer) Message(call model.ToolCall) model.Message {
	m := model.Text(model.ToolRole, a.String())
	m.CallID, m.Failed = call.ID, a.Failed
	return m
}

// Kind is a kind of tools that tasks can name: "MyTool()", "MyTool(x=1)".
type Kind struct {
	// Description describes the making: ID is the name that tasks write, Inputs the schema of the arguments in the parentheses, and Secrets
	// and Connection say what these may name.
	executors.Description
	// New makes one for an attempt. call.Inputs are the arguments, checked, with secrets in their places. Errors fail the task; they should
	// be made by [executors.Invalid].
	New func(call *executors.Call) (Tool, error)
	// Override: the kind takes the place of one of the same name that is there before.
	Override bool
}
