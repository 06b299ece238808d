package dag

import "slices"

// Node is one task of a stored tree, as an execution is planned over it.
type Node struct {
	State   State
	Flags   Flags
	Attempt int32
	Open    bool // a cancelled attempt has not stopped yet
	Untold  bool // settled, and a followup has yet to tell its dependents
	Gone    bool // there is no task of the index: it was deleted, or is not made yet
	// By is the index of the task that found it, plus one; 0: it was submitted. The dependencies of who found others have them, by edges of the mode
	// [ChildEdge].
	By int32
	// Above is the index of its parent, plus one; 0: it has none. It is looked at for those that take a lock for their parent ([FlagKeeps]).
	Above int32
	// Found: of what it found, some is stored. Resumes: that may run again in part, as all of it is there, or what is not is yet to be made, and waits for
	// nothing that is. Unmade is how much is not there.
	Found, Resumes bool
	// Stays: skipped, and not by the rules ([SkipJudged]): by its executor, its lock, its user, or as it was imported. It is looked at with [ExecutionOptions.KeepCompleted].
	Stays  bool
	Unmade int32
}

// ExecutionOptions steer a start or a re-run (spec 3.7).
type ExecutionOptions struct {
	Force             bool // what was asked for, though it has completed or was cancelled: the target, or with a root all of its tree
	RerunCancelled    bool // cancelled tasks of the set too
	RerunDependencies bool // completed dependencies of what runs, too
	KeepCompleted     bool // completed tasks, and those that skipped themselves, stay as they are even where what they depend on runs again, unless they are asked for
	Demo              bool // what runs is only demonstrated
	Keyed             bool // a coordinator has the key of a language model for what runs
	NoCache           bool // what starts takes nothing from the cache
	First             bool // it is the tree's first: tasks that had ended before they were submitted stay as they are, unless they are asked for
}

// flags are those of all that starts.
func (o ExecutionOptions) flags() (f Flags) {
	if o.Demo {
		f |= FlagDemo
	}
	if o.Keyed {
		f |= FlagKeyed
	}
	if o.NoCache {
		f |= FlagFresh
	}
	return f
}

// Restart is how one task begins in a planned execution.
type Restart struct {
	Index     int
	From      State // what the write must find
	State     State // Waiting, Ready or Blocked; Expanded: it waits for what it found, of which some runs again, or is yet to be made
	Attempt   int32
	Was       int32 // the attempt that the write must find
	Remaining int32 // dependencies, or, if it is Expanded, tasks that it found
	Flags     Flags // to be written
	BlockedBy int   // index of the cause; Blocked only
	// Release: a Waiting task that waits for nothing, but is not simply ready (a group, a not-before time): a followup
	// lets it go.
	Release bool
}

// Plan is what an execution would do.
type Plan struct {
	Restarts  []Restart // by index; empty: nothing to do
	Discards  []int     // tasks of which all is forgotten that they found: they run anew, or are forgotten themselves
	Busy      int       // index of a task that is already running: of the set, or one that waits for a task of it; -1: none
	Stopping  int       // index of a cancelled task that would run, but has not stopped yet; -1: none
	Untold    int       // index of a task of the set that is untold: its dependents would hear of its end twice, or never; -1: none
	Cancelled int       // index of a cancelled task for which nothing runs: the target, or one that blocks it; -1: none
}

// PlanExecution works out which tasks of a stored tree start, and how, when a user asks to execute one of them (spec
// 3.1, 3.7). target is an index; a root's means the whole tree, another's the task and its transitive dependencies.
// deps gives a task's dependencies. Linear in tasks and edges.
//
// A lock that is held for a parent goes back with that. So what depends on a task that takes one does not run again without it: the task takes it again, though
// it has completed, and nothing else runs again for that; and its parent is of the set, with what that depends on, and ends anew.
//
// What was found at run time belongs to the task that found it (control 5). If that failed, or was cancelled and is to run again, it waits again for what
// failed, was cancelled or is blocked of what it found, and for what is not made yet; all else of it stays. It runs anew, and what it had found is discarded,
// if that is forced, or if something that it depends on runs again, unless what has completed is to be kept. One that completed is left alone with all that it
// found. Who asks for a task that was found has it run again, with what it depends on and what of its kind depends on it, and those that found it wait for it.
func PlanExecution(nodes []Node, deps func(i int) []Edge, target int, whole bool, opts ExecutionOptions) Plan {
	plan := Plan{Busy: -1, Stopping: -1, Untold: -1, Cancelled: -1}
	p := planning{nodes: nodes, deps: deps, asked: request{opts, target, whole}, in: covered(nodes, deps, target, whole)}
	if nodes[target].By > 0 && !whole {
		p.dependents = reverse(len(nodes), deps)
		p.climb()
	}
	for i, node := range nodes {
		if !p.in[i] && !p.above(i) {
			continue
		}
		if node.State.Unfinished() && !p.cancelling(i) {
			plan.Busy = i
			return plan
		}
		if node.Untold || node.State.Unfinished() {
			plan.Untold = i
		}
	}
	cancelled := nodes[target].State == Cancelled && !opts.Force && !opts.RerunCancelled
	if cancelled && !whole { // what it depends on would run for nothing; a root stands for all of its tree
		plan.Untold, plan.Cancelled = -1, target
		return plan
	}
	if i := p.cancelledAbove(); i >= 0 {
		plan.Untold, plan.Cancelled = -1, i
		return plan
	}
	if plan.Untold >= 0 {
		return plan
	}
	if p.dependents == nil {
		p.dependents = reverse(len(nodes), deps)
	}
	p.choose()
	p.discard()
	for i := range nodes {
		if !p.run[i] && !p.isDropped(i) {
			continue
		}
		if nodes[i].Open {
			plan.Stopping = i
			return plan
		}
		// A dependent outside the set that is under way has been told of this task's end, and would be told twice.
		for _, j := range p.dependents(i) {
			if !p.run[j] && nodes[j].State.Unfinished() {
				plan.Busy = int(j)
				return plan
			}
		}
	}
	all := p.restarts()
	blocked := p.run[target] && all[target].State == Blocked // by what was cancelled: what failed runs again
	if blocked && !whole {
		plan.Cancelled = all[target].BlockedBy
		return plan
	}
	for i, r := range all {
		if p.run[i] && !r.stays() {
			r.Flags = nodes[i].Flags&^flagsOfExecution | opts.flags()
			if s := nodes[i].State; r.Flags&FlagCache != 0 && s != Held && s != Blocked { // who has a task run again wants more than what it gave before
				r.Flags |= FlagFresh
			}
			plan.Restarts = append(plan.Restarts, r)
		}
	}
	plan.Discards = p.discards
	switch {
	case len(plan.Restarts) > 0:
	case cancelled:
		plan.Cancelled = target
	case blocked:
		plan.Cancelled = all[target].BlockedBy
	}
	return plan
}

// planning works out an execution. What is by index and about tasks that were found is nil in trees without such tasks.
type planning struct {
	nodes      []Node
	deps       func(i int) []Edge
	dependents func(i int) []int32
	asked      request

	in       []bool // the set that the call covers
	up       []bool // what comes along: who found the target, and what of the found depends on it
	waits    []bool // it was found by one of those, whom its end must have been told
	run      []bool // it starts
	again    []bool // and had ended: what depends on it starts, too
	queue    []int
	dropped  []bool // it was found by one of discards
	discards []int
	fresh    []bool // it is in discards
}

// above reports whether a task comes along with a target that was found, or was found by one that does.
func (p *planning) above(i int) bool { return p.up != nil && (p.up[i] || p.waits[i]) }

// climb finds what comes along with a target that was found.
func (p *planning) climb() {
	p.up, p.waits = make([]bool, len(p.nodes)), make([]bool, len(p.nodes))
	for stack := []int{p.asked.target}; len(stack) > 0; {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p.nodes[i].By == 0 {
			continue // what depends on who found all of them does not come along
		}
		for _, j := range p.dependents(i) {
			if !p.in[j] && !p.up[j] {
				p.up[j] = true
				stack = append(stack, int(j))
			}
		}
	}
	for i, node := range p.nodes { // who finds others comes before them
		p.waits[i] = node.By > 0 && (p.up[node.By-1] || p.waits[node.By-1])
	}
}

// cancelling reports whether an unfinished task is about to be cancelled with one that found it.
func (p *planning) cancelling(i int) bool {
	for by := p.nodes[i].By; by > 0; by = p.nodes[by-1].By {
		if p.nodes[by-1].State == Cancelled {
			return true
		}
	}
	return false
}

// cancelledAbove is a task that found the target and was cancelled, which nobody asks to run again; -1: there is none.
func (p *planning) cancelledAbove() int {
	if p.asked.whole || p.asked.Force || p.asked.RerunCancelled {
		return -1
	}
	for by := p.nodes[p.asked.target].By; by > 0; by = p.nodes[by-1].By {
		if p.nodes[by-1].State == Cancelled {
			return int(by - 1)
		}
	}
	return -1
}

// stays reports whether the task is blocked, and was: that is no restart.
func (r Restart) stays() bool { return r.From == Blocked && r.State == Blocked }

// covered is the set that a call covers: the whole tree, or the target and its transitive dependencies.
func covered(nodes []Node, deps func(i int) []Edge, target int, whole bool) (in []bool) {
	in = make([]bool, len(nodes))
	if whole {
		for i := range in {
			in[i] = !nodes[i].Gone
		}
		return in
	}
	stack := []int{target}
	in[target] = true
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		cover := func(t int32) {
			if !in[t] {
				in[t] = true
				stack = append(stack, int(t))
			}
		}
		for _, e := range deps(i) {
			cover(e.Task)
		}
		if node := nodes[i]; node.Flags&FlagKeeps != 0 && node.Above > 0 && !nodes[node.Above-1].Gone {
			cover(node.Above - 1)
		}
	}
	return in
}

// request is what was asked for.
type request struct {
	ExecutionOptions
	target int
	whole  bool // the target is the root
}

// reruns reports whether the request itself asks for a task of its set that completed or was cancelled.
func (r request) reruns(i int, s State) bool {
	return r.Force && (r.whole || i == r.target) || r.RerunCancelled && s == Cancelled
}

// choose decides which tasks of the set run (spec 3.7): those that never ran, failed or are blocked, and those that the
// request names. Then whatever depends, also through others, on one that ended and runs again, but was not cancelled (unless the request names
// it), and with RerunDependencies what those that run depend on and completed. What was completed by hand before it could run stays so when what
// it waited for runs for the first time. Who found a task decides about it, if that is in the set, too.
func (p *planning) choose() {
	nodes, asked := p.nodes, p.asked
	p.run, p.again = make([]bool, len(nodes)), make([]bool, len(nodes))
	for i, node := range nodes {
		if !p.in[i] || asked.First && node.Flags&FlagImported != 0 && !asked.reruns(i, node.State) || node.By > 0 && p.in[node.By-1] {
			continue
		}
		switch node.State {
		case Held, Blocked:
			p.add(i, false)
		case Failed:
			p.add(i, true)
		case Completed, Skipped, Cancelled:
			if asked.reruns(i, node.State) {
				p.add(i, true)
			}
		}
	}
	for len(p.queue) > 0 {
		i := p.queue[len(p.queue)-1]
		p.queue = p.queue[:len(p.queue)-1]
		p.spread(i)
	}
}

func (p *planning) add(i int, ended bool) {
	if (p.in[i] || p.up != nil && p.up[i]) && (!p.run[i] || ended && !p.again[i]) {
		p.run[i], p.again[i] = true, p.again[i] || ended
		p.queue = append(p.queue, i)
	}
}

// kept reports whether the task stays as it is where completed ones are kept.
func (n Node) kept() bool { return n.State == Completed || n.State == Skipped && n.Stays }

// spread adds what runs because a task does.
func (p *planning) spread(i int) {
	if p.again[i] {
		for _, j := range p.dependents(i) {
			if node := p.nodes[j]; node.State != Cancelled && !(p.asked.KeepCompleted && node.kept()) { // those that the request names run already
				p.add(int(j), true)
			}
		}
	}
	if by := p.nodes[i].By; by > 0 {
		p.add(int(by-1), true)
	}
	for _, e := range p.deps(i) {
		if t := p.nodes[e.Task]; t.Flags&FlagKeeps != 0 {
			p.relock(int(e.Task), t)
		}
		switch s := p.nodes[e.Task].State; {
		case e.Mode.Child():
			if p.in[i] && (s == Failed || s == Cancelled || s == Blocked) {
				p.add(int(e.Task), s != Blocked)
			}
		case p.asked.RerunDependencies && SuccessfulStates.Has(s):
			p.add(int(e.Task), true)
		}
	}
}

// relock has a task, on which one depends that runs, take the lock for its parent again, which ends after it.
func (p *planning) relock(i int, node Node) {
	if SuccessfulStates.Has(node.State) {
		p.add(i, false)
	}
	if above := int(node.Above) - 1; above >= 0 {
		p.add(above, OutcomeStates.Has(p.nodes[above].State))
	}
}

// discard takes out what was found by those that run anew. Who finds others comes before them.
func (p *planning) discard() {
	for i, node := range p.nodes {
		dropped := node.By > 0 && p.isFresh(int(node.By-1))
		if dropped {
			p.run[i] = false
			if p.dropped == nil {
				p.dropped = make([]bool, len(p.nodes))
			}
			p.dropped[i] = true
		}
		if node.Found && (dropped || p.run[i] && p.anew(i)) {
			if p.fresh == nil {
				p.fresh = make([]bool, len(p.nodes))
			}
			p.fresh[i], p.discards = true, append(p.discards, i)
		}
	}
}

func (p *planning) isDropped(i int) bool { return p.dropped != nil && p.dropped[i] }

func (p *planning) isFresh(i int) bool { return p.fresh != nil && p.fresh[i] }

// anew reports whether a task that found others and is to run finds them once more.
func (p *planning) anew(i int) bool {
	node := p.nodes[i]
	if !node.Resumes || p.asked.Force && (p.asked.whole || i == p.asked.target) || p.in[i] && SuccessfulStates.Has(node.State) {
		return true
	}
	return !p.asked.KeepCompleted && slices.ContainsFunc(p.deps(i), func(e Edge) bool { return !e.Mode.Child() && p.run[e.Task] })
}

// resumes reports whether a task that runs waits for what it has found before.
func (p *planning) resumes(i int) bool { return p.nodes[i].Found && !p.isFresh(i) }

// waitsFor reports whether a task that runs waits for the end of the task of an edge, if that runs.
func (p *planning) waitsFor(i int, e Edge) bool {
	return p.run[e.Task] && e.Mode.Child() == p.resumes(i)
}

// restarts finds the first state of each task that runs, in the order of dependencies, so that what can't run is blocked at
// once. By index, those of other tasks are empty.
func (p *planning) restarts() []Restart {
	n := len(p.nodes)
	blocked := make([]int, n) // index of the cause + 1
	open := make([]int32, n)
	var queue []int
	for i := range p.nodes {
		if !p.run[i] {
			continue
		}
		for _, e := range p.deps(i) {
			if p.waitsFor(i, e) {
				open[i]++
			}
		}
		if open[i] == 0 {
			queue = append(queue, i)
		}
	}
	out := make([]Restart, n)
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		out[i] = p.restart(i, blocked)
		for _, j := range p.dependents(i) {
			if p.run[j] && (p.nodes[i].By == j+1) == p.resumes(int(j)) {
				if open[j]--; open[j] == 0 {
					queue = append(queue, int(j))
				}
			}
		}
	}
	return out
}

func (p *planning) restart(i int, blocked []int) Restart {
	node, resumes := p.nodes[i], p.resumes(i)
	r := Restart{Index: i, From: node.State, Was: node.Attempt, Attempt: node.Attempt}
	if node.State != Held && node.State != Blocked {
		r.Attempt++
	}
	for _, e := range p.deps(i) {
		t := int(e.Task)
		switch {
		case e.Mode.Child() != resumes:
		case p.run[t] && blocked[t] == 0:
			r.Remaining++
		case p.run[t] && e.fate(Blocked) == fateBlocks:
			blocked[i] = blocked[t]
		case !p.run[t] && e.fate(p.nodes[t].State) == fateBlocks:
			blocked[i] = t + 1
		}
	}
	switch {
	case resumes:
		r.State = Expanded
		r.Remaining += node.Unmade
	case blocked[i] != 0:
		r.State, r.BlockedBy, r.Remaining = Blocked, blocked[i]-1, 0
	case r.Remaining > 0:
		r.State = Waiting
	case node.Flags&FlagsReleased != 0:
		r.State, r.Release = Waiting, true
	default:
		r.State = Ready
	}
	return r
}

// reverse gives the dependents of each task, from its dependencies.
func reverse(n int, deps func(int) []Edge) func(int) []int32 {
	start := make([]int32, n+1)
	for i := range n {
		for _, e := range deps(i) {
			start[e.Task+1]++
		}
	}
	for i := range n {
		start[i+1] += start[i]
	}
	at := append([]int32(nil), start...)
	all := make([]int32, start[n])
	for i := range n {
		for _, e := range deps(i) {
			all[at[e.Task]] = int32(i)
			at[e.Task]++
		}
	}
	return func(i int) []int32 { return all[start[i]:start[i+1]] }
}
