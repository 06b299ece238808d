package dag

// CopyMode says which tasks a copy takes (spec 4.2).
type CopyMode uint8

// The modes of a copy.
const (
	CopyMinimal CopyMode = iota // the target, all below it, and what depends on them
	CopyFull                    // the whole tree
	CopyCustom                  // named tasks and what they depend on
)

// CopyRequest is what is asked for. Tasks are named by their index.
type CopyRequest struct {
	Mode        CopyMode
	Target      int
	Named       []int // with CopyCustom
	Descendants bool  // with CopyCustom: all below the named ones, too
	Fresh       bool  // nothing is kept: what would be is to run again (spec 4.3, reset_fields with status)
}

// CopyNode is a task of a stored tree, as a copy of it is planned.
type CopyNode struct {
	State  State
	Parent int32 // index; -1: the root
	Absent bool  // there is no task of the index
}

// CopyPlan says what a copy holds.
type CopyPlan struct {
	Tasks []int32 // indices in the original, rising: the order of the copy
	Keep  []bool  // of each: it is kept as it ended, and does not run again
	Root  int     // place of the copy's root in Tasks
}

// PlanCopy chooses the tasks of a copy, and which of them are kept as they ended (spec 4.2, 4.3). deps gives a task's dependencies. Linear in
// tasks and edges.
//
// What is asked for runs again: see copying.chosen. Then the copy is made whole, so that it can run: each dependency of a copied task
// is in it, kept if it has completed, else to run again. In a full copy all other tasks are kept, too, if they ended, whichever way. A minimal
// copy within the target's own subtree has the target as its root. Every other one hangs from the original's root, so that parents come
// along: those of what is asked for run again, the others are as dependencies.
func PlanCopy(nodes []CopyNode, deps func(i int) []Edge, asked CopyRequest) CopyPlan {
	c := copying{nodes: nodes, deps: deps, in: make([]bool, len(nodes)), runs: make([]bool, len(nodes)), fresh: asked.Fresh}
	below := c.below(asked)
	chosen := c.chosen(asked, below)
	for _, i := range chosen {
		c.add(i, true)
	}
	if asked.Mode == CopyFull {
		for i, node := range nodes {
			c.add(i, !OutcomeStates.Has(node.State))
		}
	}
	c.close()
	if asked.Mode == CopyMinimal && c.within(below) {
		return c.plan(asked.Target)
	}
	if asked.Mode != CopyFull {
		c.climb(chosen)
		c.close()
	}
	return c.plan(-1)
}

// copying grows a copy.
type copying struct {
	nodes    []CopyNode
	deps     func(i int) []Edge
	in, runs []bool // by index; what runs is in
	queue    []int  // whose dependencies are to be looked at
	parents  bool   // each task's parent belongs to the copy
	fresh    bool
}

// below are the tasks that everything else follows from: the target, or the named ones, with all below them if that is asked for.
func (c *copying) below(asked CopyRequest) []bool {
	set := make([]bool, len(c.nodes))
	from, descend := []int{asked.Target}, true
	if asked.Mode == CopyCustom {
		from, descend = asked.Named, asked.Descendants
	}
	for _, i := range from {
		set[i] = true
	}
	if !descend {
		return set
	}
	const unknown, inside, outside = 0, 1, 2
	where := make([]uint8, len(c.nodes))
	var path []int
	for i, node := range c.nodes {
		if node.Absent {
			continue
		}
		at, end := i, uint8(outside)
		for path = path[:0]; at >= 0; at = int(c.nodes[at].Parent) {
			if set[at] {
				end = inside
				break
			}
			if where[at] != unknown {
				end = where[at]
				break
			}
			path = append(path, at)
		}
		for _, on := range path {
			where[on] = end
		}
	}
	for i := range set {
		set[i] = set[i] || where[i] == inside
	}
	return set
}

// chosen are the tasks that the request itself has run again.
//
// Minimal: the subtree of the target, and what depends on it, transitively; if a leaf of the subtree failed, without dependents that are
// pending. Full: the subtree, what depends on it and what it depends on. Custom: the named tasks, with all below them if that is asked for,
// and what the named ones depend on.
func (c *copying) chosen(asked CopyRequest, below []bool) (all []int) {
	upstream, downstream := c.reach(asked, below)
	pending := StatusPending.Set()
	skip := asked.Mode == CopyMinimal && c.failedLeaf(below)
	for i, node := range c.nodes {
		if node.Absent {
			continue
		}
		if below[i] || upstream[i] || downstream[i] && !(skip && pending.Has(node.State)) {
			all = append(all, i)
		}
	}
	return all
}

// reach is what the tasks depend on, and what depends on them, as far as the mode asks for it.
func (c *copying) reach(asked CopyRequest, below []bool) (upstream, downstream []bool) {
	n := len(c.nodes)
	upstream, downstream = make([]bool, n), make([]bool, n)
	var stack []int
	spread := func(from func(i int) bool, into []bool, next func(i int, visit func(j int))) {
		for i := range n {
			if from(i) {
				stack = append(stack, i)
			}
		}
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			next(i, func(j int) {
				if !into[j] {
					into[j] = true
					stack = append(stack, j)
				}
			})
		}
	}
	if asked.Mode != CopyMinimal {
		from := func(i int) bool { return below[i] }
		if asked.Mode == CopyCustom {
			named := make(map[int]bool, len(asked.Named))
			for _, i := range asked.Named {
				named[i] = true
			}
			from = func(i int) bool { return named[i] }
		}
		spread(from, upstream, func(i int, visit func(int)) {
			for _, e := range c.deps(i) {
				visit(int(e.Task))
			}
		})
	}
	if asked.Mode != CopyCustom {
		dependents := reverse(n, c.deps)
		spread(func(i int) bool { return below[i] }, downstream, func(i int, visit func(int)) {
			for _, j := range dependents(i) {
				visit(int(j))
			}
		})
	}
	return upstream, downstream
}

// failedLeaf reports whether a task of the set that has no children failed.
func (c *copying) failedLeaf(set []bool) bool {
	inner := make([]bool, len(c.nodes))
	for _, node := range c.nodes {
		if !node.Absent && node.Parent >= 0 {
			inner[node.Parent] = true
		}
	}
	for i, node := range c.nodes {
		if set[i] && node.State == Failed && !inner[i] {
			return true
		}
	}
	return false
}

// add puts a task into the copy, to run again or to be kept.
func (c *copying) add(i int, runs bool) {
	if c.nodes[i].Absent || c.in[i] && (c.runs[i] || !runs) {
		return
	}
	runs = runs || c.fresh
	c.in[i], c.runs[i] = true, c.runs[i] || runs
	c.queue = append(c.queue, i)
}

// close adds what the tasks of the copy need, until nothing is missing.
func (c *copying) close() {
	for len(c.queue) > 0 {
		i := c.queue[len(c.queue)-1]
		c.queue = c.queue[:len(c.queue)-1]
		for _, e := range c.deps(i) {
			if t := int(e.Task); c.runs[i] || !c.in[t] {
				c.add(t, c.nodes[t].State != Completed)
			}
		}
		if p := c.nodes[i].Parent; c.parents && p >= 0 && !c.in[p] {
			c.add(int(p), c.nodes[p].State != Completed)
		}
	}
}

// within reports whether all of the copy is in the set.
func (c *copying) within(set []bool) bool {
	for i, in := range c.in {
		if in && !set[i] {
			return false
		}
	}
	return true
}

// climb adds the parents of what was chosen, up to the root, to run again, and has those of all other tasks added.
func (c *copying) climb(chosen []int) {
	c.parents = true
	above := make([]bool, len(c.nodes))
	for _, i := range chosen {
		for p := c.nodes[i].Parent; p >= 0 && !above[p]; p = c.nodes[p].Parent {
			above[p] = true
			c.add(int(p), true)
		}
	}
	for i, in := range c.in {
		if in {
			c.queue = append(c.queue, i)
		}
	}
}

// plan is the copy, with the root given, or, if that is -1, the original's.
func (c *copying) plan(root int) (p CopyPlan) {
	for i, in := range c.in {
		if !in {
			continue
		}
		if i == root || root < 0 && c.nodes[i].Parent < 0 {
			p.Root = len(p.Tasks)
		}
		p.Tasks, p.Keep = append(p.Tasks, int32(i)), append(p.Keep, !c.runs[i])
	}
	return p
}

// Copied are the flags of a copy of a task: what says how the original was run is left out, and its place in the copy is said anew.
func (f Flags) Copied(leaf bool, dependents int32, known bool) Flags {
	f &^= flagsOfExecution | FlagHolds | FlagFresh | FlagLeaf | FlagDependents | FlagWide
	if known {
		f &^= FlagUnknown
	}
	if leaf {
		f |= FlagLeaf
	}
	if dependents > 0 {
		f |= FlagDependents
	}
	if dependents > InlineDependents {
		f |= FlagWide
	}
	return f
}
