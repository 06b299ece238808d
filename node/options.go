package node

import (
	"iter"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/internal/sealed"
)

// Options are what no setting says. The zero value makes the processes of production.
type Options struct {
	// Executors beside the built-in ones: a worker runs them; a coordinator knows them, and which are repeatable, before any
	// worker announces them.
	Executors []executors.Executor
	// Levels are the feature levels of a coordinator; nil: those of this version.
	Levels dag.Levels
	// KMS wraps the data keys that a coordinator seals with, in place of the keys of the settings; nil: those do. All coordinators of a cluster
	// have the same one.
	KMS KMS
	// Resting makes a coordinator that answers the calls of its own process, and has no loops and no listeners.
	Resting bool
	// LineWait is [worker.Config.LineWait] of a worker; 0: the default.
	LineWait time.Duration
}

// KMS wraps data keys under a master key that is kept outside Postgres. Its Unwrap returns [ErrNoKey] when asking again is no use; any other
// error means that the service is away.
type KMS = sealed.KMS

// ErrNoKey is for a [KMS]: there is no such master key, it may not be used, or it did not wrap this.
var ErrNoKey = sealed.ErrNoKey

// Known are the executors that every worker of this program has: what a task's choice is made from.
func Known() dag.Known { return Options{}.known() }

func (o Options) known() (known dag.Known) {
	for d := range o.catalogue() {
		known.Add(d.ID, d.Type)
	}
	return known
}

// given are the executors beside the built-in ones.
func (o Options) given() (ids []string) {
	for _, e := range o.Executors {
		ids = append(ids, e.Describe().ID)
	}
	return ids
}

// repeatable are the executors whose tasks may run twice at once without harm.
func (o Options) repeatable() (ids []string) {
	for d := range o.catalogue() {
		if d.Repeatable {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// executors are what the executors say of themselves, in the coordinator's words.
func (o Options) executors() (all []coordinator.Executor) {
	for d := range o.catalogue() {
		e := coordinator.Executor{
			ID: d.ID, Type: d.Type, Name: d.Name, Description: d.Description, Tags: d.Tags, Inputs: d.Inputs, Output: d.Output,
			Cancelable: d.Cancelable, Repeatable: d.Repeatable, Timeout: d.Timeout, Secrets: d.Secrets,
		}
		if d.Connection != nil {
			e.Connection = &coordinator.ConnectionUse{Types: d.Connection.Types, Fields: d.Connection.Fields}
		}
		for _, x := range d.Examples {
			e.Examples = append(e.Examples, coordinator.ExecutorExample(x))
		}
		all = append(all, e)
	}
	return all
}

// catalogue yields what each executor says of itself, the built-in ones first.
func (o Options) catalogue() func(yield func(executors.Description) bool) {
	return func(yield func(executors.Description) bool) {
		for d := range builtin.Catalogue() {
			if !yield(d) {
				return
			}
		}
		for _, e := range o.Executors {
			if !yield(e.Describe()) {
				return
			}
		}
	}
}

// Described yields what the executors of this program say of themselves.
func Described() iter.Seq[executors.Description] { return Options{}.catalogue() }
