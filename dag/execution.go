package dag

// Node is one task of a stored tree, as an execution is planned over it.
type Node struct {
	State   State
	Flags   Flags
	Attempt int32
	Open    bool // a cancelled attempt has not stopped yet
	Untold  bool // settled, and a followup has yet to tell its dependents
}

// ExecutionOptions steer a start or a re-run (spec 3.7).
type ExecutionOptions struct {
	Force             bool // completed and cancelled tasks of the set too
	RerunDependencies bool // completed dependencies of what runs, too
}

// Restart is how one task begins in a planned execution.
type Restart struct {
	Index     int
	From      State // what the write must find
	State     State // Waiting, Ready or Blocked
	Attempt   int32
	Was       int32 // the attempt that the write must find
	Remaining int32
	BlockedBy int // index of the cause; Blocked only
	// Release: a Waiting task that waits for nothing, but is not simply ready (a group, a not-before time): a followup
	// lets it go.
	Release bool
}

// Plan is what an execution would do.
type Plan struct {
	Restarts []Restart // by index; empty: nothing to do
	Busy     int       // index of a task that is already running: of the set, or one that waits for a task of it; -1: none
	Stopping int       // index of a cancelled task that would run, but has not stopped yet; -1: none
	Untold   int       // index of a task of the set that is untold: its dependents would hear of its end twice, or never; -1: none
}

// PlanExecution works out which tasks of a stored tree start, and how, when a user asks to execute one of them (spec
// 3.1, 3.7). target is an index; a root's means the whole tree, another's the task and its transitive dependencies.
// deps gives a task's dependencies. Linear in tasks and edges.
func PlanExecution(nodes []Node, deps func(i int) []Edge, target int, whole bool, opts ExecutionOptions) Plan {
	plan := Plan{Busy: -1, Stopping: -1, Untold: -1}
	in := covered(len(nodes), deps, target, whole)
	for i, node := range nodes {
		if !in[i] {
			continue
		}
		if node.State.Unfinished() {
			plan.Busy = i
			return plan
		}
		if node.Untold {
			plan.Untold = i
		}
	}
	if plan.Untold >= 0 {
		return plan
	}
	dependents := reverse(len(nodes), deps)
	run := restarting(nodes, deps, dependents, in, opts)
	for i := range nodes {
		if !run[i] {
			continue
		}
		if nodes[i].Open {
			plan.Stopping = i
			return plan
		}
		// A dependent outside the set that is under way has been told of this task's end, and would be told twice.
		for _, j := range dependents(i) {
			if !run[j] && nodes[j].State.Unfinished() {
				plan.Busy = int(j)
				return plan
			}
		}
	}
	plan.Restarts = restarts(nodes, deps, dependents, run)
	return plan
}

// covered is the set that a call covers: the whole tree, or the target and its transitive dependencies.
func covered(n int, deps func(i int) []Edge, target int, whole bool) (in []bool) {
	in = make([]bool, n)
	if whole {
		for i := range in {
			in[i] = true
		}
		return in
	}
	stack := []int{target}
	in[target] = true
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, e := range deps(i) {
			if !in[e.Task] {
				in[e.Task] = true
				stack = append(stack, int(e.Task))
			}
		}
	}
	return in
}

// restarting decides which tasks of the set in run (spec 3.7): those that never ran, failed or are blocked; with Force, those
// that completed or were cancelled. Then whatever depends on one that runs, but was not cancelled (without Force), and with
// RerunDependencies what it depends on and completed.
func restarting(nodes []Node, deps func(i int) []Edge, dependents func(int) []int32, in []bool, opts ExecutionOptions) (run []bool) {
	run = make([]bool, len(nodes))
	var queue []int
	add := func(i int) {
		if in[i] && !run[i] {
			run[i] = true
			queue = append(queue, i)
		}
	}
	for i, node := range nodes {
		switch node.State {
		case Held, Failed, Blocked:
			add(i)
		case Completed, Cancelled:
			if opts.Force {
				add(i)
			}
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, j := range dependents(i) {
			if nodes[j].State != Cancelled || opts.Force {
				add(int(j))
			}
		}
		if opts.RerunDependencies {
			for _, e := range deps(i) {
				if nodes[e.Task].State == Completed {
					add(int(e.Task))
				}
			}
		}
	}
	return run
}

// restarts finds each task's first state, in the order of dependencies, so that what can't run is blocked at once.
func restarts(nodes []Node, deps func(int) []Edge, dependents func(int) []int32, run []bool) []Restart {
	n := len(nodes)
	blocked := make([]int, n) // index of the cause + 1
	open := make([]int32, n)
	var queue []int
	for i := range nodes {
		if !run[i] {
			continue
		}
		for _, e := range deps(i) {
			if run[e.Task] {
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
		out[i] = restart(nodes, deps(i), i, run, blocked)
		for _, j := range dependents(i) {
			if run[j] {
				if open[j]--; open[j] == 0 {
					queue = append(queue, int(j))
				}
			}
		}
	}
	kept := out[:0]
	for i := range nodes {
		if run[i] && !(out[i].From == Blocked && out[i].State == Blocked) { // that is no restart
			kept = append(kept, out[i])
		}
	}
	return kept
}

func restart(nodes []Node, deps []Edge, i int, run []bool, blocked []int) Restart {
	node := nodes[i]
	r := Restart{Index: i, From: node.State, Was: node.Attempt, Attempt: node.Attempt}
	if node.State != Held && node.State != Blocked {
		r.Attempt++
	}
	for _, e := range deps {
		t := int(e.Task)
		switch {
		case run[t] && blocked[t] == 0:
			r.Remaining++
		case e.Required && run[t]:
			blocked[i] = blocked[t]
		case e.Required && nodes[t].State != Completed:
			blocked[i] = t + 1
		}
	}
	switch {
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
