package simulation

import (
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// suppose decides about results as package pg tries first: by rows that nobody read, taken to be those of first attempts, and of
// dependents that wait as they are remembered to. nil: something is otherwise, or needs to be read. Rows are compared before
// they are decided about, not when they are written; that comes to the same.
func (s *store) suppose(results []dag.Result) *dag.Decision {
	if s.w.chance(0.3) { // it was not sent along, or forgotten
		return nil
	}
	d := dag.NewDecision(time.Time{}, s.w.rng.Float64)
	for _, r := range results {
		if r.Outcome != dag.OutcomeCompleted || r.Early || r.Worker == 0 || d.Row(r.Task) != nil || !s.think(d, r.Task, dag.Running, r.Worker, 0) {
			return nil
		}
		t := s.task(r.Task)
		if r.Attempt != 1 || !t.row.Flags.Unlocks() {
			continue
		}
		if tree := s.trees[r.Task.Tree()-1]; tree.cancelled || tree.execution != 1 {
			return nil
		}
		for _, dep := range t.dependents {
			waits := s.task(dep.Key)
			if waits.row.Flags&(dag.FlagPolicy|dag.FlagGroup) != 0 {
				return nil
			}
			remaining := waits.row.Remaining
			if s.w.chance(0.2) { // another process has settled others of its dependencies
				remaining = int32(len(waits.deps))
			}
			if d.Row(dep.Key) == nil && !s.think(d, dep.Key, dag.Waiting, 0, remaining) {
				return nil
			}
			d.AddDependent(r.Task, dep)
		}
	}
	return d
}

// supposeClaims is as suppose, for claims.
func (s *store) supposeClaims(claims []claim) *dag.Decision {
	if s.w.chance(0.3) {
		return nil
	}
	d := dag.NewDecision(time.Time{}, s.w.rng.Float64)
	for _, c := range claims {
		k := c.key.task
		if s.task(k).row.Flags&(dag.FlagPolicy|dag.FlagRepeatable) != 0 || s.trees[k.Tree()-1].cancelled || !s.worker(c.worker).live(s.w.now) ||
			d.Row(k) != nil || !s.think(d, k, dag.Ready, 0, 0) {
			return nil
		}
	}
	return d
}

// think hands in a row as it is taken to be, and reports whether it is so.
func (s *store) think(d *dag.Decision, k dag.Key, state dag.State, w dag.WorkerKey, remaining int32) bool {
	is := s.task(k).row
	facts := dag.FactsOf(1, is.Flags, is.Priority, is.Pool+1) // pools of pg begin at 1
	row, ok := facts.Row(k, 1, state, w)
	row.Pool, row.Remaining, row.StartedAt = is.Pool, remaining, is.StartedAt // which the write leaves alone
	return ok && d.Add(row, false).Expected() == is.Guard()
}
