package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// The times of the protocol, as the worker's defaults are.
const (
	beatEvery   = 5 * time.Second
	killGrace   = 5 * time.Second // between the fence and the lease's end
	stopWithin  = 3 * time.Second // how long an executor takes to stop, at most
	askWithin   = 3 * time.Second
	resendAfter = 5 * time.Second
	drainGrace  = 8 * time.Second
	slots       = 3 // of each pool
	pools       = 2 // they are numbered from 1
)

type phase int

const (
	waiting  phase = iota // taken, not started
	running               // its executor works
	stopped               // started early and interrupted: the claim's answer tells whether that is to be reported
	reported              // its result is kept until the receipt
	forgotten
)

// worker is a process without state: what it knows of attempts dies with it.
type worker struct {
	process
	session   *session
	ledger    []*attempt
	inHand    [pools + 1]int // slots that are held
	taker     *ticker
	cut       time.Duration // its network is cut until then
	leaving   bool
	stopGrace bool // the drain's grace is over
}

// session is one instance: from the first beat to the fence.
type session struct {
	name            int
	beats, answered int
	leaseEnd, fence time.Duration // by the worker's clock; 0: not granted yet
	refused         int           // beats answered without a lease, before the first one
	ended           bool
}

type attempt struct {
	message
	created             int // the streams that the message is of
	acked               bool
	session             *session
	phase               phase
	early, asked, yes   bool
	cancelled, disowned bool
	stopping            bool
	listed              int           // number of the first beat of its session that listed it as running
	askedAt             time.Duration // when a claim of it may have been granted at the earliest
	result              result
	sending             bool
	sends               int
	sendAfter           time.Duration
	exec                *execution
	holdsSlot           bool
	offers              bool          // its result offers its slot, which it holds until the receipt
	offered             time.Duration // since when
}

func (wk *worker) start() {
	wk.up = true
	wk.life++
	wk.frozen, wk.leaving, wk.stopGrace = 0, false, false
	wk.ledger, wk.inHand = nil, [pools + 1]int{}
	wk.taker = wk.tick(time.Second, wk.take)
	wk.newSession()
	wk.tick(time.Second, wk.resend)
}

func (wk *worker) newSession() {
	wk.w.sessions++
	s := &session{name: wk.w.sessions}
	wk.session = s
	wk.beat(s)
}

// net sends to the other side of the worker's network.
func (wk *worker) net(f func()) {
	if wk.cut <= wk.w.now {
		wk.w.send(f)
	}
}

// reach is what comes in from the network.
func (wk *worker) reach(life int, f func()) {
	if wk.cut <= wk.w.now {
		wk.resume(life, f)
	}
}

// beat sends one and plans the next.
func (wk *worker) beat(s *session) {
	if s.ended || wk.session != s {
		return
	}
	wk.sendBeat(s, alive)
	wk.then(wk.w.between(beatEvery*9/10, beatEvery*11/10), func() { wk.beat(s) })
}

func (wk *worker) sendBeat(s *session, state workerState) {
	if wk.leaving && state == alive {
		state = draining
	}
	s.beats++
	b := beat{worker: wk.id - 100, session: s.name, number: s.beats, state: state, sent: wk.w.now}
	for _, a := range wk.ledger {
		switch {
		case a.phase == reported:
			b.reported = append(b.reported, a.key)
		case a.session != s || a.disowned || !a.asked && !a.early:
		case !a.yes:
			b.asked = append(b.asked, a.key)
		default:
			b.running = append(b.running, a.key)
			if a.listed == 0 {
				a.listed = b.number
			}
		}
	}
	life := wk.life
	wk.net(func() {
		if c := wk.w.anyCoordinator(); c != nil {
			c.resume(c.life, func() {
				c.beat(b, func(an answer) { wk.reach(life, func() { wk.answered(s, b.sent, an) }) })
			})
		}
	})
}

// answered applies the answer to a beat.
func (wk *worker) answered(s *session, sent time.Duration, an answer) {
	if an.number <= s.answered {
		return
	}
	s.answered = an.number
	wk.missed(s, an.missed)
	wk.receipts(an.settled)
	for _, k := range an.cancel {
		wk.cancel(k)
	}
	for _, k := range an.disowned {
		a := wk.find(k)
		if a == nil || a.disowned || a.session != s || a.listed == 0 || a.listed > an.number || a.phase == reported {
			continue
		}
		a.disowned = true
		if a.phase == running {
			wk.stop(a)
		} else {
			wk.forget(a)
		}
	}
	if an.lease == 0 && s.leaseEnd == 0 && !s.ended {
		if s.refused++; s.refused >= 3 { // its first lease ran out before any answer came
			wk.endSession(s)
			wk.newSession()
		}
		return
	}
	end := sent + an.lease
	fence := end - killGrace
	if an.lease == 0 || fence <= wk.w.now || s.ended || s.fence != 0 && s.fence <= wk.w.now || end <= s.leaseEnd {
		return
	}
	first := s.leaseEnd == 0
	s.leaseEnd, s.fence = end, fence
	if first {
		wk.watchFence(s)
		wk.taker.wake()
	}
}

// watchFence ends the session when its lease could not be renewed.
func (wk *worker) watchFence(s *session) {
	wk.then(s.fence-wk.w.now, func() {
		if s.ended {
			return
		}
		if s.fence > wk.w.now {
			wk.watchFence(s)
			return
		}
		wk.w.trace("fenced", wk.id, 0, s.name)
		wk.endSession(s)
		if wk.leaving {
			wk.w.stopProcess(&wk.process)
			return
		}
		wk.newSession()
	})
}

// endSession stops what runs; nothing of the session starts any more.
func (wk *worker) endSession(s *session) {
	s.ended = true
	for _, a := range wk.ledger {
		if a.session == s {
			wk.endOffer(a)
		}
	}
	wk.interrupt(s)
}

func (wk *worker) interrupt(s *session) {
	for _, a := range slices.Clone(wk.ledger) {
		if a.session != s {
			continue
		}
		switch a.phase {
		case running:
			wk.stop(a)
		case waiting, stopped:
			wk.nak(a)
			wk.forget(a)
		}
	}
}

func (s *session) holds(now time.Duration) bool { return !s.ended && s.leaseEnd != 0 && now < s.fence }

func (wk *worker) find(k attemptKey) *attempt {
	for _, a := range wk.ledger {
		if a.key == k {
			return a
		}
	}
	return nil
}

func (wk *worker) forget(a *attempt) {
	a.phase = forgotten
	wk.ledger = slices.DeleteFunc(wk.ledger, func(o *attempt) bool { return o == a })
	wk.endOffer(a)
	wk.dropSlot(a)
}

// dropSlot ends an attempt's hold on its slot.
func (wk *worker) dropSlot(a *attempt) {
	if a.holdsSlot {
		a.holdsSlot = false
		wk.inHand[a.lane.pool]--
	}
	wk.taker.wake()
}

// take asks for as much work as there are free slots.
func (wk *worker) take(done func()) {
	s := wk.session
	if wk.leaving || !s.holds(wk.w.now) || wk.cut > wk.w.now || len(wk.ledger) > 20 {
		done()
		return
	}
	life := wk.life
	for pool := int32(1); pool <= pools; pool++ {
		n := slots - wk.inHand[pool]
		if n <= 0 {
			continue
		}
		for _, m := range wk.w.nats.take(pool, n) {
			created := wk.w.nats.created
			wk.net(func() { wk.reach(life, func() { wk.arrive(s, m, created) }) })
		}
	}
	done()
}

// arrive enters a message that was taken.
func (wk *worker) arrive(s *session, m message, created int) {
	t := wk.w.store.task(m.key.task)
	t.truth.given = append(t.truth.given, given{m.key.number, wk.id - 100})
	a := &attempt{message: m, created: created, session: s}
	if old := wk.find(m.key); old != nil {
		switch {
		case old.session != s && old.phase != reported: // it ends soon: delivered again after the ack wait
		case old.yes || old.phase == reported && !old.sending || m.delivered == 1:
			wk.ack(a)
		default:
			old.message.seq, old.created, old.acked = m.seq, created, false
		}
		return
	}
	if s.ended || wk.leaving || wk.inHand[m.lane.pool] >= slots {
		wk.nak(a)
		return
	}
	wk.ledger = append(wk.ledger, a)
	wk.inHand[m.lane.pool]++
	a.holdsSlot = true
	a.early = m.repeatable && m.delivered == 1
	if a.early {
		wk.run(a)
	}
	wk.then(wk.w.pause(), func() { wk.ask(a, 1) })
}

func (wk *worker) ack(a *attempt) {
	if !a.acked {
		a.acked = true
		created, seq := a.created, a.seq
		wk.net(func() { wk.w.nats.ack(created, seq) })
	}
}

func (wk *worker) nak(a *attempt) {
	if !a.acked {
		a.acked = true
		created, seq := a.created, a.seq
		wk.net(func() { wk.w.nats.nak(created, seq) })
	}
}

// ask claims an attempt, until there is an answer.
func (wk *worker) ask(a *attempt, tries int) {
	if a.phase == forgotten || a.phase == reported || a.yes {
		return
	}
	if !a.asked {
		a.asked, a.askedAt = true, wk.w.now
	}
	answered, life := false, wk.life
	grants := []grant{{a.key, a.token}}
	session := a.session.name
	wk.net(func() {
		if c := wk.w.anyCoordinator(); c != nil {
			c.resume(c.life, func() {
				c.claim(session, grants, func(v []dag.Verdict) {
					wk.reach(life, func() {
						if !answered {
							answered = true
							wk.verdict(a, v[0], tries)
						}
					})
				})
			})
		}
	})
	wk.then(askWithin, func() {
		if !answered {
			answered = true
			wk.verdict(a, dag.Undecided, tries)
		}
	})
}

// verdict applies the answer to a claim.
func (wk *worker) verdict(a *attempt, v dag.Verdict, tries int) {
	if a.phase == forgotten || a.phase == reported {
		return
	}
	switch v {
	case dag.Yes:
		a.yes = true
		wk.ack(a)
		switch {
		case a.phase == stopped:
			wk.report(a)
		case a.phase != waiting: // started early
		case a.cancelled, wk.leaving, !a.session.holds(wk.w.now):
			wk.handBack(a)
		default:
			wk.run(a)
		}
	case dag.No:
		wk.ack(a)
		if a.phase == running { // started early
			a.disowned, a.yes = true, true
			wk.stop(a)
			return
		}
		wk.forget(a)
	default:
		wk.then(min(50*time.Millisecond<<min(tries, 6), 2*time.Second), func() { wk.ask(a, tries+1) })
	}
}

// run starts the executor.
func (wk *worker) run(a *attempt) {
	t := wk.w.store.task(a.key.task)
	if !a.early && dag.TooLate(t.policy.Timeout, wk.w.now-a.askedAt) {
		wk.handBack(a)
		return
	}
	script := wk.w.script(a.key.task)
	a.phase = running
	a.exec = wk.w.begin(wk, a)
	res := result{key: a.key, token: a.token, outcome: dag.OutcomeCompleted, permanent: script.Permanent, started: wk.w.now}
	d := time.Duration(script.Millis) * time.Millisecond * 100
	if wk.w.chance(0.3) {
		d += wk.w.between(0, 30*time.Second)
	}
	if script.Fails(int(a.key.number)) {
		res.outcome = dag.OutcomeFailed
	}
	if script.Hang {
		d = time.Hour
	}
	if limit := t.policy.Timeout; limit > 0 && d >= limit {
		d, res.outcome, res.permanent = limit, dag.OutcomeTimedOut, false
	}
	if res.outcome == dag.OutcomeTimedOut { // told to stop, which takes its time
		d += wk.w.between(0, stopWithin)
	}
	deadly := t.deadly && wk.w.chance(0.9)
	wk.then(d, func() {
		if deadly {
			wk.w.kill(&wk.process)
			return
		}
		if a.phase == running && !a.stopping {
			wk.finish(a, res)
		}
	})
}

// stop interrupts an executor: it ends within its grace.
func (wk *worker) stop(a *attempt) {
	if a.stopping || a.phase != running {
		return
	}
	a.stopping = true
	wk.then(wk.w.between(0, stopWithin), func() {
		wk.finish(a, result{key: a.key, token: a.token, outcome: dag.OutcomeReturned, started: a.exec.begun})
	})
}

// finish records that an attempt's work has ended.
func (wk *worker) finish(a *attempt, r result) {
	if a.phase != running {
		return
	}
	wk.w.end(a.exec)
	if a.cancelled {
		r.outcome, r.permanent = dag.OutcomeReturned, false
	}
	a.result = r
	switch {
	case a.disowned:
		wk.forget(a)
		return
	case a.yes:
	case r.outcome == dag.OutcomeReturned && (!a.asked || a.session.ended):
		wk.nak(a)
		wk.forget(a)
		return
	case r.outcome == dag.OutcomeReturned:
		a.phase = stopped
		return
	}
	a.result.early = !a.yes
	a.result.offer = a.yes && r.outcome == dag.OutcomeCompleted && !a.session.ended && wk.mayOffer(a)
	wk.report(a)
}

// report makes the result the attempt's last word. It is sent until its receipt comes.
func (wk *worker) report(a *attempt) {
	a.phase = reported
	a.sending = true
	if a.result.offer {
		a.offers, a.offered = true, wk.w.now
		wk.w.offers[a.key] = wk.id - 100
	} else {
		wk.dropSlot(a)
	}
	wk.then(wk.w.pause(), func() { wk.sendResult(a) })
}

func (wk *worker) sendResult(a *attempt) {
	if a.phase != reported {
		return
	}
	b := batch{worker: wk.id - 100, session: wk.session.name, results: []result{a.result}}
	life := wk.life
	wk.net(func() {
		wk.w.nats.report(b)
		wk.w.send(func() {
			wk.reach(life, func() {
				a.sending = false
				if !a.yes {
					wk.ack(a)
				}
			})
		})
	})
	a.sends++
	a.sendAfter = wk.w.now + resendAfter<<min(a.sends, 3)
}

// resend sends results again that have no receipt.
func (wk *worker) resend(done func()) {
	for _, a := range slices.Clone(wk.ledger) {
		if a.phase == reported && a.sendAfter <= wk.w.now {
			wk.endOffer(a)
			a.result.offer = false
			wk.sendResult(a)
		}
	}
	done()
}

// cancel stops an attempt. Called from the network.
func (wk *worker) cancel(k attemptKey) {
	wk.reach(wk.life, func() {
		a := wk.find(k)
		if a == nil || a.cancelled || a.phase == reported {
			return
		}
		a.cancelled = true
		wk.stop(a)
	})
}

// drain stops taking, gives what runs some time, hands back the rest, and leaves when all is reported.
func (wk *worker) drain() {
	if wk.leaving || !wk.up {
		return
	}
	wk.leaving = true
	wk.w.trace("drain", wk.id, 0, 0)
	s := wk.session
	for _, a := range slices.Clone(wk.ledger) {
		if a.phase == waiting && !a.asked {
			wk.nak(a)
			wk.forget(a)
		}
	}
	wk.then(drainGrace, func() { wk.interrupt(s) })
	var leave func(tries int)
	leave = func(tries int) {
		switch {
		case len(wk.ledger) == 0:
			wk.sendBeat(s, gone)
			wk.then(time.Second, func() { wk.w.stopProcess(&wk.process) })
		case tries > 60:
			wk.w.stopProcess(&wk.process)
		default:
			wk.then(time.Second, func() { leave(tries + 1) })
		}
	}
	wk.then(time.Second, func() { leave(0) })
}
