package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// waiter is a waiting task as decisions know it. wants are the keys whose rows are at hand.
func (s *store) waiter(k dag.Key, wants []dag.Want) *dag.Waiter {
	t, row := s.task(k), s.waiters[k]
	return &dag.Waiter{Task: k, Attempt: row.attempt, Priority: t.row.Priority, Line: row.line, Pool: t.row.Pool, Share: s.trees[k.Tree()-1].share,
		Contended: t.contended, At: epoch.Add(row.at), Wants: wants, Partly: len(wants) < len(t.wants)}
}

// lineOf are the tasks that wait for a key, in their order.
func (s *store) lineOf(key dag.LimitKey) (out []dag.Key) {
	for k := range s.waiters {
		if slices.ContainsFunc(s.task(k).wants, func(w dag.Want) bool { return w.LimitKey == key }) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, s.inLine)
	return out
}

// firstOf are the first tasks that wait for a key, of those that are not paused.
func (s *store) firstOf(key dag.LimitKey, most int) []dag.Key {
	line := slices.DeleteFunc(s.lineOf(key), func(k dag.Key) bool { return s.pausedBy(s.task(k)) != nil })
	return line[:min(len(line), most)]
}

func (s *store) inLine(a, b dag.Key) int {
	return cmp.Or(cmp.Compare(s.task(a).row.Priority, s.task(b).row.Priority), cmp.Compare(s.waiters[a].line, s.waiters[b].line), cmp.Compare(a, b))
}

// lines are all keys that tasks wait for.
func (s *store) lines() (out []dag.LimitKey) {
	for k := range s.waiters {
		for _, w := range s.task(k).wants {
			if !slices.Contains(out, w.LimitKey) {
				out = append(out, w.LimitKey)
			}
		}
	}
	slices.SortFunc(out, compareKeys)
	return out
}

func compareKeys(a, b dag.LimitKey) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
}

// heldOf is the sum of what is held of a key.
func (s *store) heldOf(key dag.LimitKey) (n int64) {
	for _, list := range s.holding {
		for _, h := range list {
			if h.LimitKey == key {
				n += int64(h.Cost)
			}
		}
	}
	return n
}

// served reports whether some worker's lease lives: each serves all pools.
func (s *store) served() bool {
	return slices.ContainsFunc(s.workers, func(r *workerRow) bool { return r.live(s.w.now) })
}

// granting loads what a round of grants is decided by, of the lines that are asked for: most tasks of each.
func (s *store) granting(asked []dag.LimitKey, most int, room map[int32]int) *dag.Granting {
	g := &dag.Granting{Now: s.w.time(), Keys: map[dag.LimitKey]*dag.LimitState{}, Room: room, Flight: s.flight()}
	if !s.served() {
		return g
	}
	keys := slices.Clone(asked) // and the others that the first of their lines ask for
	for _, key := range asked {
		for _, k := range s.firstOf(key, most) {
			for _, w := range s.task(k).wants {
				if !slices.Contains(keys, w.LimitKey) {
					keys = append(keys, w.LimitKey)
				}
			}
		}
	}
	known := map[dag.Key][]dag.Want{} // a place that is farther back in its line is not: who is before it is not known either
	for _, key := range keys {
		first := s.firstOf(key, most)
		for _, k := range first {
			known[k] = append(known[k], want(s.task(k), key))
		}
		state := &dag.LimitState{Held: s.heldOf(key), Cut: len(first) < len(s.lineOf(key))}
		if key.Kind == dag.KindRate {
			state.Due = s.due[key.Key]
		}
		s.rule(key, state)
		g.Keys[key] = state
	}
	for k, wants := range known {
		g.Waiters = append(g.Waiters, s.waiter(k, wants))
	}
	slices.SortFunc(g.Waiters, func(a, b *dag.Waiter) int { return cmp.Compare(a.Task, b.Task) })
	for pool := int32(1); pool <= pools; pool++ {
		s.gate(g, dag.PoolLimitKey(pool))
	}
	for share := int32(1); share <= shares; share++ {
		s.gate(g, dag.UserLimitKey(share))
	}
	return g
}

// rule adds to a key's state what an operator has set.
func (s *store) rule(key dag.LimitKey, state *dag.LimitState) {
	if r := s.rules[key]; r != nil {
		state.Ruled, state.Max, state.Per, state.Burst = true, r.max(), r.Per, r.Burst
	}
}

// gate adds the state of a pool or a user that has a limit.
func (s *store) gate(g *dag.Granting, key dag.LimitKey) {
	if s.rules[key] != nil {
		state := &dag.LimitState{Held: s.heldOf(key)}
		s.rule(key, state)
		g.Keys[key] = state
	}
}

// flight is how many tasks each share has in flight.
func (s *store) flight() map[int32]float64 {
	out := map[int32]float64{}
	for _, t := range s.trees {
		out[t.share] += float64(t.counts.Running)
	}
	return out
}

// contention is a task that was found to wait for a lock that is held.
type contention struct {
	task    dag.Key
	attempt int32
	on      dag.OnContention
}

// granted is what came of a round.
type granted struct {
	runs      []run
	contended []contention
	next      time.Duration // when a rate lets the next task start; 0: none does
	again     bool          // there may be more to grant at once
	short     bool          // a pool had no room
}

// grant makes a round of grants: of all lines, or of some of them.
func (s *store) grant(room map[int32]int) (out granted) {
	defer s.w.panics()
	asked, most := s.lines(), 64
	if len(asked) > 0 && s.w.chance(0.3) {
		s.w.rng.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
		asked, out.again = asked[:1+s.w.rng.IntN(len(asked))], true
		most = 1 + s.w.rng.IntN(4)
	}
	g := s.granting(asked, most, room)
	before := s.grantJudge(g, room)
	grants := g.Grant()
	for _, granted := range grants.Granted {
		before.granted(granted)
		s.give(granted, &out)
	}
	s.publishGranted(&out)
	for key, due := range grants.Due {
		s.due[key.Key] = due
	}
	before.over(grants)
	for _, c := range grants.Contended {
		out.contended = append(out.contended, contention{c.Task, c.Attempt, c.Contended})
	}
	out.short = len(grants.NoRoom) > 0
	out.again = out.again && len(grants.Granted) > 0
	for _, at := range grants.Next {
		if d := max(time.Millisecond, at.Sub(g.Now)); out.next == 0 || d < out.next {
			out.next = d
		}
	}
	return out
}

// give writes a grant.
func (s *store) give(g dag.Granted, out *granted) {
	t := s.task(g.Task)
	if row := s.waiters[g.Task]; row == nil || row.attempt != g.Attempt {
		s.w.broken("task %d is granted what it does not wait for", g.Task.Index())
		return
	}
	delete(s.waiters, g.Task)
	for _, want := range g.Holds {
		h := holdRow{Want: want, attempt: g.Attempt, line: g.Line, at: s.w.now}
		switch want.Kind {
		case dag.KindLock:
			s.fence++
			h.token = s.fence
			s.w.judgeToken(h)
		case dag.KindPool, dag.KindUser:
			t.row.Flags |= dag.FlagHolds
		}
		s.holding[g.Task] = append(s.holding[g.Task], h)
	}
	out.runs = append(out.runs, run{pool: t.row.Pool, priority: t.row.Priority, first: g.Task, n: 1, attempt: g.Attempt, sent: s.w.now, at: s.w.now})
	s.w.trace("granted", -1, int(g.Task.Tree())*1000+g.Task.Index(), int(g.Attempt))
	s.w.report.Limits.Granted++
}

// publishGranted joins what was granted to runs of adjacent tasks, and has them published on record.
func (s *store) publishGranted(out *granted) {
	slices.SortFunc(out.runs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	joined := out.runs[:0]
	for _, r := range out.runs {
		if n := len(joined) - 1; n >= 0 && joined[n].first+dag.Key(joined[n].n) == r.first && joined[n].pool == r.pool && joined[n].priority == r.priority && joined[n].attempt == r.attempt {
			joined[n].n++
			continue
		}
		s.runs++
		r.id = s.runs
		joined = append(joined, r)
	}
	out.runs = joined
	s.published = append(s.published, joined...)
}

// contend ends tasks that do not wait for a lock that is held, if they still wait.
func (s *store) contend(list []contention, room func(int32, int) bool) *effects {
	defer s.w.panics()
	var keys []dag.Key
	for _, c := range list {
		keys = append(keys, c.task)
	}
	d := s.load(keys, nil, true)
	for _, c := range list {
		if s.stillWaits(c.task, c.attempt) && d.Contend(c.task, c.attempt, c.on, false) {
			s.w.report.Limits.Contended++
			s.task(c.task).truth.denied = c.attempt
		}
	}
	return s.apply(d, room)
}

// stillWaits reports whether an attempt is in a line.
func (s *store) stillWaits(k dag.Key, attempt int32) bool {
	row := s.waiters[k]
	return row != nil && row.attempt == attempt
}

// lockTimedOut ends a task whose lock has not come in time, if it still waits.
func (s *store) lockTimedOut(d *dag.Decision, t timer) {
	if !s.stillWaits(t.Task, t.Attempt) {
		return
	}
	if s.w.now < s.waiters[t.Task].at+s.task(t.Task).lockWait {
		s.w.broken("task %d attempt %d is denied its lock before its time", t.Task.Index(), t.Attempt)
	}
	if d.Contend(t.Task, t.Attempt, dag.WaitForLock, true) {
		s.w.report.Limits.TimedOut++
		s.task(t.Task).truth.denied = t.Attempt
	}
}

// grantRound makes grants, and publishes what was granted.
func (c *coordinator) grantRound(done func()) {
	if len(c.w.store.waiters) == 0 {
		done()
		return
	}
	var got granted
	c.tx(func() { got = c.w.store.grant(c.grantRoom()) }, func(ok bool) {
		if !ok {
			done()
			return
		}
		c.sendGranted(got.runs)
		switch {
		case got.again:
			c.granter.again = true
		case got.short:
			c.then(25*time.Millisecond, func() { c.granter.wake() })
		case got.next > 0:
			c.then(got.next, func() { c.granter.wake() })
		}
		if len(got.contended) == 0 {
			done()
			return
		}
		var eff *effects
		c.tx(func() { eff = c.w.store.contend(got.contended, c.room) }, func(ok bool) {
			if ok {
				c.after(eff)
			}
			done()
		})
	})
}

// sendGranted reads what was granted, as it is by then, and publishes it, while the next round is made.
func (c *coordinator) sendGranted(runs []run) {
	if len(runs) == 0 {
		return
	}
	var work []*message
	c.tx(func() {
		for _, r := range runs {
			work = append(work, c.w.store.work(r)...)
		}
	}, func(ok bool) {
		if ok {
			c.publish(work)
		}
	})
}

// grantRoom is how many granted tasks may be published, by pool: as many as it has slots, beside those that lie in the queue.
func (c *coordinator) grantRoom() map[int32]int {
	room := map[int32]int{}
	for pool := int32(1); pool <= pools; pool++ {
		room[pool] = len(c.w.workers)*c.w.par.Slots + 1
	}
	for k := range c.w.store.holding {
		if t := c.w.store.task(k); t.row.State == dag.Ready {
			room[t.row.Pool]--
		}
	}
	return room
}

// lapse calls back what was granted and published while no worker lives to take it.
func (s *store) lapse(room func(int32, int) bool) (eff *effects, more bool) {
	defer s.w.panics()
	switch {
	case s.served():
		s.orphanedFrom = 0
		return nil, false
	case s.orphanedFrom == 0:
		s.orphanedFrom = s.w.now
		return nil, false
	case s.w.now-s.orphanedFrom < unservedFor:
		return nil, false
	}
	var keys []dag.Key
	for k := range s.holding {
		if s.task(k).row.State == dag.Ready {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, false
	}
	slices.Sort(keys)
	s.w.report.Limits.Lapsed++
	return s.recall(keys[:min(len(keys), gateStep)], room), true
}

// unservedFor is how long a pool has no live worker before what its tasks were granted goes back.
const unservedFor = 15 * time.Second

// recall calls back published tasks, which have as long to start as they had.
func (s *store) recall(keys []dag.Key, room func(int32, int) bool) *effects {
	d := s.load(slices.Clone(keys), nil, true)
	for _, k := range keys {
		number := s.task(k).row.Attempt
		if !d.Recall(k, number, "called back") {
			continue
		}
		s.w.report.Limits.Recalled++
		s.task(k).truth.unstarted = number
		for i := range s.timers {
			if t := &s.timers[i]; t.Task == k && t.Kind == dag.TimerScheduleToStart && t.Attempt == number {
				t.Attempt++
			}
		}
	}
	return s.apply(d, room)
}
