package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// shares are those who submit trees, numbered from 1.
const shares = 2

// gateStep is how many tasks one transaction calls back, or counts: few, so that others come in between.
const gateStep = 3

// setPause pauses something. What waits of a paused tree is put aside.
func (s *store) setPause(p pauseRow) {
	if slices.ContainsFunc(s.pauses, func(o *pauseRow) bool { return o.scope == p.scope && o.pool == p.pool && o.tree == p.tree }) {
		return
	}
	s.w.trace("pause", -1, int(p.tree)*1000+int(p.pool), int(p.scope))
	s.w.report.Limits.Pauses++
	s.pauses = append(s.pauses, &p)
	if p.scope != dag.PauseTree {
		return
	}
	s.ready = slices.DeleteFunc(s.ready, func(r run) bool {
		if r.first.Tree() != p.tree {
			return false
		}
		s.parked = append(s.parked, r)
		return true
	})
}

// resume ends a pause.
func (s *store) resume(p pauseRow) {
	s.pauses = slices.DeleteFunc(s.pauses, func(o *pauseRow) bool { return o.scope == p.scope && o.pool == p.pool && o.tree == p.tree })
	s.w.trace("resume", -1, int(p.tree)*1000+int(p.pool), int(p.scope))
	if p.scope != dag.PauseTree {
		return
	}
	s.parked = slices.DeleteFunc(s.parked, func(r run) bool {
		if r.first.Tree() != p.tree {
			return false
		}
		s.ready = append(s.ready, r)
		for k := r.first; k < r.first+dag.Key(r.n); k++ {
			s.task(k).truth.again = false // they come last, whatever had begun of them
		}
		return true
	})
}

// callBack calls back some of what was published before a pause, and notes when nothing is left of it.
func (s *store) callBack(p *pauseRow, room func(int32, int) bool) (eff *effects) {
	defer s.w.panics()
	var keys []dag.Key
	for _, r := range s.published {
		for k := r.first; k < r.first+dag.Key(r.n); k++ {
			if t := s.task(k); t.row.State == dag.Ready && t.row.Attempt == r.attempt && p.of(t) && len(keys) < gateStep {
				keys = append(keys, k)
			}
		}
	}
	if len(keys) == 0 {
		p.settled = true
		return nil
	}
	slices.Sort(keys)
	return s.recall(keys, room)
}

// setRule sets a limit. One of a pool or a user is to count what runs already.
func (s *store) setRule(key dag.LimitKey, state dag.LimitState) {
	s.w.trace("rule "+key.Key, -1, int(key.Kind), int(state.Max))
	s.w.report.Limits.Rules++
	s.rules[key] = &ruleRow{LimitState: state, counted: key.Kind != dag.KindPool && key.Kind != dag.KindUser}
	s.ruled[key] = true
	delete(s.starts, key.Key)
}

// dropRule takes a limit away. What is held of a pool or a user goes back when the attempts end.
func (s *store) dropRule(key dag.LimitKey) {
	s.w.trace("no rule "+key.Key, -1, int(key.Kind), 0)
	delete(s.rules, key)
	delete(s.starts, key.Key)
}

// max is how much a limit lets start now: nothing while it does not count all that runs.
func (r *ruleRow) max() int32 {
	if !r.counted {
		return 0
	}
	return r.Max
}

// uncounted are the tasks of a rule that are published or run, and have no hold for that.
func (s *store) uncounted(key dag.LimitKey) (out []dag.Key) {
	for _, tree := range s.trees {
		for _, t := range tree.tasks {
			if t.made && s.counts(key, t) && s.placed(t) && !s.hasHold(t.row.Key, key) {
				out = append(out, t.row.Key)
			}
		}
	}
	return out
}

// counts reports whether a task is of the pool or the user that a key stands for.
func (s *store) counts(key dag.LimitKey, t *task) bool {
	return key == dag.PoolLimitKey(t.row.Pool) || key == dag.UserLimitKey(s.trees[t.row.Key.Tree()-1].share)
}

// placed reports whether a task has its place: a worker runs it, or it is published.
func (s *store) placed(t *task) bool {
	return t.row.Worker != 0 || t.row.State == dag.Ready && slices.ContainsFunc(s.published, func(r run) bool { return r.covers(t.row.Key, t.row.Attempt) })
}

func (s *store) hasHold(k dag.Key, key dag.LimitKey) bool {
	return slices.ContainsFunc(s.holding[k], func(h holdRow) bool { return h.LimitKey == key })
}

// countRule calls some of what is published back, then gives holds to some of what runs, and notes when all has them.
func (s *store) countRule(key dag.LimitKey, room func(int32, int) bool) *effects {
	defer s.w.panics()
	left := s.uncounted(key)
	ready := slices.DeleteFunc(slices.Clone(left), func(k dag.Key) bool { return s.task(k).row.State != dag.Ready })
	if len(ready) > 0 {
		return s.recall(ready[:min(len(ready), gateStep)], room)
	}
	for _, k := range left[:min(len(left), gateStep)] {
		s.hold(k, key)
		s.w.report.Limits.Counted++
	}
	if len(left) <= gateStep {
		s.rules[key].counted = true
	}
	return nil
}

// hold gives a task a hold of its pool or its user.
func (s *store) hold(k dag.Key, key dag.LimitKey) {
	t := s.task(k)
	t.row.Flags |= dag.FlagHolds
	line := int64(0)
	for _, h := range s.holding[k] {
		line = h.line
	}
	s.holding[k] = append(s.holding[k], holdRow{Want: dag.Want{LimitKey: key, Cost: 1}, attempt: t.row.Attempt, line: line, at: s.w.now})
}

// gates are the pool's and the user's key of a task that have a rule.
func (s *store) gates(t *task) (out []dag.LimitKey) {
	for _, key := range []dag.LimitKey{dag.PoolLimitKey(t.row.Pool), dag.UserLimitKey(s.trees[t.row.Key.Tree()-1].share)} {
		if s.rules[key] != nil {
			out = append(out, key)
		}
	}
	return out
}

// admits is how many of a stretch may be published now, of at most n.
func (s *store) admits(r run, n int) int {
	t := s.task(r.first)
	if s.pausedBy(t) != nil {
		return 0
	}
	for _, key := range s.gates(t) {
		n = min(n, int(int64(s.rules[key].max())-s.heldOf(key)))
	}
	return max(0, min(r.n, n))
}

// admit gives those of a stretch that are still ready their holds.
func (s *store) admit(r run) {
	gates := s.gates(s.task(r.first))
	for k := r.first; k < r.first+dag.Key(r.n); k++ {
		if t := s.task(k); t.row.State == dag.Ready && t.row.Attempt == r.attempt {
			for _, key := range gates {
				s.hold(k, key)
				s.w.judgeAdmitted(key)
			}
		}
	}
}

// covers reports whether a stretch has an attempt.
func (r run) covers(k dag.Key, attempt int32) bool {
	return r.attempt == attempt && r.first <= k && k < r.first+dag.Key(r.n)
}

// watchGates goes on with what was paused, or limited, and has not come to its end. Whoever asked for it may be gone.
func (c *coordinator) watchGates(done func()) {
	s := c.w.store
	for _, p := range s.pauses {
		if p.settled {
			continue
		}
		var eff *effects
		c.tx(func() { eff = s.callBack(p, c.room) }, func(ok bool) {
			if ok {
				c.after(eff)
				c.gates.again = true
			}
			done()
		})
		return
	}
	for _, key := range s.ruleKeys() {
		if s.rules[key].counted {
			continue
		}
		var eff *effects
		c.tx(func() {
			if s.rules[key] != nil {
				eff = s.countRule(key, c.room)
			}
		}, func(ok bool) {
			if ok {
				c.after(eff)
				c.granter.wake()
				c.dispatcher.wake()
			}
			c.gates.again = ok
			done()
		})
		return
	}
	var eff *effects
	more := false
	c.tx(func() { eff, more = s.lapse(c.room) }, func(ok bool) {
		if ok {
			c.after(eff)
			c.gates.again = more
		}
		done()
	})
}

func (s *store) ruleKeys() (out []dag.LimitKey) {
	for key := range s.rules {
		out = append(out, key)
	}
	slices.SortFunc(out, compareKeys)
	return out
}

// holdBack has an operator pause something for a while, or set a limit, change it, and take it back.
func (w *world) holdBack() {
	begin := w.between(0, w.par.Faults)
	lasts := w.between(0, w.par.Faults/2)
	if w.rng.IntN(2) == 0 {
		p, now := pauseRow{scope: dag.PauseScope(1 + w.rng.IntN(3))}, func() bool { return true }
		switch p.scope {
		case dag.PausePool:
			p.pool = int32(1 + w.rng.IntN(pools))
		case dag.PauseTree:
			p.tree = dag.TreeKey(1 + w.rng.IntN(w.par.Trees))
			tries := w.rng.IntN(40)
			now = func() bool { tries--; return tries < 0 || w.store.unlocking(p.tree) }
		}
		w.operateWhen(begin, now, func() { w.store.setPause(p) }, func() {
			w.operate(lasts, func() { w.store.resume(p) }, nil)
		})
		return
	}
	key := w.ruledKey()
	drop := func() { w.operate(lasts/2, func() { w.store.dropRule(key) }, nil) }
	w.operate(begin, func() { w.store.setRule(key, w.rule(key)) }, func() {
		if w.rng.IntN(2) == 0 {
			w.operate(lasts/2, func() { w.store.setRule(key, w.rule(key)) }, drop)
			return
		}
		w.operate(lasts/2, func() {}, drop)
	})
}

// unlocking reports whether a worker runs something of a tree that others wait for: what it unlocks could take its slot.
func (s *store) unlocking(k dag.TreeKey) bool {
	return slices.ContainsFunc(s.trees[k-1].tasks, func(t *task) bool { return t.row.State == dag.Running && len(t.dependents) > 0 })
}

// ruledKey draws what a limit is set for: a pool, a user, or a key that some task asks for.
func (w *world) ruledKey() dag.LimitKey {
	switch keys := w.store.asked(); {
	case w.rng.IntN(3) == 0 || len(keys) == 0:
		return dag.PoolLimitKey(int32(1 + w.rng.IntN(pools)))
	case w.rng.IntN(4) == 0:
		return dag.UserLimitKey(int32(1 + w.rng.IntN(shares)))
	default:
		return keys[w.rng.IntN(len(keys))]
	}
}

// asked are the keys of limits and rates that tasks ask for.
func (s *store) asked() (out []dag.LimitKey) {
	for _, tree := range s.trees {
		for _, t := range tree.tasks {
			for _, want := range t.wants {
				if want.Kind != dag.KindLock && !slices.Contains(out, want.LimitKey) {
					out = append(out, want.LimitKey)
				}
			}
		}
	}
	return out
}

// rule draws a limit.
func (w *world) rule(key dag.LimitKey) dag.LimitState {
	state := dag.LimitState{Max: w.rng.Int32N(5)}
	if key.Kind == dag.KindRate {
		state.Per, state.Burst = time.Second, 1+w.rng.Int32N(3)
	}
	return state
}

// operate has an operator ask for a change, after d, until it is done, and goes on with what comes then.
func (w *world) operate(d time.Duration, change, then func()) {
	w.operateWhen(d, func() bool { return true }, change, then)
}

// operateWhen is operate at a moment that now waits for.
func (w *world) operateWhen(d time.Duration, now func() bool, change, then func()) {
	w.want(d, func() bool {
		c := w.anyCoordinator()
		if c == nil || w.now < w.dbDown || !now() {
			return false
		}
		change()
		c.resume(c.life, func() {
			c.gates.wake()
			c.granter.wake()
			c.dispatcher.wake()
		})
		if then != nil {
			then()
		}
		return true
	})
}
