package flows

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// Others are executors beside those of [Options.Executors]: the ones that only workers know. They are asked for what a flow names, once for each.
type Others interface {
	// IDs are all ids, in any order.
	IDs() []string
	// Find is the executor of an id. nil: there is none.
	Find(id string) *Executor
}

// Executor is what is known of one of the others.
type Executor struct {
	Inputs     treedoc.InputKeys                         // without names: it takes any
	Faults     func(inputs json.RawMessage) []InputFault // as [Options.Faults]; nil: nobody looks
	Connection *Connector                                // nil: its steps can't name resources, unless it has an input of that name
	Timeout    time.Duration                             // of each attempt of a step that names none; 0: unlimited, or the worker knows it
}

// executorOf is the id of the executor that a type names; empty: there is none.
func (o *Options) executorOf(typ string) string {
	switch {
	case typ == pluginExecutor:
		return "" // it runs what only a bundle says
	case typ == callFlow:
		return dag.SubtreeExecutor
	case o.pluginOf(typ) != nil: // one that must not be in the place of another was refused
		return pluginKey(typ)
	case o.Executors.Has(typ):
		return typ
	case o.Executors.Has(typ + executorSuffix):
		return typ + executorSuffix
	case o.learn(typ):
		return typ
	case o.learn(typ + executorSuffix):
		return typ + executorSuffix
	}
	return ""
}

// executorSuffix may be left out of the type of a step.
const executorSuffix = "_executor"

// learn reports whether one of the others has the id, and takes what is known of it.
func (o *Options) learn(id string) bool {
	e, known := o.found[id]
	if o.Others == nil || known {
		return e != nil
	}
	e = o.Others.Find(id)
	return o.know(id, e)
}

// know takes what is known of one that is not among the executors of this program; nil: there is none.
func (o *Options) know(id string, e *Executor) bool {
	if o.found == nil {
		o.found, o.Inputs, o.Connections = map[string]*Executor{}, maps.Clone(o.Inputs), maps.Clone(o.Connections)
	}
	if o.found[id] = e; e == nil {
		return false
	}
	if o.Inputs == nil {
		o.Inputs = map[string]treedoc.InputKeys{}
	}
	if o.Inputs[id] = e.Inputs; e.Connection != nil {
		if o.Connections == nil {
			o.Connections = map[string]Connector{}
		}
		o.Connections[id] = *e.Connection
	}
	return true
}

// faultsOf are what is wrong with inputs of an executor.
func (o *Options) faultsOf(executor string, inputs json.RawMessage) []InputFault {
	if e := o.found[executor]; e != nil && e.Faults != nil {
		return e.Faults(inputs)
	}
	if o.Faults == nil {
		return nil
	}
	return o.Faults(executor, inputs)
}

// types are the words that a step may have as its type.
func (o *Options) types() []string {
	all := o.Executors.IDs()
	if o.Others != nil {
		all = append(all, o.Others.IDs()...)
	}
	out := append([]string{withLock, forEach, callFlow}, slices.Collect(maps.Keys(o.Plugins))...)
	for _, id := range all {
		if id == pluginExecutor {
			continue
		}
		short := strings.TrimSuffix(id, executorSuffix)
		if out = append(out, short); short != id {
			out = append(out, id)
		}
	}
	return out
}

// OwnType is a type of steps that flows have by themselves.
type OwnType struct{ Type, Description string }

// OwnTypes are the types of steps that no executor stands behind.
func OwnTypes() []OwnType {
	return []OwnType{{withLock, "Runs one other step, and holds a lock while it runs"}, {forEach, "Runs a step, or several, for each item of a list"}, {callFlow, "Runs another flow, and waits for its end"}}
}
