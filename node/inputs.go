package node

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// inputFaults makes what finds faults in the inputs of submitted tasks, by what the executors say of themselves.
func (o Options) inputFaults() func() func(*dag.Task) []coordinator.InputFault {
	submitted := inputs.NewSubmitted(o.catalogue())
	return func() func(*dag.Task) []coordinator.InputFault {
		violations := submitted.Tree()
		return func(t *dag.Task) (faults []coordinator.InputFault) {
			task := inputs.Task{Executor: t.Executor, Inputs: t.Inputs, Schemas: t.Schemas, Templates: t.Control != nil && t.Control.Template}
			if len(t.Dependencies) > 0 {
				task.Overwrites = t.Overwrites
			}
			for _, v := range violations(task) {
				faults = append(faults, coordinator.InputFault(v))
			}
			return faults
		}
	}
}

// schemaFaults makes what finds the violations of a schema by a value. The schemas used last are kept.
func schemaFaults() func(schema, value json.RawMessage) []string {
	checker := inputs.NewChecker(0)
	return checker.Faults
}
