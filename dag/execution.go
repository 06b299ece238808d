package dag

// Node is one task of a stored tree, as an execution is planned over it.
type Node struct {
	State   State
	Flags   Flags
	Attempt int32
	Open    bool // a cancelled attempt has not stopped yet
	Untold  bool // settled, and a followup has yet to tell its dependents
	Gone    bool // there is no task of the index: it was deleted
}

// ExecutionOptions steer a start or a re-run (spec 3.7).
type ExecutionOptions struct {
	Force             bool // what was asked for, though it has completed or was cancelled: the target, or with a root all of its tree
	RerunCancelled    bool // cancelled tasks of the set too
	RerunDependencies bool // completed dependencies of what runs, too
	Demo              bool // what runs is only demonstrated
	Keyed             bool // a coordinator has the key of a language model for what runs
}

// flags are those of all that starts.
func (o ExecutionOptions) flags() (f Flags) {
	if o.Demo {
		f |= FlagDemo
	}
	if o.Keyed {
		f |= FlagKeyed
	}
	return f
}

// Restart is how one task begins in a planned execution.
type Restart struct {
	Index     int
	From      State // what the write must find
	State     State // Waiting, Ready or Blocked
	Attempt   int32
	Was       int32 // the attempt that the write must find
	Remaining int32
	Flags     Flags // to be written
	BlockedBy int   // index of the cause; Blocked only
	// Release: a Waiting task that waits for nothing, but is not simply ready (a group, a not-before time): a followup
	// lets it go.
	Release bool
}

// Plan is what an execution would do.
type Plan struct {
	Restarts  []Restart // by index; empty: nothing to do
	Busy      int       // index of a task that is already running: of the set, or one that waits for a task of it; -1: none
	Stopping  int       // index of a cancelled task that would run, but has not stopped yet; -1: none
	Untold    int       // index of a task of the set that is untold: its dependents would hear of its end twice, or never; -1: none
	Cancelled int       // index of a cancelled task for which nothing runs: the target, or one that blocks it; -1: none
}

// PlanExecution works out which tasks of a stored tree start, and how, when a user asks to execute one of them (spec
// 3.1, 3.7). target is an index; a root's means the whole tree, another's the task and its transitive dependencies.
// deps gives a task's dependencies. Linear in tasks and edges.
func PlanExecution(nodes []Node, deps func(i int) []Edge, target int, whole bool, opts ExecutionOptions) Plan {
	plan := Plan{Busy: -1, Stopping: -1, Untold: -1, Cancelled: -1}
	in := covered(nodes, deps, target, whole)
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
	cancelled := nodes[target].State == Cancelled && !opts.Force && !opts.RerunCancelled
	if cancelled && !whole { // what it depends on would run for nothing; a root stands for all of its tree
		plan.Untold, plan.Cancelled = -1, target
		return plan
	}
	if plan.Untold >= 0 {
		return plan
	}
	dependents := reverse(len(nodes), deps)
	run := restarting(nodes, deps, dependents, in, request{opts, target, whole})
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
	all := restarts(nodes, deps, dependents, run)
	blocked := run[target] && all[target].State == Blocked // by what was cancelled: what failed runs again
	if blocked && !whole {
		plan.Cancelled = all[target].BlockedBy
		return plan
	}
	for i, r := range all {
		if run[i] && !r.stays() {
			r.Flags = nodes[i].Flags&^flagsOfExecution | opts.flags()
			plan.Restarts = append(plan.Restarts, r)
		}
	}
	switch {
	case len(plan.Restarts) > 0:
	case cancelled:
		plan.Cancelled = target
	case blocked:
		plan.Cancelled = all[target].BlockedBy
	}
	return plan
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
		for _, e := range deps(i) {
			if !in[e.Task] {
				in[e.Task] = true
				stack = append(stack, int(e.Task))
			}
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

// restarting decides which tasks of the set in run (spec 3.7): those that never ran, failed or are blocked, and those that the
// request names. Then whatever depends, also through others, on one that ended and runs again, but was not cancelled (unless the request names
// it), and with RerunDependencies what those that run depend on and completed. What was completed by hand before it could run stays so when what
// it waited for runs for the first time.
func restarting(nodes []Node, deps func(i int) []Edge, dependents func(int) []int32, in []bool, asked request) (run []bool) {
	run = make([]bool, len(nodes))
	again := make([]bool, len(nodes)) // what depends on it runs, too
	var queue []int
	add := func(i int, ended bool) {
		if in[i] && (!run[i] || ended && !again[i]) {
			run[i], again[i] = true, again[i] || ended
			queue = append(queue, i)
		}
	}
	for i, node := range nodes {
		switch node.State {
		case Held, Blocked:
			add(i, false)
		case Failed:
			add(i, true)
		case Completed, Cancelled:
			if asked.reruns(i, node.State) {
				add(i, true)
			}
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if again[i] {
			for _, j := range dependents(i) {
				if nodes[j].State != Cancelled { // those that the request names run already
					add(int(j), true)
				}
			}
		}
		if asked.RerunDependencies {
			for _, e := range deps(i) {
				if nodes[e.Task].State == Completed {
					add(int(e.Task), true)
				}
			}
		}
	}
	return run
}

// restarts finds the first state of each task that runs, in the order of dependencies, so that what can't run is blocked at
// once. By index, those of other tasks are empty.
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
	return out
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
