package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
)

// settle records results; changed tells which of them changed anything.
func (s *store) settle(results []dag.Result, room func(int32, int) bool) *effects {
	defer s.w.panics()
	var keys, policies []dag.Key
	for _, r := range results {
		keys = append(keys, r.Task)
		if r.Outcome != dag.OutcomeCompleted {
			policies = append(policies, r.Task)
		}
	}
	changed := make([]bool, len(results))
	d := s.settleOptimistically(results)
	if d != nil {
		for i := range changed {
			changed[i] = true
		}
	} else {
		d = s.load(keys, policies, true)
		changed = d.SettleAll(results, s.alive, func(r *dag.Row) bool { return !s.waits(r.Lane()) })
	}
	for i, r := range results {
		if changed[i] {
			s.w.judgeSettle(s.task(r.Task).row, r)
		}
	}
	for _, h := range d.Handovers {
		s.w.judgeHandover(h)
	}
	return s.apply(d, room)
}

// claim answers claims.
func (s *store) claim(claims []dag.Claim) []dag.Verdict {
	defer s.w.panics()
	var keys []dag.Key
	for _, c := range claims {
		keys = append(keys, c.Task)
	}
	d, verdicts := s.claimOptimistically(claims)
	if d == nil {
		d = s.load(keys, nil, false)
		verdicts = d.Claims(claims, s.alive)
	}
	for i, c := range claims {
		if verdicts[i] == dag.Yes {
			s.w.judgeClaim(c)
		}
	}
	s.apply(d, nil)
	return verdicts
}

func (s *store) takeBack(w dag.WorkerKey, keys []dag.Key, crash bool, room func(int32, int) bool) *effects {
	defer s.w.panics()
	d := s.load(slices.Clone(keys), keys, true)
	for _, k := range keys {
		number := s.task(k).row.Attempt
		if !d.Lost(k, w, crash) || !crash {
			continue
		}
		if s.worker(w).live(s.w.now) {
			s.w.broken("task %d is taken back from a worker whose lease lives", k.Index())
		}
		s.w.judgeTakeBack(attemptKey{k, number}, s.worker(w))
	}
	return s.apply(d, room)
}

// cancelTasks cancels single tasks.
func (s *store) cancelTasks(keys []dag.Key, room func(int32, int) bool) *effects {
	defer s.w.panics()
	d := s.load(slices.Clone(keys), keys, true)
	for _, k := range keys {
		t := s.task(k)
		if was := t.row; d.Cancel(k, "by user", false) {
			t.truth.cancelled = true
			if was.State != dag.Running {
				t.truth.barred = was.Attempt
			}
		}
	}
	return s.apply(d, room)
}

// cancelTree puts a tree's cancellation on record.
func (s *store) cancelTree(t *tree) {
	if t.cancelled || t.counts.Unfinished == 0 && t.counts.Held == 0 && t.counts.Blocked == 0 {
		return
	}
	t.cancelled = true
	for _, task := range t.tasks {
		if st := task.row.State; st < dag.Completed {
			task.truth.cancelled = true
			if st != dag.Running {
				task.truth.barred = task.row.Attempt
			}
		}
	}
	s.addFollowup(followupCancel, t.key.Key(t.root))
}

// execute starts a tree or a part of it, or runs it again. It reports whether it did, or there is nothing to do.
func (s *store) execute(t *tree, target int, opts dag.ExecutionOptions) (done bool, eff *effects) {
	defer s.w.panics()
	nodes := make([]dag.Node, len(t.tasks))
	for i, task := range t.tasks {
		nodes[i] = dag.Node{State: task.row.State, Flags: task.row.Flags, Attempt: task.row.Attempt, Open: task.row.Worker != 0}
	}
	for _, c := range s.followups {
		switch {
		case c.task.Tree() != t.key:
		case c.kind == followupCancel:
			return false, &effects{}
		default:
			nodes[c.task.Index()].Untold = true
		}
	}
	plan := dag.PlanExecution(nodes, func(i int) []dag.Edge { return t.tasks[i].deps }, target, target == t.root, opts)
	if plan.Busy >= 0 || plan.Stopping >= 0 || plan.Untold >= 0 || len(plan.Restarts) == 0 {
		return plan.Busy < 0 && plan.Stopping < 0 && plan.Untold < 0, &effects{}
	}
	t.partial = t.partial || target != t.root
	beside := t.execution > 0 && !t.finished // another execution goes on
	var ready []*dag.Row
	var delta dag.TreeDelta
	for _, r := range plan.Restarts {
		row := &t.tasks[r.Index].row
		if row.State != r.From || row.Attempt != r.Was || row.Worker != 0 {
			s.w.broken("restart of task %d expects %s/%d", r.Index, r.From, r.Was)
		}
		delta.Count(row.State, row.Flags, -1)
		delta.Count(r.State, row.Flags, +1)
		row.State, row.Attempt, row.Remaining, row.Failures, row.Crashes = r.State, r.Attempt, r.Remaining, 0, 0
		row.StartedAt, row.BlockedBy = time.Time{}, 0
		if r.State == dag.Blocked {
			row.BlockedBy = t.key.Key(r.BlockedBy)
		}
		t.tasks[r.Index].truth.restart(restart{t.execution + 1, r.Attempt}, s.w.now)
		if r.Release {
			s.addFollowup(followupRelease, row.Key)
		}
		if r.State == dag.Ready {
			ready = append(ready, row)
		}
	}
	eff = &effects{followups: true}
	s.w.note(t)
	t.execution++
	t.cancelled, t.finished = false, false
	if !beside {
		t.counts.Events = nil
	}
	t.counts.Events = slices.DeleteFunc(t.counts.Events, func(e dag.Event) bool {
		return slices.ContainsFunc(plan.Restarts, func(r dag.Restart) bool { return r.Index == e.Task.Index() })
	})
	if t.timeout > 0 {
		t.due = s.w.now + t.timeout
		s.timers = append(s.timers, timer{dag.Timer{Task: t.key.Key(t.root), Attempt: int32(t.execution), Kind: dag.TimerTree}, t.due})
	}
	s.place(ready, nil, eff)
	s.addTree(t, &delta)
	s.w.trace("execute", -1, int(t.key), t.execution)
	return true, eff
}

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
		d.Due(t.Timer)
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

// doFollowups does a batch of follow-up work, and reports whether there may be more.
func (s *store) doFollowups(room func(int32, int) bool) (eff *effects, more bool) {
	defer s.w.panics()
	if len(s.followups) == 0 {
		return &effects{}, false
	}
	batch := slices.Clone(s.followups[:min(len(s.followups), 4)])
	var lock []dag.Key
	dependents := make([][]dag.Dependent, len(batch))
	cancels := make([][]dag.Key, len(batch))
	last := make([]bool, len(batch))
	for i, c := range batch {
		lock = append(lock, c.task)
		switch c.kind {
		case followupUnlock:
			for _, dep := range s.task(c.task).dependents {
				if dep.Key > c.cursor && len(dependents[i]) < followupStep {
					dependents[i] = append(dependents[i], dep)
					lock = append(lock, dep.Key)
				}
			}
			last[i] = len(dependents[i]) < followupStep
		case followupCancel:
			for _, t := range s.trees[c.task.Tree()-1].tasks {
				if t.row.Key >= max(c.task.Tree().Key(0), c.cursor+1) && t.row.State < dag.Completed && len(cancels[i]) < followupStep {
					cancels[i] = append(cancels[i], t.row.Key)
				}
			}
			lock = append(lock, cancels[i]...)
			last[i] = len(cancels[i]) < followupStep
		default:
			last[i] = true
		}
	}
	d := s.load(slices.Clone(lock), lock, false)
	for i, c := range batch {
		switch c.kind {
		case followupUnlock:
			d.Unlocked(c.task, dependents[i])
		case followupCancel:
			for _, k := range cancels[i] {
				d.Cancel(k, "", true)
			}
		case followupRelease:
			d.Release(c.task)
		}
	}
	s.followups = s.followups[len(batch):]
	for i, c := range batch {
		if last[i] {
			continue
		}
		if n := len(dependents[i]); n > 0 {
			c.cursor = dependents[i][n-1].Key
		}
		if n := len(cancels[i]); n > 0 {
			c.cursor = cancels[i][n-1]
		}
		s.followups = append(s.followups, c)
	}
	return s.apply(d, room), true
}

// lanes are the pools and priorities of which tasks wait, urgent ones first.
func (s *store) lanes() []lane {
	var out []lane
	for _, r := range s.ready {
		if l := (lane{r.pool, r.priority}); !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b lane) int { return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.pool, b.pool)) })
	return out
}

// dispatch moves up to n waiting tasks of a lane to published.
func (s *store) dispatch(l lane, n int) []*message {
	var out []*message
	var left []run
	for _, r := range s.ready {
		if n == 0 || r.pool != l.pool || r.priority != l.priority {
			left = append(left, r)
			continue
		}
		taken := r
		taken.n = min(r.n, n)
		n -= taken.n
		s.runs++
		taken.id, taken.sent, taken.at = s.runs, s.w.now, s.w.now
		s.published = append(s.published, taken)
		out = append(out, s.work(taken)...)
		if r.n > taken.n {
			r.first, r.n = r.first+dag.Key(taken.n), r.n-taken.n
			left = append(left, r)
		}
	}
	s.ready = left
	for _, r := range left {
		s.w.judgeRuns(r)
	}
	return out
}

// reconcile looks after runs that were published, or looked at, over age ago; oldest is when the oldest message that a
// lane holds was published, zero for none.
func (s *store) reconcile(age time.Duration, oldest func(lane) time.Time) (again []*message) {
	var kept []run
	for _, r := range s.published {
		if r.at > s.w.now-age {
			kept = append(kept, r)
			continue
		}
		at := oldest(lane{r.pool, r.priority})
		for k := r.first; k < r.first+dag.Key(r.n); k++ {
			if t := s.task(k); t.row.State != dag.Ready || t.row.Attempt != r.attempt {
				continue
			}
			one := r
			one.first, one.n, one.at = k, 1, s.w.now
			if dag.Gone(epoch.Add(r.sent), at) {
				one.sent = s.w.now
				again = append(again, s.work(one)...)
			}
			kept = append(kept, one)
		}
	}
	s.published = kept
	for _, m := range again {
		m.repeatable = false // a copy may be the second one: it must not start before its claim
	}
	return again
}

// beat is what a worker says of itself.
type beat struct {
	worker, session, number  int
	state                    workerState
	asked, running, reported []attemptKey
	sent                     time.Duration
}

// extend records a beat and extends the lease. It reports false when the instance's lease has ended, or the beat is old.
func (s *store) extend(b beat) bool {
	attempts := map[dag.Key]bool{}
	for _, a := range slices.Concat(b.asked, b.running, b.reported) {
		attempts[a.task] = true
	}
	_, r := s.session(b.session)
	if r == nil {
		s.workers = append(s.workers, &workerRow{worker: b.worker, session: b.session, state: b.state, beat: b.number,
			lease: s.w.now + leaseTime, attempts: attempts})
		return true
	}
	if r.state != alive && r.state != draining || r.beat >= b.number && b.state != gone || r.lease <= s.w.now {
		return false
	}
	r.beat, r.state, r.lease, r.attempts = max(r.beat, b.number), b.state, s.w.now+leaseTime, attempts
	return true
}

// endWorkers makes workers lost whose lease has run out, and returns who departed and may still hold attempts.
func (s *store) endWorkers() []dag.WorkerKey {
	var out []dag.WorkerKey
	for i, r := range s.workers {
		if (r.state == alive || r.state == draining) && r.lease < s.w.now {
			r.state = lost
			s.w.trace("lost worker", -1, r.worker, r.session)
		}
		if (r.state == lost || r.state == gone) && !r.done {
			out = append(out, dag.WorkerKey(i+1))
		}
	}
	return out
}

// open are all open attempts.
func (s *store) open() (out []workers.Held) {
	for _, t := range s.trees {
		if t.counts.Running <= 0 {
			continue
		}
		for _, task := range t.tasks {
			if task.row.Worker != 0 {
				out = append(out, workers.Held{Key: task.row.Key, Attempt: task.row.Attempt, Worker: task.row.Worker})
			}
		}
	}
	return out
}
