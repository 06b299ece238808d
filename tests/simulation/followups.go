package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// dueTimers handles up to limit timers that are due; more tells whether there may be others.
func (s *store) dueTimers(limit int, room func(int32, int) bool) (eff *effects, more bool) {
	defer s.w.panics()
	slices.SortStableFunc(s.timers, func(a, b timer) int { return cmp.Compare(a.due, b.due) })
	n := 0
	for n < len(s.timers) && n < limit && s.timers[n].due <= s.w.now {
		n++
	}
	due := slices.Clone(s.timers[:n])
	s.timers = slices.Delete(s.timers, 0, n)
	var keys []dag.Key
	for _, t := range due {
		keys = append(keys, t.Task)
	}
	d := s.load(slices.Clone(keys), keys, true)
	cancelled := false
	for _, t := range due {
		if t.Kind == dag.TimerTree {
			cancelled = s.deadline(t) || cancelled
			continue
		}
		if t.Kind == dag.TimerLock {
			s.lockTimedOut(d, t)
			continue
		}
		if t.Kind == dag.TimerAwait {
			s.timedOut(&t.Timer)
		}
		if d.Due(t.Timer) && t.Kind == dag.TimerAwait {
			s.noteTimeout(t.Timer)
		}
	}
	eff = s.apply(d, room)
	eff.followups = eff.followups || cancelled
	return eff, n == limit
}

// deadline cancels a tree whose current execution has taken too long.
func (s *store) deadline(t timer) bool {
	tree := s.trees[t.Task.Tree()-1]
	if int(t.Attempt) != tree.execution || tree.counts.Unfinished == 0 {
		return false
	}
	if s.w.now < tree.due {
		s.w.broken("tree %d is cancelled before its deadline", tree.key)
	}
	s.cancelTree(tree)
	return true
}

// nextTimer is how long it is until the next timer.
func (s *store) nextTimer(most time.Duration) time.Duration {
	for _, t := range s.timers {
		most = min(most, t.due-s.w.now)
	}
	return max(time.Millisecond, most)
}

// followupStep is how many tasks one transaction of followups tells or cancels: few, so that cursors are moved.
const followupStep = 3

// followupBatch is how many followups one transaction does.
const followupBatch = 4

// doFollowups does a batch of follow-up work, and reports whether there may be more.
func (s *store) doFollowups(room func(int32, int) bool, when map[dag.Key]verdict) (eff *effects, more bool) {
	defer s.w.panics()
	if len(s.followups) == 0 {
		return &effects{}, false
	}
	batch := slices.Clone(s.followups[:min(len(s.followups), followupBatch)])
	if i := slices.IndexFunc(batch, func(c followup) bool { return c.kind == followupGrow }); i >= 0 { // in a transaction of its own
		batch = batch[:max(i, 1)]
	}
	steps := make([]followupWork, len(batch))
	var lock, lets []dag.Key
	for i, c := range batch {
		steps[i] = s.followupWork(c)
		lock = append(append(lock, c.task), steps[i].keys()...)
		if c.kind == followupRelease || c.kind == followupJudge || c.kind == followupCondition {
			lets = append(lets, c.task)
		}
	}
	d := s.loadUnlocking(slices.Clone(lock), lock, lets)
	for i, c := range batch {
		switch c.kind {
		case followupUnlock:
			d.Unlocked(c.task, steps[i].dependents)
		case followupCancel:
			for _, k := range steps[i].cancels {
				d.Cancel(k, "", true)
			}
		case followupRelease:
			d.Release(c.task)
		case followupJudge, followupCondition:
			steps[i].last = s.judge(d, c.task, when, c.kind == followupCondition)
		case followupCollect:
			s.collect(d, c.task)
		case followupGrow:
			batch[i].at, steps[i].last = s.grow(d, c.task, c.at)
		case followupCancelBelow:
			for _, k := range steps[i].cancels {
				t := s.task(k)
				if was := t.row; d.Cancel(k, "what found it was cancelled", false) {
					t.truth.cancelled = true
					if was.State.Status() == dag.StatusPending {
						t.truth.barred = was.Attempt
					}
				}
			}
		case followupSignal:
			s.take(d, c.task)
		}
	}
	s.judgeAtOnce(d)
	s.followups = s.followups[len(batch):]
	for i := range batch {
		c := batch[i]
		if steps[i].last {
			continue
		}
		if keys := steps[i].keys(); len(keys) > 0 {
			c.cursor = keys[len(keys)-1]
		}
		s.followups = append(s.followups, c)
	}
	s.doing = batch
	defer func() { s.doing = nil }()
	return s.apply(d, room), true
}

// followupWork is what one transaction does for a followup.
type followupWork struct {
	dependents []dag.Dependent // that it tells
	cancels    []dag.Key       // that it cancels
	grows      []dag.Key       // that it lets go
	last       bool            // nothing is left after it
}

// keys are the tasks that it is about.
func (f followupWork) keys() (keys []dag.Key) {
	for _, dep := range f.dependents {
		keys = append(keys, dep.Key)
	}
	return append(append(keys, f.cancels...), f.grows...)
}

// followupWork picks what comes next of a followup.
func (s *store) followupWork(c followup) (f followupWork) {
	switch c.kind {
	case followupUnlock:
		for _, dep := range s.task(c.task).dependents {
			if dep.Key > c.cursor && len(f.dependents) < followupStep {
				f.dependents = append(f.dependents, dep)
			}
		}
		f.last = len(f.dependents) < followupStep
	case followupCancel:
		for _, t := range s.trees[c.task.Tree()-1].tasks {
			if t.row.Key >= max(c.task.Tree().Key(0), c.cursor+1) && t.made && t.row.State.Cancellable() && len(f.cancels) < followupStep {
				f.cancels = append(f.cancels, t.row.Key)
			}
		}
		f.last = len(f.cancels) < followupStep
	case followupCancelBelow:
		f.cancels = s.below(c.task, c.cursor)
		f.last = len(f.cancels) < followupStep
	case followupGrow:
		f.grows = s.growing(c.task, c.at)
	default:
		f.last = true
	}
	return f
}
