package node

import (
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
			task := inputs.Task{Executor: t.Executor, Inputs: t.Inputs, Schemas: t.Schemas}
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
