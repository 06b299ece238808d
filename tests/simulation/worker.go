package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/ledger"
)

// The times of the protocol, as the worker's defaults are.
const (
	beatEvery     = 5 * time.Second
	killGrace     = 5 * time.Second // between the fence and the lease's end
	stopWithin    = 3 * time.Second // how long an executor takes to stop, at most
	askWithin     = 3 * time.Second
	publishWithin = 10 * time.Second
	resendAfter   = 5 * time.Second
	drainGrace    = 8 * time.Second
	flushGrace    = 10 * time.Second
	pools         = 2 // they are numbered from 1
	maxKept       = 8 // results without receipt, beside those of a line
	lineWait      = 100 * time.Millisecond
	lineBytes     = 5000
)

// worker is a process without state: what it knows of attempts dies with it. Its steps are those of package ledger; what
// is modelled here is how they are brought about and carried out.
type worker struct {
	process
	session *session
	ledger  *ledger.Ledger[*attempt]
	taker   *ticker
	cut     time.Duration // its network is cut until then
	leaving bool
	tiring  bool // what is in line is looked after
}

// session is one instance: from the first beat to the fence.
type session struct {
	ledger.Session
	name  int
	lease ledger.Lease
}

// attempt is one that the worker has in hand.
type attempt struct {
	ledger.Entry
	work       message
	session    *session
	exec       *execution    // nil: it never began
	told       bool          // to stop
	over       bool          // its executor has ended
	permanent  bool          // its failure
	kind       dag.Kind      // of its failure
	retryAfter time.Duration // its failure asks for
	after      dag.After     // what is to follow
	value      []byte        // its result, of a skip
	started    time.Duration
	tries      int  // of asking
	cancelled  bool // the worker was told
	watched    bool // in line: see judgeLines
}

// letter is a delivery of a message.
type letter struct {
	wk           *worker
	created, seq int // the streams that it is of, and its place
}

// Ack implements [ledger.Message].
func (l letter) Ack() { l.wk.net(func() { l.wk.w.nats.ack(l.created, l.seq) }) }

// Nak implements [ledger.Message].
func (l letter) Nak() { l.wk.net(func() { l.wk.w.nats.nak(l.created, l.seq) }) }

// delivery is what attempts keep of the message that they came in.
type delivery struct {
	ledger.Message
	seq int // the message's
}

func keyOf(k attemptKey) ledger.Key { return ledger.Key{Task: int64(k.task), Number: uint32(k.number)} }

func (a *attempt) key() attemptKey {
	return attemptKey{dag.Key(a.Key.Task), int32(a.Key.Number)}
}

func (wk *worker) start() {
	wk.up = true
	wk.life++
	wk.frozen, wk.leaving, wk.tiring = 0, false, false
	wk.forgetAll()
	wk.taker = wk.tick(time.Second, wk.take)
	wk.newSession()
	wk.tick(time.Second, wk.resend)
}

func (wk *worker) forgetAll() {
	limits := ledger.Limits{Kept: maxKept + 2*wk.w.par.Ahead, KeptBytes: 1 << 20, Resend: resendAfter,
		Ahead: wk.w.par.Ahead, AheadBytes: lineBytes, Wait: lineWait}
	for range pools {
		limits.Slots = append(limits.Slots, wk.w.par.Slots)
	}
	wk.ledger = ledger.New[*attempt](limits)
}

func (wk *worker) newSession() {
	wk.w.sessions++
	wk.session = &session{name: wk.w.sessions, lease: ledger.Lease{Grace: killGrace}}
	wk.beat(wk.session)
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

// todo is what a step of the ledger leaves to be done.
type todo = ledger.Todo[*attempt]

// step takes a step of the ledger and does what follows.
func (wk *worker) step(take func(out *todo)) {
	var out todo
	lined := wk.lined()
	take(&out)
	if err := wk.ledger.Check(); err != nil {
		wk.w.broken("ledger of worker %d: %v", wk.id-100, err)
	}
	wk.judgeLines(lined, &out)
	wk.do(&out)
}

// do carries out what a step leaves to be done. It sorts, as the ledger has no order and histories have one.
func (wk *worker) do(out *todo) {
	for _, list := range [][]ledger.Message{out.Ack, out.Nak} {
		slices.SortStableFunc(list, func(a, b ledger.Message) int { return cmp.Compare(a.(delivery).seq, b.(delivery).seq) })
	}
	for _, m := range out.Ack {
		m.Ack()
	}
	for _, m := range out.Nak {
		m.Nak()
	}
	slices.SortStableFunc(out.Stop, func(a, b ledger.Stop[*attempt]) int { return compare(a.Attempt, b.Attempt) })
	for _, s := range out.Stop {
		wk.stop(s.Attempt)
	}
	for _, list := range [][]*attempt{out.Start, out.Report, out.Ask, out.Again} {
		slices.SortStableFunc(list, compare)
	}
	life := wk.life
	for _, a := range out.Start {
		if wk.life == life { // it may be killed in between
			wk.run(a)
		}
	}
	for _, a := range out.Report {
		wk.report(a)
	}
	for _, a := range slices.Concat(out.Ask, out.Again) {
		pause := wk.w.pause()
		if a.tries > 0 {
			pause = min(50*time.Millisecond<<min(a.tries, 6), 2*time.Second)
		}
		a.tries++
		wk.then(pause, func() { wk.ask(a) })
	}
	if out.Freed != 0 {
		wk.taker.wake()
	}
	if out.Lined {
		wk.tire()
	}
}

func compare(a, b *attempt) int {
	return cmp.Or(cmp.Compare(a.Key.Task, b.Key.Task), cmp.Compare(a.Key.Number, b.Key.Number))
}

// take asks for as much work as there are free slots.
func (wk *worker) take(done func()) {
	s := wk.session
	if wk.leaving || !s.lease.Holds(wk.w.time()) || wk.cut > wk.w.now {
		done()
		return
	}
	life := wk.life
	for pool := int32(1); pool <= pools; pool++ {
		n := wk.ledger.Free(int(pool - 1))
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

// newAttempt is one whose message has reached the session.
func (wk *worker) newAttempt(s *session, m message) *attempt {
	t := wk.w.store.task(m.key.task)
	t.truth.given = append(t.truth.given, given{m.key.number, wk.id - 100})
	return &attempt{
		Entry: ledger.Entry{Key: keyOf(m.key), Token: m.token, Session: &s.Session, Pool: int(max(1, m.lane.pool) - 1),
			Repeatable: m.repeatable, Delivered: m.delivered, Ahead: m.ahead, Priority: m.lane.priority, Bytes: m.bytes, Taken: wk.w.time()},
		work: m, session: s,
	}
}

// arrive enters the attempts of a message that was taken. What the network brings late or twice may find no slot, and stands in
// line.
func (wk *worker) arrive(s *session, m message, created int) {
	l := letter{wk, created, m.seq}
	if wk.leaving || !wk.ledger.HasRoom() {
		l.Nak()
		return
	}
	all := append([]message{m}, m.more...)
	both := delivery{ledger.Bundle(l, len(all)), m.seq}
	wk.step(func(out *todo) {
		for _, one := range all {
			one.seq, one.delivered = m.seq, m.delivered
			a := wk.newAttempt(s, one)
			a.Message = both
			wk.ledger.Take(a, out)
		}
	})
}

// ask claims an attempt.
func (wk *worker) ask(a *attempt) {
	if a.session.Ended() || !wk.ledger.Ask(wk.w.time(), a) {
		return
	}
	if a.Lined() {
		wk.w.judgeAhead(a)
	}
	answered, life := false, wk.life
	answer := func(v dag.Verdict) {
		if answered {
			return
		}
		answered = true
		why := ledger.Refusal(a.session.lease.Holds(wk.w.time()), wk.leaving)
		wk.step(func(out *todo) { wk.ledger.Answer(wk.w.time(), a, v, why, out) })
	}
	grants := []grant{{a.key(), a.Token}}
	session := a.session.name
	wk.net(func() {
		if c := wk.w.anyCoordinator(); c != nil {
			c.resume(c.life, func() {
				c.claim(wk.id-100, session, grants, func(v []dag.Verdict) { wk.reach(life, func() { answer(v[0]) }) })
			})
		}
	})
	wk.then(askWithin, func() { answer(dag.Undecided) })
}

// report has a result sent.
func (wk *worker) report(a *attempt) {
	if a.Result.Offer {
		wk.w.offers[a.key()] = wk.id - 100
	}
	wk.then(wk.w.pause(), func() { wk.publish(a) })
}

// publish sends a result until it is stored, while its receipt has not come.
func (wk *worker) publish(a *attempt) {
	if !wk.ledger.Keeps(a) {
		return
	}
	r := result{key: a.key(), token: a.Token, outcome: a.Result.Outcome, after: a.after, value: a.value, permanent: a.permanent, kind: a.kind, retryAfter: a.retryAfter, early: a.Result.Early,
		offer: a.Result.Offer, ran: wk.w.now - a.started, unstarted: a.exec == nil && a.Result.Outcome == dag.OutcomeReturned, waited: a.waited()}
	b := batch{worker: wk.id - 100, session: a.session.name, results: []result{r}}
	life, stored := wk.life, false
	wk.net(func() {
		wk.w.nats.report(b)
		wk.w.send(func() {
			wk.reach(life, func() {
				if !stored {
					stored = true
					wk.step(func(out *todo) { wk.ledger.Stored(wk.w.time(), a, out) })
				}
			})
		})
	})
	wk.then(publishWithin, func() {
		if !stored {
			stored = true // what comes later is not heard
			wk.publish(a)
		}
	})
}

// resend sends results again that have no receipt.
func (wk *worker) resend(done func()) {
	wk.step(func(out *todo) { wk.ledger.Overdue(wk.w.time(), out) })
	done()
}

// cancel stops an attempt. Called from the network.
func (wk *worker) cancel(k attemptKey) {
	wk.reach(wk.life, func() { wk.step(func(out *todo) { wk.cancelled(k, out) }) })
}

// cancelled is the step of an attempt that a coordinator says is cancelled.
func (wk *worker) cancelled(k attemptKey, out *todo) {
	for a := range wk.ledger.All {
		a.cancelled = a.cancelled || a.key() == k
	}
	wk.ledger.Cancel(keyOf(k), out)
}

// drain stops taking, gives what runs some time, hands back the rest, and leaves when all is reported.
func (wk *worker) drain() {
	if wk.leaving || !wk.up {
		return
	}
	wk.leaving = true
	wk.w.trace("drain", wk.id, 0, 0)
	s := wk.session
	wk.step(func(out *todo) { wk.ledger.Unstarted(&s.Session, out) })
	wk.then(drainGrace, func() { wk.step(func(out *todo) { wk.ledger.Interrupt(&s.Session, ledger.Draining, out) }) })
	until := wk.w.now + drainGrace + killGrace + flushGrace
	var leave func()
	leave = func() {
		inHand, kept, _ := wk.ledger.Counts()
		switch {
		case inHand == 0 && (kept == 0 || wk.w.now > until):
			wk.sendBeat(s, gone)
			wk.then(time.Second, func() { wk.w.stopProcess(&wk.process) })
		case wk.w.now > until:
			wk.w.stopProcess(&wk.process)
		default:
			wk.then(time.Second, leave)
		}
	}
	wk.then(time.Second, leave)
}
