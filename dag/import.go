package dag

// Births says how the tasks of a new tree begin, some of which are settled already (control 4): imported tells how each is, Held for one that is to run. The
// others wait for those of their dependencies that have not ended, and those that can't run by how the others have, are blocked at once.
func (g *Graph) Births(imported func(i int) State, flags func(i int) Flags) []Restart {
	n := len(g.IDs)
	nodes, run := make([]Node, n), make([]bool, n)
	for i := range n {
		nodes[i] = Node{State: imported(i), Flags: flags(i), Attempt: 1}
		run[i] = nodes[i].State == Held
	}
	p := planning{nodes: nodes, deps: g.Dependencies, dependents: reverse(n, g.Dependencies), run: run}
	out := p.restarts()
	for i := range n {
		if run[i] {
			continue
		}
		out[i] = Restart{Index: i, State: nodes[i].State, BlockedBy: -1}
		if nodes[i].State != Blocked {
			continue
		}
		for _, e := range g.Dependencies(i) { // by the first that could have blocked it, if there is one
			if s := nodes[e.Task].State; s.Settled() && e.fate(s) == fateBlocks {
				if out[i].BlockedBy = int(e.Task); s == Blocked { // its own cause is the cause; it comes before, or is found later
					out[i].BlockedBy = out[e.Task].cause(int(e.Task))
				}
				break
			}
		}
	}
	return out
}

// cause is the task that those behind the one of the index are blocked by.
func (r Restart) cause(i int) int {
	if r.State == Blocked && r.BlockedBy >= 0 {
		return r.BlockedBy
	}
	return i
}

// Ended is the last attempt of an imported task; ok is false for one without: what is blocked was never tried.
func (i *Imported) Ended(k Key) (e Ended, ok bool) {
	e = Ended{Task: k, Attempt: max(1, i.Attempts), Counted: true, Result: i.Result, Error: i.Error, Outputs: i.Outputs}
	switch i.State {
	case Completed:
		e.Outcome, e.Error = OutcomeCompleted, ""
	case Failed:
		if e.Outcome, e.Result, e.Outputs = OutcomeFailed, nil, nil; e.Error == "" {
			e.Error = "failed before it was submitted"
		}
	case Cancelled:
		e.Outcome, e.Counted, e.Outputs = OutcomeCancelled, false, nil
	case Skipped:
		reason := SkipReason(i.Result)
		if reason == "" {
			reason = "imported"
		}
		e.Outcome, e.Error, e.Result = OutcomeSkipped, "", SkippedResult(reason, i.Result)
	default:
		return Ended{}, false
	}
	return e, true
}
