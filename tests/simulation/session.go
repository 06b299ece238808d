package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/internal/ledger"
)

// beat sends one and plans the next.
func (wk *worker) beat(s *session) {
	if s.Ended() || wk.session != s {
		return
	}
	wk.sendBeat(s, alive)
	wk.then(wk.w.between(beatEvery*9/10, beatEvery*11/10), func() { wk.beat(s) })
}

func (wk *worker) sendBeat(s *session, state workerState) {
	if wk.leaving && state == alive {
		state = draining
	}
	list := wk.ledger.List(&s.Session)
	b := beat{worker: wk.id - 100, session: s.name, number: int(list.Number), state: state, sent: wk.w.now,
		asked: keys(list.Asked), running: keys(list.Running), reported: keys(list.Reported)}
	life := wk.life
	wk.net(func() {
		if c := wk.w.anyCoordinator(); c != nil {
			c.resume(c.life, func() {
				c.beat(b, func(an answer) { wk.reach(life, func() { wk.answered(s, b.sent, an) }) })
			})
		}
	})
}

// keys are the names of attempts, in their order.
func keys(list []*attempt) (out []attemptKey) {
	slices.SortFunc(list, compare)
	for _, a := range list {
		out = append(out, a.key())
	}
	return out
}

// answered applies the answer to a beat.
func (wk *worker) answered(s *session, sent time.Duration, an answer) {
	if s.Ended() {
		return
	}
	old := false
	wk.step(func(out *todo) {
		if old = !s.Answered(uint64(an.number)); old {
			return
		}
		for _, g := range an.missed {
			wk.missed(s, g, out)
		}
		for _, k := range an.settled {
			wk.ledger.Receipt(keyOf(k), out)
		}
		for _, k := range an.cancel {
			wk.cancelled(k, out)
		}
		for _, k := range an.disowned {
			wk.ledger.Disown(&s.Session, uint64(an.number), keyOf(k), out)
		}
	})
	if old {
		return
	}
	now := wk.w.time()
	first := !s.lease.Granted()
	if an.lease == 0 {
		if s.lease.Refuse(now) { // its first lease ran out before any answer came
			wk.watchFence(s)
		}
		return
	}
	if _, moved := s.lease.Extend(now, epoch.Add(sent), an.lease); moved && first {
		wk.watchFence(s)
		wk.taker.wake()
	}
}

// watchFence ends the session when its lease could not be renewed.
func (wk *worker) watchFence(s *session) {
	left := s.lease.Look(wk.w.time())
	switch {
	case s.Ended():
	case left > 0:
		wk.then(left, func() { wk.watchFence(s) })
	default:
		wk.w.trace("fenced", wk.id, 0, s.name)
		wk.step(func(out *todo) { wk.ledger.End(&s.Session, ledger.LeaseLost, out) })
		if wk.leaving {
			wk.w.stopProcess(&wk.process)
			return
		}
		wk.newSession()
	}
}
