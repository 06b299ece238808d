package node

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/flows"
)

// flowsOf gives what a coordinator compiles a flow with that knows these executors.
func flowsOf(known dag.Known) func() flows.Options {
	described := sync.OnceValue(flowOptions) // when the first flow comes
	return func() flows.Options {
		opts := described()()
		opts.Executors = known
		return opts
	}
}

// flowExecutor is what flows are told of an executor that only workers describe.
func flowExecutor(e coordinator.Executor) *flows.Executor {
	d := executors.Description{ID: e.ID, Inputs: e.Inputs, Secrets: e.Secrets}
	if c := e.Connection; c != nil {
		d.Connection = &executors.Connection{Types: c.Types, Fields: c.Fields}
	}
	return FlowExecutor(d)
}

// FlowExecutor is what flows are told of an executor with this description, of which the inputs, the connection and whether it takes secrets count.
func FlowExecutor(d executors.Description) *flows.Executor {
	out := &flows.Executor{}
	if c := d.Connection; c != nil {
		out.Connection = &flows.Connector{Types: c.Types, Fields: c.Fields}
	}
	out.Inputs, _ = keysOf(d)
	violations := inputs.NewSubmitted(slices.Values([]executors.Description{d})).Tree()
	out.Faults = func(text json.RawMessage) []flows.InputFault { return flowFaults(violations, d.ID, text) }
	return out
}

// describePlugin reads the description of a plugin of a bundle: what the program says of itself, or what "taskgrove plugin describe -o json" shows of it.
func describePlugin(text []byte) (string, *flows.Executor, error) {
	said, err := protocol.ReadDescription(text)
	if err != nil {
		return "", nil, err
	}
	d := said.Executor()
	e := FlowExecutor(d)
	e.Timeout = d.Timeout
	return d.ID, e, nil
}

// flowFaults are what is wrong with the inputs of a step.
func flowFaults(violations func(inputs.Task) []inputs.Violation, executor string, text json.RawMessage) (faults []flows.InputFault) {
	for _, v := range violations(inputs.Task{Executor: executor, Inputs: text, Templates: true}) {
		faults = append(faults, flows.InputFault{Field: v.Field, Reason: v.Reason, Missing: v.Missing})
	}
	return faults
}
