package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// execute starts a tree or a part of it, or runs it again. It reports whether it did, or there is nothing to do.
func (s *store) execute(t *tree, target int, opts dag.ExecutionOptions) (done bool, eff *effects) {
	defer s.w.panics()
	nodes, cancelling := s.nodes(t)
	if cancelling {
		return false, &effects{}
	}
	opts.First = t.execution == 0
	plan := dag.PlanExecution(nodes, func(i int) []dag.Edge { return t.tasks[i].deps }, target, target == t.root, opts)
	if plan.Busy >= 0 || plan.Stopping >= 0 || plan.Untold >= 0 || len(plan.Restarts) == 0 {
		return plan.Busy < 0 && plan.Stopping < 0 && plan.Untold < 0, &effects{}
	}
	t.partial = t.partial || target != t.root
	t.keeps = t.keeps || opts.KeepCompleted
	again := make([]bool, len(t.tasks))
	for _, r := range plan.Restarts {
		again[r.Index] = true
	}
	for _, r := range plan.Restarts {
		s.judgeRestart(t, r, again, opts)
	}
	return true, s.begin(t, plan.Restarts)
}

// bear starts a tree as it is stored, which has tasks that have ended already.
func (s *store) bear(t *tree) *effects {
	defer s.w.panics()
	var begin []dag.Restart
	for i, r := range t.graph.Births(func(i int) dag.State { return t.tasks[i].row.State }, func(i int) dag.Flags { return t.tasks[i].row.Flags }) {
		if t.tasks[i].imported == nil && t.tasks[i].made {
			begin = append(begin, r)
		}
	}
	return s.begin(t, begin)
}

// judgeRestart holds a restart against what was asked for.
func (s *store) judgeRestart(t *tree, r dag.Restart, again []bool, opts dag.ExecutionOptions) {
	plain := !opts.Force && !opts.RerunDependencies
	if t.relocked(r.Index, again) {
		return
	}
	if opts.KeepCompleted && plain && (r.From == dag.Completed || r.From == dag.Skipped && s.stays(t.tasks[r.Index])) {
		s.w.broken("task %d is %s, and runs again though it is to be kept", r.Index, r.From)
	}
	if opts.First && plain && !opts.RerunCancelled && t.tasks[r.Index].imported != nil {
		s.w.broken("task %d had ended before it was submitted, and runs", r.Index)
	}
}

// relocked reports whether a task of those that run again has a lock taken again, ends anew after that, or comes after one that does.
func (t *tree) relocked(i int, again []bool) bool {
	if t.tasks[i].row.Flags&(dag.FlagKeeps|dag.FlagKept) != 0 {
		return true
	}
	return slices.ContainsFunc(t.tasks[i].deps, func(e dag.Edge) bool { return again[e.Task] && t.relocked(int(e.Task), again) })
}

// begin begins an execution.
func (s *store) begin(t *tree, restarts []dag.Restart) *effects {
	beside := t.execution > 0 && !t.finished // another execution goes on
	var ready []*dag.Row
	var delta dag.TreeDelta
	for _, r := range restarts {
		row := &t.tasks[r.Index].row
		if row.State != r.From || row.Attempt != r.Was || row.Worker != 0 {
			s.w.broken("restart of task %d expects %s/%d", r.Index, r.From, r.Was)
		}
		s.forget(row.Key, row.State)
		if row.Flags&dag.FlagKeeps != 0 { // what it took before goes back
			delete(s.holding, row.Key)
		}
		delta.Count(row.State, row.Flags, -1)
		delta.Count(r.State, row.Flags, +1)
		row.State, row.Attempt, row.Remaining, row.Failures, row.Crashes, row.Repeats = r.State, r.Attempt, r.Remaining, 0, 0, 0
		row.StartedAt, row.BlockedBy = time.Time{}, 0
		row.Flags = row.Flags&^dag.FlagImported | r.Flags&dag.FlagFresh
		if r.State == dag.Blocked {
			row.BlockedBy = t.key.Key(r.BlockedBy)
		}
		t.tasks[r.Index].answered = false
		t.tasks[r.Index].truth.restart(restart{t.execution + 1, r.Attempt}, s.w.now)
		if r.Release {
			s.addFollowup(followupRelease, row.Key)
		}
		if r.State == dag.Ready {
			ready = append(ready, row)
		}
	}
	eff := &effects{followups: true}
	s.w.note(t)
	t.execution++
	t.cancelled, t.finished = false, false
	if !beside {
		t.counts.Events = nil
	}
	t.counts.Events = slices.DeleteFunc(t.counts.Events, func(e dag.Event) bool {
		return slices.ContainsFunc(restarts, func(r dag.Restart) bool { return r.Index == e.Task.Index() })
	})
	if t.timeout > 0 {
		t.due = s.w.now + t.timeout
		s.timers = append(s.timers, timer{dag.Timer{Task: t.key.Key(t.root), Attempt: int32(t.execution), Kind: dag.TimerTree}, t.due})
	}
	s.place(ready, nil, nil, eff)
	s.addTree(t, &delta)
	s.w.trace("execute", -1, int(t.key), t.execution)
	return eff
}

// stays reports whether a skipped task was not skipped by the rules.
func (s *store) stays(t *task) bool {
	end := s.attempts[attemptKey{t.row.Key, t.row.Attempt}]
	return end != nil && end.Worker != 0 || !dag.SkipJudged(s.reason(t.row))
}

// nodes are the tasks of a tree as an execution is planned from them. cancelling: the tree's cancellation is under way.
func (s *store) nodes(t *tree) (nodes []dag.Node, cancelling bool) {
	nodes = make([]dag.Node, len(t.tasks))
	for i, task := range t.tasks {
		nodes[i] = dag.Node{State: task.row.State, Flags: task.row.Flags, Attempt: task.row.Attempt, Open: task.row.Worker != 0, Gone: !task.made}
		nodes[i].Stays = task.row.State == dag.Skipped && s.stays(task)
		if task.above != 0 {
			nodes[i].Above = int32(task.above.Index()) + 1
		}
	}
	for _, c := range s.followups {
		switch {
		case c.task.Tree() != t.key:
		case c.kind == followupCancel:
			return nil, true
		default:
			nodes[c.task.Index()].Untold = true
		}
	}
	return nodes, false
}
