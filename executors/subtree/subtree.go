// Package subtree has an executor that submits a tree of its own and waits for its end, without holding a slot.
//
// It owns subtree_executor and the form of its inputs. It must not know how trees are submitted, cancelled or copied.
package subtree

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
const ID = "subtree_executor"

// MaxDocument bounds a tree, or the inputs of a copy, in bytes of JSON.
const MaxDocument = 60 << 10

const maxID = 255 // bytes

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "tree": {"type": ["array", "object", "null"], "description": "The tree: tasks as tasks.create takes them, 60 KiB at most. It is submitted as it is written here: nothing of it is rendered"},
    "copy_of": {"type": ["string", "null"], "minLength": 1, "maxLength": 255, "description": "Instead of tree: the id of a stored tree, of which a copy is submitted; all of it runs, as it was submitted"},
    "inputs": {"type": ["object", "null"], "additionalProperties": {"type": "object"}, "description": "Inputs that the copy gets instead of its own, by task: its id or name; those that are not named stay"},
    "flow": {"type": ["string", "null"], "minLength": 1, "maxLength": 64, "description": "Instead of tree: the id of a registered flow, of which a run begins; the result is what its jobs have come to"},
    "version": {"type": ["integer", "null"], "minimum": 0, "default": 0, "description": "Of the flow; 0: the newest"},
    "params": {"type": ["object", "null"], "description": "Values of the parameters of the flow"},
    "env": {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "description": "Values of the environment of the flow; none of secrets"},
    "job": {"type": ["string", "null"], "description": "The job of the flow that runs, with those that it needs; all, if it is left out"},
    "detach": {"type": ["boolean", "null"], "default": false, "description": "Do not wait for its end: the result is {\"subtree_id\": id}"}
  }
}`)

// Executor is subtree_executor.
type Executor struct{}

// New makes one.
func New() *Executor { return &Executor{} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Subtree Executor", Type: "core",
		Description: "Submits a tree of its own and waits for its end without holding a slot; the result of the tree's root is its result",
		Tags:        []string{"core", "control"},
		Inputs:      inputSchema, Cancelable: true, Concurrency: executors.Waiting,
		Kinds: []executors.ErrorKind{{Word: "child", Text: "The tree failed, or was deleted before its end"}},
		Examples: []executors.Example{
			{Title: "Run a tree of two tasks", Inputs: json.RawMessage(`{"tree": [
  {"id": "report", "name": "report", "schemas": {"method": "aggregate_results_executor"}, "dependencies": [{"id": "count"}]},
  {"id": "count", "name": "count", "parent_id": "report", "schemas": {"method": "command_executor"}, "inputs": {"command": "ls | wc -l"}}]}`)},
			{Title: "Run a stored tree once more, for another day", Inputs: json.RawMessage(`{"copy_of": "nightly-report", "inputs": {"fetch": {"day": "2026-11-28"}}}`)},
			{Title: "Start a tree and go on", Inputs: json.RawMessage(`{"copy_of": "clean-up", "detach": true}`)},
		},
	}
}

// data is what the tree is submitted by.
type data struct {
	Tree   json.RawMessage `json:"tree,omitempty"`
	CopyOf string          `json:"copy_of,omitempty"`
	Inputs json.RawMessage `json:"inputs,omitempty"`
	Detach bool            `json:"detach,omitempty"`

	Flow    string            `json:"flow,omitempty"`
	Version int               `json:"version,omitempty"`
	Params  json.RawMessage   `json:"params,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Job     string            `json:"job,omitempty"`
}

// Run implements [executors.Executor].
func (*Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var in struct {
		Tree   json.RawMessage `json:"tree"`
		CopyOf string          `json:"copy_of"`
		Inputs json.RawMessage `json:"inputs"`
		Detach bool            `json:"detach"`

		Flow    string            `json:"flow"`
		Version int               `json:"version"`
		Params  json.RawMessage   `json:"params"`
		Env     map[string]string `json:"env"`
		Job     string            `json:"job"`
	}
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	d := data{CopyOf: in.CopyOf, Detach: in.Detach, Flow: in.Flow, Version: in.Version, Env: in.Env, Job: in.Job}
	if given(in.Params) {
		d.Params = in.Params
	}
	if given(in.Tree) {
		d.Tree = in.Tree
	}
	if given(in.Inputs) {
		d.Inputs = in.Inputs
	}
	var faults []string
	switch {
	case d.Tree != nil && d.CopyOf != "", d.Flow != "" && (d.Tree != nil || d.CopyOf != ""):
		faults = append(faults, "of tree, copy_of and flow one is to be there")
	case d.Tree == nil && d.CopyOf == "" && d.Flow == "":
		faults = append(faults, "tree is required in inputs, or copy_of, or flow")
	}
	if d.Flow == "" && (d.Version != 0 || d.Params != nil || d.Env != nil || d.Job != "") {
		faults = append(faults, "version, params, env and job are of a flow, and there is none")
	}
	if d.Tree != nil && d.Inputs != nil {
		faults = append(faults, "inputs are of a copy, and there is a tree: say them there")
	}
	if len(d.CopyOf) > maxID || strings.ContainsRune(d.CopyOf, 0) {
		faults = append(faults, fmt.Sprintf("copy_of must have at most %d bytes, and no zero byte", maxID))
	}
	if len(d.Tree) > MaxDocument {
		faults = append(faults, fmt.Sprintf("tree has %d bytes, and may have %d: store the tree, and name it by copy_of", len(d.Tree), MaxDocument))
	}
	if len(d.Inputs) > MaxDocument {
		faults = append(faults, fmt.Sprintf("inputs have %d bytes, and may have %d: let the tree fetch what is large", len(d.Inputs), MaxDocument))
	}
	for _, key := range []string{"tree", "copy_of", "flow"} { // what a tree says, it says as a person: which secrets it names, and what it allows
		if (key == "tree" && d.Tree != nil || key == "copy_of" && d.CopyOf != "" || key == "flow" && d.Flow != "") && !slices.Contains(call.Submitted, key) {
			faults = append(faults, key+" was written by the result of a dependency: only whoever submits this task can write it")
		}
	}
	if len(faults) > 0 {
		return nil, executors.Invalid(ID, strings.Join(faults, "; "))
	}
	return executors.Awaiting(executors.Await{Kind: executors.AwaitTree, Data: d}), nil
}

// given reports whether an input is there and not null.
func given(text json.RawMessage) bool {
	return len(text) > 0 && !bytes.Equal(bytes.TrimSpace(text), []byte("null"))
}

// Demo implements [executors.Demonstrator]: the tree has ended at once.
func (*Executor) Demo(*executors.Call) (any, time.Duration) {
	return map[string]any{"demo": true}, 0
}
