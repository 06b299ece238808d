// Package builtin is the set of executors that come with a worker.
//
// It owns the list and its order. It must not know how any of them works, nor who calls them: a coordinator uses
// [Catalogue] alone.
package builtin

import (
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/aggregate"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/executors/rest"
	"github.com/taskgrove/taskgrove/executors/sleep"
	"github.com/taskgrove/taskgrove/executors/systeminfo"
)

// Config is what can be set for built-in executors. The zero value has every guard on: commands are refused.
type Config struct {
	Command command.Config
	REST    rest.Config
}

// New makes the built-in executors, in the order of spec 1.3 (the first of a type is what schemas.type stands for), then
// our own. Who is given them closes those that are an io.Closer: a worker does.
func New(cfg Config) []executors.Executor {
	return []executors.Executor{
		systeminfo.New(),
		command.New(cfg.Command),
		rest.New(cfg.REST),
		aggregate.New(),
		noop.New(),
		noop.NewRepeatable(),
		sleep.New(),
	}
}

// Catalogue yields what each executor says of itself, in order, without the means to run it: for the choice of
// executors (dag.Known) and for showing what there is.
//
//	var known dag.Known
//	for d := range builtin.Catalogue() {
//		known.Add(d.ID, d.Type)
//	}
func Catalogue() func(yield func(executors.Description) bool) {
	return func(yield func(executors.Description) bool) {
		for _, e := range New(Config{}) {
			if !yield(e.Describe()) {
				return
			}
		}
	}
}
