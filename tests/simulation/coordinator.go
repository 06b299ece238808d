package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// The times of the protocol, as the coordinator's defaults are.
const (
	leaseTime      = 30 * time.Second
	republishAfter = 15 * time.Second
	window         = 8 // messages of one lane that lie in the queue
)

// coordinator is one of several, all active.
type coordinator struct {
	process
	dispatcher, timers, followups, watcher *ticker
	arrived                                []arrived
	settling                               bool
	departed                               map[dag.WorkerKey]mark
	suspects                               map[held]mark
	looked                                 time.Duration
}

type arrived struct {
	batch   *batch
	created int
}

// mark is a place in RESULTS: what was there before is to be settled before an attempt is taken back.
type mark struct{ created, last int }

func (c *coordinator) start() {
	c.up = true
	c.life++
	c.frozen = 0
	c.arrived, c.settling = nil, false
	c.departed, c.suspects, c.looked = map[dag.WorkerKey]mark{}, map[held]mark{}, c.w.now
	c.dispatcher = c.tick(2*time.Second, c.dispatchRound)
	c.timers = c.tick(2*time.Second, c.timerRound)
	c.followups = c.tick(2*time.Second, c.followupRound)
	c.watcher = c.tick(2*time.Second, c.watch)
	c.tick(5*time.Second, c.reconcile)
}

// room tells whether there is room for n tasks of a pool in the queue. The count is soft.
func (c *coordinator) room(pool int32, n int) bool { return n <= window && c.w.chance(0.5) }

// after does what is left once a transaction has committed. Nothing of it must happen.
func (c *coordinator) after(eff *effects) {
	if eff == nil {
		return
	}
	c.dispatcher.wake()
	if eff.followups {
		c.followups.wake()
	}
	if eff.timers {
		c.timers.wake()
	}
	c.publish(eff.publish)
	for _, s := range eff.stops {
		if r := c.w.store.worker(s.Worker); r != nil {
			wk, key := c.w.workers[r.worker], attemptKey{s.Task, s.Attempt}
			c.then(c.w.pause(), func() { c.w.send(func() { wk.cancel(key) }) })
		}
	}
}

func (c *coordinator) publish(work []*message) {
	for _, m := range work {
		c.then(c.w.pause(), func() { c.w.send(func() { c.w.nats.publish(m) }) })
	}
}

func (c *coordinator) dispatchRound(done func()) {
	lanes := c.w.store.lanes()
	if len(lanes) == 0 {
		done()
		return
	}
	l := lanes[0]
	depth := 0
	for _, l = range lanes {
		if depth, _ = c.w.nats.depth(l); depth < window {
			break
		}
	}
	if depth >= window {
		c.then(25*time.Millisecond, done)
		return
	}
	var work []*message
	c.tx(func() { work = c.w.store.dispatch(l, window-depth) }, func(ok bool) {
		if ok {
			c.publish(work)
		}
		c.dispatcher.again = true
		done()
	})
}

func (c *coordinator) timerRound(done func()) {
	var eff *effects
	more := false
	c.tx(func() { eff, more = c.w.store.dueTimers(3, c.room) }, func(ok bool) {
		if ok {
			c.after(eff)
			c.timers.again = c.timers.again || more
			if next := c.w.store.nextTimer(2 * time.Second); next < 2*time.Second {
				c.then(next, func() { c.timers.wake() })
			}
		}
		done()
	})
}

func (c *coordinator) followupRound(done func()) {
	var eff *effects
	more := false
	c.tx(func() { eff, more = c.w.store.doFollowups(c.room) }, func(ok bool) {
		if ok {
			c.after(eff)
			c.followups.again = c.followups.again || more
		}
		done()
	})
}

func (c *coordinator) reconcile(done func()) {
	var again []*message
	c.tx(func() {
		again = c.w.store.reconcile(republishAfter, func(l lane) time.Duration { _, oldest := c.w.nats.depth(l); return oldest })
	}, func(ok bool) {
		if ok {
			c.publish(again)
		}
		done()
	})
}

// grant is a claim as a worker sends it.
type grant struct {
	key   attemptKey
	token uint64
}

// claim answers a worker's claims.
func (c *coordinator) claim(session int, grants []grant, reply func([]dag.Verdict)) {
	key, row := c.w.store.session(session)
	verdicts := make([]dag.Verdict, len(grants))
	var claims []claim
	var index []int
	for i, g := range grants {
		switch {
		case g.token != token(g.key.task, g.key.number):
			verdicts[i] = dag.No
		case row == nil: // not registered: its beat comes first
		default:
			claims, index = append(claims, claim{g.key, key}), append(index, i)
		}
	}
	var got []dag.Verdict
	c.tx(func() { got = c.w.store.claim(claims) }, func(ok bool) {
		if ok {
			for i, at := range index {
				verdicts[at] = got[i]
			}
			c.dispatcher.wake()
			c.timers.wake()
		}
		c.w.send(func() { reply(verdicts) })
	})
}

// arrive takes a message of results.
func (c *coordinator) arrive(b *batch, created int) {
	life := c.life
	c.resume(life, func() {
		c.arrived = append(c.arrived, arrived{b, created})
		if !c.settling {
			c.settling = true
			c.then(c.w.pause(), c.settle)
		}
	})
}

// settle records what has arrived, then acks and sends receipts.
func (c *coordinator) settle() {
	list := c.arrived
	c.arrived = nil
	if len(list) == 0 {
		c.settling = false
		return
	}
	var results []dag.Result
	for _, a := range list {
		key, _ := c.w.store.session(a.batch.session)
		var before []dag.WorkerKey
		for i, r := range c.w.store.workers {
			if key != 0 && r.worker == a.batch.worker && dag.WorkerKey(i+1) != key {
				before = append(before, dag.WorkerKey(i+1))
			}
		}
		for _, r := range a.batch.results {
			if r.token != token(r.key.task, r.key.number) {
				continue
			}
			results = append(results, dag.Result{Task: r.key.task, Attempt: r.key.number, Worker: key, Before: before, Outcome: r.outcome,
				Permanent: r.permanent, Early: r.early, Offer: r.offer, StartedAt: epoch.Add(r.started)})
		}
	}
	var eff *effects
	c.tx(func() { eff = c.w.store.settle(results, c.room) }, func(ok bool) {
		c.then(0, c.settle)
		if !ok {
			for _, a := range list {
				c.w.nats.nakResults(a.batch, a.created)
			}
			return
		}
		c.after(eff)
		for _, a := range list {
			c.then(c.w.pause(), func() { c.receipt(a, eff.handed) })
		}
	})
}

// receipt tells a worker that its results are recorded; what it was handed over with them goes along.
func (c *coordinator) receipt(a arrived, handed []dag.Handover) {
	wk, n := c.w.workers[a.batch.worker], c.w.store.newsFor(a.batch, handed)
	c.w.send(func() { wk.hear(n) })
	c.w.send(func() {
		if a.created == c.w.nats.created {
			c.w.nats.ackResults(a.batch)
		}
	})
}

// answer is the reply to a beat.
type answer struct {
	number                    int
	lease                     time.Duration // 0: it has ended
	cancel, disowned, settled []attemptKey
	missed                    []grant // handed over a while ago, and not listed
}

// beat extends a worker's lease, and tells it what it must stop or may forget.
func (c *coordinator) beat(b beat, reply func(answer)) {
	s := c.w.store
	var key dag.WorkerKey
	extended := false
	c.tx(func() { key, extended = s.extend(b) }, func(ok bool) {
		if !ok {
			return
		}
		a := answer{number: b.number}
		if extended {
			a.lease = leaseTime
		}
		c.tx(func() { s.compare(&a, b, key) }, func(ok bool) {
			if ok {
				c.w.send(func() { reply(a) })
			}
			if b.number == 1 || b.state != alive {
				c.watcher.wake()
			}
		})
	})
}

// compare holds what the worker believes against what is recorded.
func (s *store) compare(a *answer, b beat, key dag.WorkerKey) {
	owns := func(k dag.WorkerKey) bool { r := s.worker(k); return r != nil && r.worker == b.worker }
	for _, k := range b.running {
		row := s.task(k.task).row
		same := row.Attempt == k.number
		switch {
		case same && row.State == dag.Cancelled && owns(row.Worker):
			a.cancel = append(a.cancel, k)
		case same && row.State == dag.Running && row.Worker == key:
		case same && row.State == dag.Ready: // started early, its claim is on its way
		default:
			a.disowned = append(a.disowned, k)
		}
	}
	for _, k := range b.reported {
		row := s.task(k.task).row
		waits := row.Attempt == k.number && (row.State == dag.Ready || row.State == dag.Running || owns(row.Worker))
		if !waits {
			a.settled = append(a.settled, k)
			s.missed(a, b, k, key)
		}
	}
}

func (c *coordinator) mark() mark { return mark{c.w.nats.created, c.w.nats.seq} }

// passed reports whether all that lay in RESULTS at the mark is settled, or lost with its stream.
func (c *coordinator) passed(m mark) bool {
	return c.w.nats.settledTo() >= m.last || c.w.nats.created != m.created
}

// watch ends leases that have run out, and takes back the attempts of departed workers and of those that do not know
// them.
func (c *coordinator) watch(done func()) {
	var departed []dag.WorkerKey
	c.tx(func() { departed = c.w.store.endWorkers() }, func(ok bool) {
		if !ok {
			done()
			return
		}
		var ripe []dag.WorkerKey
		for _, k := range departed {
			if _, known := c.departed[k]; !known {
				c.departed[k] = c.mark()
			}
			if c.passed(c.departed[k]) {
				ripe = append(ripe, k)
			}
		}
		c.takeBack(ripe, func() {
			if c.w.now-c.looked >= leaseTime {
				c.looked = c.w.now
				c.strays(done)
				return
			}
			done()
		})
	})
}

// takeBack takes all attempts of departed workers back.
func (c *coordinator) takeBack(ripe []dag.WorkerKey, done func()) {
	if len(ripe) == 0 {
		done()
		return
	}
	s, k := c.w.store, ripe[0]
	var keys []dag.Key
	for _, h := range s.open() {
		if h.worker == k {
			keys = append(keys, h.key.task)
		}
	}
	var eff *effects
	c.tx(func() { eff = s.takeBack(k, keys, s.worker(k).state == lost, c.room) }, func(ok bool) {
		if !ok {
			done()
			return
		}
		c.after(eff)
		c.tx(func() { s.worker(k).done = true }, func(ok bool) {
			delete(c.departed, k)
			c.takeBack(ripe[1:], done)
		})
	})
}

// strays takes back open attempts that their worker, alive, did not list in two looks.
func (c *coordinator) strays(done func()) {
	s, before := c.w.store, c.suspects
	c.suspects = map[held]mark{}
	now := c.mark()
	type stray struct {
		worker dag.WorkerKey
		keys   []dag.Key
	}
	var back []stray
	for _, h := range s.open() {
		r := s.worker(h.worker)
		if !r.live(c.w.now) || r.attempts[h.key.task] {
			continue
		}
		m, again := before[h]
		switch {
		case !again:
			c.suspects[h] = now
		case c.passed(m):
			i := slices.IndexFunc(back, func(b stray) bool { return b.worker == h.worker })
			if i < 0 {
				i, back = len(back), append(back, stray{worker: h.worker})
			}
			back[i].keys = append(back[i].keys, h.key.task)
		default:
			c.suspects[h] = m
		}
	}
	for _, b := range back {
		var eff *effects
		c.tx(func() { eff = s.takeBack(b.worker, b.keys, false, c.room) }, func(ok bool) {
			if ok {
				c.after(eff)
			}
		})
	}
	done()
}
