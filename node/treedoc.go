package node

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/process"
	"github.com/taskgrove/taskgrove/executors/python"
	"github.com/taskgrove/taskgrove/flows"
)

//go:generate go run ./docgen ../docs

// TreeSchema is the JSON Schema of the document of a tree, with the inputs of the executors that every worker of this program has.
func TreeSchema() ([]byte, error) {
	return treedoc.Schema(executorInputs())
}

// TreeFileSchema is the JSON Schema of a tree file, with the same inputs.
func TreeFileSchema() ([]byte, error) { return treedoc.FileSchema(executorInputs()) }

// FlowSchema is the JSON Schema of flows, with the same inputs.
func FlowSchema() ([]byte, error) { return flows.Schema(executorInputs()) }

// FlowOptions are what flows are judged by, as far as the executors of this program say it.
func FlowOptions() flows.Options { return flowOptions()() }

// flowOptions describes the executors once. What it gives gives the options of one flow, any number of times and at the same time; they share what describes the executors.
func flowOptions() func() flows.Options {
	submitted := inputs.NewSubmitted(Described())
	shared := flows.Options{
		Executors: Known(), Inputs: InputKeys(), Connections: map[string]flows.Connector{}, Describe: describePlugin,
		Rename: func(executor string, text json.RawMessage) (json.RawMessage, []flows.Renamed) {
			if executor != process.ID {
				return text, nil
			}
			text, old := process.Rename(text)
			var renamed []flows.Renamed
			for _, r := range old {
				renamed = append(renamed, flows.Renamed(r))
			}
			return text, renamed
		},
	}
	for d := range Described() {
		if c := d.Connection; c != nil {
			shared.Connections[d.ID] = flows.Connector{Types: c.Types, Fields: c.Fields}
		}
		if d.Workspace {
			shared.Workspace = append(shared.Workspace, d.ID)
		}
	}
	return func() flows.Options {
		opts, violations := shared, submitted.Tree()
		opts.Faults = func(executor string, text json.RawMessage) []flows.InputFault {
			return flowFaults(violations, executor, text)
		}
		return opts
	}
}

func executorInputs() (all []treedoc.ExecutorInputs) {
	for d := range (Options{}).catalogue() {
		all = append(all, treedoc.ExecutorInputs{ID: d.ID, Inputs: d.Inputs})
	}
	return all
}

// InputKeys are the keys that the inputs of the executors of this program may and must have.
func InputKeys() map[string]treedoc.InputKeys { return Options{}.inputKeys() }

// inputKeys are the keys that the inputs of each executor may and must have; of executors that take any there are none.
func (o Options) inputKeys() map[string]treedoc.InputKeys {
	all := map[string]treedoc.InputKeys{}
	builtIn := map[string]bool{} // to others, and to Python code, it may be data
	for d := range builtin.Catalogue() {
		builtIn[d.ID] = true
	}
	for d := range o.catalogue() {
		keys, are := keysOf(d)
		if !are {
			continue
		}
		keys.NoConnection = d.Connection == nil && builtIn[d.ID] && d.ID != python.ID && len(keys.Names) > 0
		all[d.ID] = keys
	}
	return all
}

// keysOf are the keys that the inputs of an executor may and must have, by its schema. are: it can be read.
func keysOf(d executors.Description) (keys treedoc.InputKeys, are bool) {
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	if json.Unmarshal(d.Inputs, &schema) != nil {
		return keys, false
	}
	keys = treedoc.InputKeys{Names: slices.Sorted(maps.Keys(schema.Properties)), Required: schema.Required}
	if c := d.Connection; c != nil && len(keys.Names) > 0 {
		keys.Names = slices.Compact(slices.Sorted(slices.Values(append(keys.Names, "connection"))))
		keys.Required = slices.DeleteFunc(keys.Required, func(name string) bool { return slices.Contains(c.Fields, name) })
	}
	return keys, true
}
