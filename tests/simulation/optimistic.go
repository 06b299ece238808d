package simulation

import (
	"slices"

	"github.com/taskgrove/taskgrove/dag"
)

// memory is what a coordinator remembers of trees, as in package pg. Now and then it is out of date.
type memory struct{ s *store }

// Dependents implements [dag.Memory].
func (m memory) Dependents(k dag.Key) (dependents []dag.Dependent, execution int32) {
	t := m.s.trees[k.Tree()-1]
	execution = int32(t.execution)
	if t.cancelled {
		execution = 0
	}
	if m.s.w.chance(0.2) { // another process has cancelled it, or run it again
		execution = 1
	}
	return m.s.task(k).dependents, execution
}

// Waiting implements [dag.Memory].
func (m memory) Waiting(k dag.Key) (f dag.Facts, remaining int32) {
	t := m.s.task(k)
	remaining = t.row.Remaining
	if m.s.w.chance(0.2) { // another process has settled others of its dependencies
		remaining = int32(len(t.deps))
	}
	return m.s.facts(attemptKey{k, 1}), remaining
}

// facts are those that travelled with the attempt.
func (s *store) facts(a attemptKey) dag.Facts {
	r := s.task(a.task).row
	return dag.FactsOf(a.number, r.Flags, r.Priority, r.Pool)
}

// settleOptimistically decides about results without reading their rows. nil: they have to be read.
func (s *store) settleOptimistically(results []dag.Result) *dag.Decision {
	if s.w.chance(0.3) { // the facts were not sent along, or the trees are not remembered
		return nil
	}
	results = slices.Clone(results)
	for i, r := range results {
		results[i].Facts = s.facts(attemptKey{r.Task, r.Attempt})
	}
	o := dag.NewOptimistic()
	vacant := func(dag.Lane) bool { return true } // as a coordinator believes that has not heard of any that wait
	if !o.AssumeResults(results, memory{s}) || !o.Settle(results, vacant) || !s.holds(o) {
		return nil
	}
	return o.Decision
}

// claimOptimistically is settleOptimistically for claims.
func (s *store) claimOptimistically(claims []dag.Claim) (d *dag.Decision, verdicts []dag.Verdict) {
	if s.w.chance(0.3) {
		return nil, nil
	}
	asked := slices.Clone(claims)
	for i, c := range asked {
		asked[i].Facts = s.facts(attemptKey{c.Task, c.Attempt})
	}
	o := dag.NewOptimistic()
	verdicts, ok := o.Claim(asked)
	if !ok || !s.holds(o) {
		return nil, nil
	}
	return o.Decision, verdicts
}

// holds reports whether all that a decision assumes is so. Postgres compares while it writes; as nothing happens in between
// here, that comes to the same. It adds when attempts began, which the decision does not know.
func (s *store) holds(o *dag.Optimistic) bool {
	for _, w := range o.Assumed.Workers {
		if r := s.worker(w); r == nil || !r.live(s.w.now) {
			return false
		}
	}
	for _, l := range o.Assumed.Vacant {
		if s.waits(l) {
			return false
		}
	}
	for _, h := range o.Decision.Handovers {
		if s.treePaused(h.Task.Tree()) {
			return false
		}
	}
	for key, execution := range o.Assumed.Trees {
		if t := s.trees[key-1]; t.cancelled || execution > 0 && int(execution) != t.execution {
			return false
		}
	}
	for _, r := range o.Decision.Changed() {
		is := s.task(r.Key).row
		if r.Expected() != is.Guard() || r.Flags != is.Flags || r.Lane() != is.Lane() {
			return false
		}
		if r.State != dag.Running {
			r.StartedAt = is.StartedAt
		}
	}
	for i := range o.Decision.Ended {
		e := &o.Decision.Ended[i]
		e.StartedAt = s.task(e.Task).row.StartedAt
		if e.Waited > 0 {
			if e.StartedAt = e.StartedAt.Add(e.Waited); e.StartedAt.After(s.w.time()) {
				e.StartedAt = s.w.time()
			}
			o.Decision.Row(e.Task).StartedAt = e.StartedAt
		}
	}
	return true
}
