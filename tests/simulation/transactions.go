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
		changed = d.SettleAll(results)
		s.judgeAtOnce(d)
		d.HandOverAll(results, changed, s.alive, func(r *dag.Row) bool { return !s.waits(r.Lane()) && !s.treePaused(r.Key.Tree()) })
	}
	for i, r := range results {
		if changed[i] {
			s.w.judgeSettle(s.task(r.Task).row, r)
		}
	}
	eff := s.apply(d, room)
	for _, h := range d.Handovers {
		s.w.judgeHandover(h)
	}
	return eff
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
			if was.State.Status() == dag.StatusPending {
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
		if st := task.row.State; task.made && st.Cancellable() {
			task.truth.cancelled = true
			if st.Status() == dag.StatusPending {
				task.truth.barred = task.row.Attempt
			}
		}
	}
	s.addFollowup(followupCancel, t.key.Key(t.root))
}

// lanes are the pools and priorities of which tasks wait that nothing holds back, urgent ones first.
func (s *store) lanes() []lane {
	var out []lane
	for _, r := range s.ready {
		if s.admits(r, 1) == 0 {
			continue
		}
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
	for i, r := range s.ready {
		admitted := 0
		if r.pool == l.pool && r.priority == l.priority {
			admitted = s.admits(r, n)
		}
		if admitted == 0 {
			left = append(left, r)
			continue
		}
		s.w.judgeTurn(r, s.ready[i+1:])
		taken := r
		taken.n = admitted
		n -= taken.n
		s.runs++
		taken.id, taken.sent, taken.at = s.runs, s.w.now, s.w.now
		s.published = append(s.published, taken)
		s.admit(taken)
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
