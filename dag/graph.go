package dag

import (
	"fmt"
	"slices"
	"strings"
)

// Graph is a valid tree, by index of submission. Dependencies and dependents are in compressed rows: those of task i
// are Dep[DepStart[i]:DepStart[i+1]].
type Graph struct {
	IDs      []string // given or made
	Refs     []string // what the submission calls each task: the id that it gives, or the name where tasks have no ids
	UserID   string   // the one owner named, or empty
	Root     int32
	Parent   []int32 // -1 for the root
	Leaf     []bool  // no task names it as parent
	DepStart []int32 // len(IDs)+1
	Dep      []Edge  // in the order given, each task once (a repeated one: the first place, required if any is)
	Judged   []bool  // of which [Decision.Judge] decides whether they run; nil: none
	Holds    []bool  // for which tasks below take locks; nil: none
	Bounded  []bool  // that are below a group with a timeout; nil: none
	Under    []bool  // that are below one of Holds; nil: none
}

// Edge is one dependency of a task.
type Edge struct {
	Task     int32 // index of the dependency
	Required bool
	Mode     EdgeMode
	Type     string // as given; empty: "result"
}

// Dependencies are what task i waits for; the caller must not change them.
func (g *Graph) Dependencies(i int) []Edge { return g.Dep[g.DepStart[i]:g.DepStart[i+1]] }

// Flags are those of task i, on which so many others depend: its own, and those that its place in the tree gives it.
func (g *Graph) Flags(i int, dependents int32, own Flags) Flags {
	if g.Leaf[i] {
		own |= FlagLeaf
	}
	if dependents > 0 {
		own |= FlagDependents
	}
	if dependents > InlineDependents {
		own |= FlagWide
	}
	if g.Judged != nil && g.Judged[i] && own&FlagWhen == 0 {
		own |= FlagJudged
	}
	if g.Holds != nil && g.Holds[i] {
		own |= FlagKept
	}
	if g.Bounded != nil && g.Bounded[i] {
		own |= FlagBounded
	}
	if g.Under != nil && g.Under[i] {
		own |= FlagUnder
	}
	return own
}

// graph hands over what the builder holds; there are no faults.
func (b *Builder) graph(root int32) *Graph {
	g := &Graph{IDs: b.ids, Refs: b.ids, Root: root, Parent: b.parents, Leaf: make([]bool, len(b.ids)), DepStart: b.starts, Dep: b.edges}
	if len(b.owners) > 0 {
		g.UserID = b.owners[0]
	}
	if b.withID == 0 {
		g.Refs, g.IDs = b.names, make([]string, len(b.names))
		for i := range g.IDs {
			g.IDs[i] = b.newID()
		}
	}
	b.judge(g)
	b.bound(g)
	for i := range g.Leaf {
		g.Leaf[i] = true
	}
	for _, p := range g.Parent {
		if p >= 0 {
			g.Leaf[p] = false
		}
	}
	*b = Builder{}
	return g
}

// collapse merges repeated edges, drops unresolved ones, and closes the row starts with the end of the last row.
func (b *Builder) collapse() {
	b.starts = append(b.starts, int32(len(b.edges)))
	place := make([]int32, len(b.ids)) // where a task stands among the edges kept, plus one
	kept := int32(0)
	for i := range b.ids {
		row := b.edges[b.starts[i]:b.starts[i+1]]
		b.starts[i] = kept
		first := kept
		for _, e := range row {
			if e.Task < 0 {
				continue
			}
			if at := place[e.Task] - 1; at >= first {
				b.edges[at].Required = b.edges[at].Required || e.Required
				if b.edges[at].Mode == 0 {
					b.edges[at].Mode = e.Mode
				}
				continue
			}
			b.edges[kept] = e
			kept++
			place[e.Task] = kept
		}
	}
	b.starts[len(b.ids)] = kept
	clear(b.edges[kept:])
	b.edges = b.edges[:kept]
}

// checkCycles walks every path of dependencies once, depth first with its own stack, and reports the cycle that each
// edge back into the path closes.
func (b *Builder) checkCycles() {
	const (
		fresh = iota
		onPath
		done
	)
	type step struct{ task, next int32 } // next edge to follow
	state := make([]uint8, len(b.ids))
	var path []step
	for i := range b.ids {
		if state[i] != fresh {
			continue
		}
		path = append(path[:0], step{int32(i), b.starts[i]})
		state[i] = onPath
		for len(path) > 0 {
			top := &path[len(path)-1]
			if top.next == b.starts[top.task+1] {
				state[top.task] = done
				path = path[:len(path)-1]
				continue
			}
			dep := b.edges[top.next].Task
			top.next++
			switch state[dep] {
			case fresh:
				state[dep] = onPath
				path = append(path, step{dep, b.starts[dep]})
			case onPath:
				if b.faults.room(atCycle) {
					from := len(path) - 1
					for path[from].task != dep {
						from--
					}
					var cycle []int32
					for _, s := range path[from:] {
						cycle = append(cycle, s.task)
					}
					b.keepCycle(cycle)
				}
			}
		}
	}
}

// maxCycle is how many tasks of a cycle are named; of a longer one, the middle is left out.
const maxCycle = 100

// keepCycle records a cycle, in which each task depends on the next and the last on the first, from its earliest task on.
func (b *Builder) keepCycle(cycle []int32) {
	low := slices.Index(cycle, slices.Min(cycle))
	names := make([]string, 0, min(len(cycle), maxCycle)+1)
	for k := range cycle {
		switch omitted := len(cycle) - maxCycle; {
		case omitted <= 0 || k < maxCycle/2 || k > maxCycle/2+omitted:
			names = append(names, b.show(int(cycle[(low+k)%len(cycle)])))
		case k == maxCycle/2:
			names = append(names, fmt.Sprintf("… %d more …", omitted+1))
		}
	}
	names = append(names, names[0])
	b.faults.keep(atCycle, &InvalidTaskError{
		Code: CircularDependency, Index: int(cycle[low]), Task: b.identity(cycle[low]), Field: "dependencies", Cycle: names,
		Reason: cycleText(names),
	})
}

// cycleText is the fault of a closed path of dependencies.
func cycleText(names []string) string {
	return "Circular dependency detected: " + strings.Join(names, " -> ") +
		". Each of these tasks waits for the next, so none could ever start: remove one of these dependencies."
}

// maxListed is how many tasks are named in a fault about many.
const maxListed = 20

// checkRoots looks for the one root and for what does not hang from it. Unresolved parents are faults already, and say
// nothing about reachability.
func (b *Builder) checkRoots() (root int32) {
	var roots []string
	count := 0
	for i, p := range b.parents {
		if p != noParent {
			continue
		}
		if count == 0 {
			root = int32(i)
		}
		count++
		if len(roots) <= maxListed {
			roots = append(roots, b.show(i))
		}
	}
	switch {
	case count == 0 && len(b.ids) > 0:
		b.tree(atNoRoot, InvalidTree, "No root task found (task with no parent_id). At least one task must have no parent_id: remove it from the one that all "+
			"others hang from.")
	case count > 1:
		b.tree(atManyRoots, InvalidTree, fmt.Sprintf("Multiple root tasks found: [%s]. All tasks must be in a single task tree. "+
			"Only one task may be without parent_id (%d are): add a common root, %s, and give each of these the parent_id 'root'.",
			quoteList(roots, maxListed), count, b.commonRoot()))
	case count == 1 && !slices.Contains(b.parents, unresolved):
		b.checkReachable()
	}
	return root
}

// checkReachable follows parents upwards from every task; who comes round in a circle does not hang from the root.
func (b *Builder) checkReachable() {
	const (
		fresh = iota
		onPath
		reached
		lost
	)
	state := make([]uint8, len(b.ids))
	var path []int32
	var names []string
	count := 0
	for i := range b.ids {
		path = path[:0]
		at := int32(i)
		for at >= 0 && state[at] == fresh {
			state[at] = onPath
			path = append(path, at)
			at = b.parents[at]
		}
		end := uint8(reached) // above the root
		if at >= 0 && state[at] != reached {
			end = lost
		}
		for _, task := range path {
			state[task] = end
		}
		if state[i] != lost {
			continue
		}
		count++
		if len(names) <= maxListed {
			names = append(names, b.show(i))
		}
	}
	if count > 0 {
		b.tree(atUnreachable, InvalidTree, fmt.Sprintf("Tasks not in the same tree: [%s]. Every task must hang from the root by "+
			"parent_id (%d do not): their parent_ids lead round in a circle, so let one of them name a task that hangs from the root.",
			quoteList(names, maxListed), count))
	}
}

// quoteList is 'a', 'b' with at most limit of them.
func quoteList(names []string, limit int) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == limit {
			b.WriteString("…")
			break
		}
		b.WriteString("'" + name + "'")
	}
	return b.String()
}
