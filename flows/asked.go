package flows

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/resource"
)

// Asked is what the workers of a pool must have for the steps that run there.
type Asked struct {
	Pool        string
	Executors   []string               // that run the steps, sorted
	Secrets     []string               // that inputs of the steps name, sorted
	Resources   []*resource.Definition // that the steps name, as their tasks have them, by name
	Connections []string               // of the workers' operators, that the steps name, sorted
}

// asking collects what a pool is asked.
type asking struct {
	executors, connections, secrets map[string]bool
	resources                       map[string]*resource.Definition
}

// Asks are what the pools of the flow's steps are asked, by pool. In a pool that is given, all of the steps would run there. It is empty if the flow has faults.
func (k *Checkup) Asks(pool string) (out []Asked) {
	if k.doc == nil || len(k.Errors) > 0 {
		return nil
	}
	a := &asks{compiler: &compiler{reader: k.read, doc: k.doc}, only: pool, pools: map[string]*asking{}, places: map[string]*asking{}}
	for _, j := range k.doc.everyJob() {
		for _, s := range j.Steps {
			a.step(s, cmp.Or(j.Pool, k.doc.Pool))
		}
	}
	a.secrets()
	for _, name := range slices.Sorted(maps.Keys(a.pools)) {
		p := a.pools[name]
		one := Asked{Pool: name, Executors: slices.Sorted(maps.Keys(p.executors)), Secrets: slices.Sorted(maps.Keys(p.secrets)), Connections: slices.Sorted(maps.Keys(p.connections))}
		for _, r := range slices.Sorted(maps.Keys(p.resources)) {
			one.Resources = append(one.Resources, p.resources[r])
		}
		out = append(out, one)
	}
	return out
}

// asks goes through the steps of a flow.
type asks struct {
	*compiler
	only   string // the pool that counts for all; empty: their own
	pools  map[string]*asking
	places map[string]*asking // by where steps are
}

func (a *asks) pool(name string) *asking {
	name = cmp.Or(a.only, name)
	if a.pools[name] == nil {
		a.pools[name] = &asking{executors: map[string]bool{}, connections: map[string]bool{}, secrets: map[string]bool{}, resources: map[string]*resource.Definition{}}
	}
	return a.pools[name]
}

// step notes where a step runs, and what it names.
func (a *asks) step(s *Step, pool string) {
	pool = cmp.Or(s.Pool, pool)
	run := s.innermost()
	executor := a.opts.executorOf(run.Type)
	if run.Each != nil {
		executor = dag.MapExecutor
		for _, one := range run.Each.Steps {
			a.step(one, pool)
		}
	}
	if executor == "" { // the flow itself does it
		return
	}
	runs := executor
	if a.opts.ofPlugin(executor) != nil {
		runs = pluginExecutor
	}
	at := a.pool(cmp.Or(pool, dag.PoolOf(runs)))
	at.executors[runs] = true
	a.places[s.loc], a.places[run.loc] = at, at
	takes, connects := a.opts.Connections[executor]
	if !connects {
		return
	}
	inputs := run.value.Get("inputs")
	if name := textOf(inputs.Get(connectionKey)); name != "" && !strings.Contains(name, "{{") {
		at.connections[name] = true
	}
	r := a.doc.resource(textOf(inputs.Get(resourceKey)))
	if r == nil {
		r = a.doc.defaultOf(takes, inputs)
	}
	if r != nil && at.resources[r.Name] == nil {
		at.resources[r.Name] = a.definition(r)
	}
}

// secrets gives each pool the secrets that inputs of its steps name.
func (a *asks) secrets() {
	for _, u := range a.uses {
		if len(u.path) != 2 || u.path[0] != "env" || !a.doc.Secret(u.path[1]) {
			continue
		}
		var at *asking
		for i := len(u.loc) - 1; i > 0 && at == nil; i-- {
			if u.loc[i] == '.' {
				at = a.places[u.loc[:i]]
			}
		}
		if at != nil { // else it is of a resource
			at.secrets[u.path[1]] = true
		}
	}
}
