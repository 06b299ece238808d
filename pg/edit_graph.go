package pg

import (
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// fewEdges are those of some tasks. It implements [dag.Edges].
type fewEdges struct {
	dependencies, dependents map[dag.Key][]dag.Dependent
}

func (e fewEdges) Dependencies(k dag.Key) []dag.Dependent { return e.dependencies[k] }
func (e fewEdges) Dependents(k dag.Key) []dag.Dependent   { return e.dependents[k] }

// wholeGraph are the edges of a tree as an edit leaves them. It implements [dag.Edges].
type wholeGraph struct {
	*planner
	tree    dag.TreeKey
	rewired map[int][]dag.Dependent // instead of what was read
	start   []int32                 // of each task's dependents
	all     []dag.Dependent
}

// Dependencies implements [dag.Edges].
func (g *wholeGraph) Dependencies(k dag.Key) []dag.Dependent {
	i := k.Index()
	if now, ok := g.rewired[i]; ok {
		return now
	}
	edges := g.dependencies(i)
	out := make([]dag.Dependent, len(edges))
	for n, e := range edges {
		out[n] = dag.Dependent{Key: g.tree.Key(int(e.Task)), Required: e.Required, Mode: e.Mode}
	}
	return out
}

// Dependents implements [dag.Edges].
func (g *wholeGraph) Dependents(k dag.Key) []dag.Dependent {
	i := k.Index()
	if g.start == nil {
		g.reverse()
	}
	return g.all[g.start[i]:g.start[i+1]]
}

// reverse finds the dependents of all tasks.
func (g *wholeGraph) reverse() {
	n := len(g.nodes)
	g.start = make([]int32, n+1)
	for i := range n {
		for _, e := range g.Dependencies(g.tree.Key(i)) {
			g.start[e.Key.Index()+1]++
		}
	}
	for i := range n {
		g.start[i+1] += g.start[i]
	}
	next := slices.Clone(g.start)
	g.all = make([]dag.Dependent, g.start[n])
	for i := range n {
		for _, e := range g.Dependencies(g.tree.Key(i)) {
			on := e.Key.Index()
			g.all[next[on]] = dag.Dependent{Key: g.tree.Key(i), Required: e.Required, Mode: e.Mode}
			next[on]++
		}
	}
}

// state is what a task's was when the graph was read.
func (g *wholeGraph) state(k dag.Key) dag.State { return g.nodes[k.Index()].State }

// wired is a list of dependencies as it is stored.
type wired struct {
	on    []dag.Dependent // each once, in the order given
	types []string        // "" for "result"
}

// readWired reads the columns deps, dep_types and dep_modes.
func readWired(tree dag.TreeKey, deps []int32, types []string, modes []int16) wired {
	w := wired{on: make([]dag.Dependent, len(deps)), types: make([]string, len(deps))}
	for i, d := range deps {
		w.on[i] = dag.Dependent{Key: tree.Key(int(max(d, -d) - 1)), Required: d > 0, Mode: modeAt(modes, i)}
		if i < len(types) {
			w.types[i] = types[i]
		}
	}
	return w
}

// add adds a dependency; a repeated one is required if any is.
func (w *wired) add(d dag.Dependent, typ string) {
	if i := slices.IndexFunc(w.on, func(o dag.Dependent) bool { return o.Key == d.Key }); i >= 0 {
		w.on[i].Required = w.on[i].Required || d.Required
		if w.on[i].Mode == 0 {
			w.on[i].Mode = d.Mode
		}
		return
	}
	if typ == "result" {
		typ = ""
	}
	w.on, w.types = append(w.on, d), append(w.types, typ)
}

// columns are deps, dep_types and dep_modes; nil for null.
func (w wired) columns() (deps []int32, types []string, modes []int16) {
	for i, d := range w.on {
		n := int32(d.Key.Index() + 1)
		if !d.Required {
			n = -n
		}
		deps = append(deps, n)
		if w.types[i] != "" && types == nil {
			types = make([]string, len(w.on))
		}
	}
	if slices.ContainsFunc(w.on, func(d dag.Dependent) bool { return d.Mode != 0 }) {
		modes = modesOf(w.on)
	}
	for i := range types {
		if types[i] = w.types[i]; types[i] == "" {
			types[i] = "result"
		}
	}
	return deps, types, modes
}

func modesOf(edges []dag.Dependent) []int16 {
	modes := make([]int16, len(edges))
	for i, e := range edges {
		modes[i] = int16(e.Mode)
	}
	return modes
}

// without is the list without some tasks.
func (w wired) without(gone func(dag.Key) bool) (left wired) {
	for i, d := range w.on {
		if !gone(d.Key) {
			left.on, left.types = append(left.on, d), append(left.types, w.types[i])
		}
	}
	return left
}

// keysOf are the tasks at the other ends of edges.
func keysOf(edges []dag.Dependent) []dag.Key {
	keys := make([]dag.Key, len(edges))
	for i, e := range edges {
		keys[i] = e.Key
	}
	return keys
}

// queueRewire writes what a task depends on, in place of what it did; all of these are locked.
func queueRewire(b *pgx.Batch, k dag.Key, was, now []dag.Dependent) {
	if len(was) > 0 {
		b.Queue(sql("DeleteEdgesOf"), k, keysOf(was))
	}
	if len(now) > 0 {
		required := make([]bool, len(now))
		for i, e := range now {
			required[i] = e.Required
		}
		b.Queue(sql("InsertEdges"), k, keysOf(now), required, modesOf(now))
	}
}

// edgeCounts are how many tasks depend on each of some, exactly if that is few enough to be unlocked at once.
type edgeCounts map[dag.Key]int

// queueEdgeCounts counts the dependents of tasks that are locked, of which each loses so many at most.
func queueEdgeCounts(b *pgx.Batch, keys []dag.Key, loses int, counts edgeCounts) {
	b.Queue(sql("HasEdges"), keys, dag.InlineDependents+1+loses).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func(v *values) { counts[v.key()] = int(v.bigint()) })
	})
}

// flags are those of a task with so many dependents.
func (c edgeCounts) flags(k dag.Key, f dag.Flags) dag.Flags {
	f &^= dag.FlagDependents | dag.FlagWide
	if c[k] > 0 {
		f |= dag.FlagDependents
	}
	if c[k] > dag.InlineDependents {
		f |= dag.FlagWide
	}
	return f
}
