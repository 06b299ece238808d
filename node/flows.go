package node

import (
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/flows"
)

// flowsOf gives what a coordinator compiles a flow with that knows these executors.
func flowsOf(known dag.Known) func() flows.Options {
	return func() flows.Options {
		opts := FlowOptions()
		opts.Executors = known
		return opts
	}
}
