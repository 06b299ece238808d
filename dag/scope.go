package dag

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/taskgrove/taskgrove/dag/template"
)

// Paths are the parts of values that templates name.
type Paths struct {
	whole   bool // of the value at hand
	members map[string]*Paths
	flow    *flowPaths // of a step of a flow, beside what is named of dependencies; nil: nothing
}

// Add adds a path.
func (p *Paths) Add(path []string) {
	for _, name := range path {
		next := p.members[name]
		if next == nil {
			if p.members == nil {
				p.members = map[string]*Paths{}
			}
			next = &Paths{}
			p.members[name] = next
		}
		p = next
	}
	p.whole = true
}

// below is what is named of a member; nil: nothing.
func (p *Paths) below(name string) *Paths {
	if p == nil {
		return nil
	}
	return p.members[name]
}

// all are the members of which anything is named.
func (p *Paths) all() map[string]*Paths {
	if p == nil {
		return nil
	}
	return p.members
}

// Names are the members of which anything is named, and what a flow has of what is named, sorted.
func (p *Paths) Names() []string {
	if p == nil {
		return nil
	}
	names := slices.Collect(maps.Keys(p.members))
	if p.flow != nil {
		names = append(names, p.flow.names()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pick appends what is named of a valid value: all of it, or an object of less. What an object says of members that were cut goes along.
// false: nothing of it is named.
func (p *Paths) pick(out, value []byte) ([]byte, bool) {
	if p == nil || isNull(value) && !p.whole {
		return out, false
	}
	if p.whole {
		return append(out, bytes.TrimSpace(value)...), true
	}
	if !isObject(value) {
		return out, false
	}
	before := len(out)
	out = append(out, '{')
	for m := range members(value) {
		name := m.name()
		next := p.members[name]
		if name == template.TruncatedFields {
			next = &Paths{whole: true}
		}
		start := len(out)
		if start > before+1 {
			out = append(out, ',')
		}
		out = append(append(out, m.key...), ':')
		var has bool
		if out, has = next.pick(out, m.value); !has {
			out = out[:start]
		}
	}
	return append(out, '}'), true
}

// ValuePaths are what the templates of a task's inputs and outputs name of its dependencies: by name, result, outputs, outcome and error. nil: nothing.
func (c *Control) ValuePaths(executor string, inputs json.RawMessage) *Paths {
	p, flow := &Paths{}, &flowPaths{step: c.FlowStep}
	add := func(rules *template.Rules, document map[string]any) {
		for _, path := range rules.Refs(document) {
			switch _, ofFlow := flowRoots[path[0]]; {
			case path[0] == "deps" && len(path) > 2:
				p.Add(path[1:])
			case ofFlow && c.FlowStep != nil && c.FlowStep.has(path):
				flow.named.Add(path)
			}
		}
	}
	if c.FlowStep != nil && executor == MapExecutor { // what it keeps for the tasks that it finds
		for m := range members(inputs) {
			if !Unrendered(executor, m.name()) {
				continue
			}
			for _, path := range flowRefs(m.value) {
				if c.FlowStep.has(path) {
					flow.named.Add(path)
				}
			}
		}
	}
	if c.Template && mayHoldToken(inputs) {
		document := decoded(inputs)
		maps.DeleteFunc(document, func(name string, _ any) bool { return Unrendered(executor, name) })
		add(&renderInputRules, document)
	}
	if c.Outputs != nil {
		add(&renderOutputRules, decoded(c.Outputs))
	}
	if c.Cache != nil {
		add(&inputRules, map[string]any{"key": c.Cache.Key})
	}
	if flow.named.members != nil {
		p.flow = flow
	}
	if p.members == nil && p.flow == nil {
		return nil
	}
	return p
}

// DependencyValue is what a dependency that has ended shows to templates.
type DependencyValue struct {
	Ref, Name       string
	State           State
	Error           string
	Kind            Kind // of the error
	Result, Outputs json.RawMessage
}

// Scope is the JSON object of what templates find by the root deps: what is named of dependencies, by their names. Of one that has not completed there is no result, and are no outputs.
// Of a step of a flow it has what is named of that, too.
func (p *Paths) Scope(dependencies []DependencyValue) json.RawMessage {
	all := make([]Addressed, len(dependencies))
	for i, d := range dependencies {
		all[i] = Addressed{Ref: d.Ref, Name: d.Name}
	}
	addresses := NewAddresses(all)
	const root = `{"deps":{`
	out := []byte(root)
	for _, name := range slices.Sorted(maps.Keys(p.members)) {
		i, reason := addresses.Find(name)
		if reason != "" {
			continue
		}
		if len(out) > len(root) {
			out = append(out, ',')
		}
		out = append(appendQuoted(out, name), ':')
		out = dependencies[i].scope(out, p.members[name])
	}
	if out = append(out, '}'); p.flow != nil {
		out = p.flow.append(out, func(name string) *DependencyValue {
			if i, reason := addresses.Find(name); reason == "" {
				return &dependencies[i]
			}
			return nil
		})
	}
	return append(out, '}')
}

func (d *DependencyValue) scope(out []byte, p *Paths) []byte {
	var result, outputs []byte
	if d.State == Completed {
		result, outputs = d.Result, d.Outputs
		if isNull(result) {
			result = []byte("null")
		}
	}
	before := len(out)
	out = append(out, '{')
	for _, part := range []struct {
		name  string
		value []byte
	}{{"outcome", appendQuoted(nil, d.State.Outcome())}, {"error", appendQuoted(nil, d.Error)}, {"outputs", outputs}, {"result", result}} {
		if part.value == nil {
			continue
		}
		start := len(out)
		if start > before+1 {
			out = append(out, ',')
		}
		out = append(appendQuoted(out, part.name), ':')
		var has bool
		if out, has = p.below(part.name).pick(out, part.value); !has {
			out = out[:start]
		}
	}
	return append(out, '}')
}
