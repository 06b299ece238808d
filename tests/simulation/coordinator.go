package simulation

import (
	"time"

	"github.com/taskgrove/taskgrove/internal/workers"
)

// The times of the protocol, as the coordinator's defaults are.
const (
	leaseTime      = 30 * time.Second
	republishAfter = 15 * time.Second
	window         = 8 // messages of one lane that lie in the queue, when tasks are few
)

// coordinator is one of several, all active.
type coordinator struct {
	process
	dispatcher, timers, followups, watcher *ticker
	granter, gates                         *ticker
	arrived                                []arrived
	settling                               bool
	beats                                  []beating // that wait to be answered
	answering                              bool
	watch                                  workers.Watch
}

type arrived struct {
	batch   *batch
	created int
}

func (c *coordinator) start() {
	c.up = true
	c.life++
	c.frozen = 0
	c.arrived, c.settling = nil, false
	c.beats, c.answering = nil, false
	c.watch = workers.Watch{}
	c.dispatcher = c.tick(2*time.Second, c.dispatchRound)
	c.timers = c.tick(2*time.Second, c.timerRound)
	c.followups = c.tick(2*time.Second, c.followupRound)
	c.watcher = c.tick(2*time.Second, c.watchWorkers)
	c.granter = c.tick(2*time.Second, c.grantRound)
	c.gates = c.tick(2*time.Second, c.watchGates)
	c.tick(5*time.Second, c.reconcile)
}

// room tells whether there is room for n tasks of a pool in the queue. The count is soft.
func (c *coordinator) room(pool int32, n int) bool { return n <= c.w.window() && c.w.chance(0.5) }

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
	if eff.keys {
		c.granter.wake()
	}
	c.publish(eff.publish)
	for _, s := range eff.stops {
		if r := c.w.store.worker(s.Worker); r != nil {
			wk, key := c.w.workers[r.worker], attemptKey{s.Task, s.Attempt}
			c.then(c.w.pause(), func() { c.w.send(func() { wk.cancel(key) }) })
		}
	}
}

// window is how many messages of one lane may lie in the queue.
func (w *world) window() int {
	if w.par.Brisk > 0 {
		return 4 * window
	}
	return window
}

func (c *coordinator) publish(work []*message) {
	for _, m := range c.w.bundled(work) {
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
		if depth, _ = c.w.nats.depth(l); depth < c.w.window() {
			break
		}
	}
	if depth >= c.w.window() {
		c.then(25*time.Millisecond, done)
		return
	}
	var work []*message
	c.tx(func() { work = c.w.store.dispatch(l, c.w.window()-depth) }, func(ok bool) {
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
	when := c.w.store.conditions()
	c.tx(func() { eff, more = c.w.store.doFollowups(c.room, when) }, func(ok bool) {
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
		c.w.judgePlaces()
		again = c.w.store.reconcile(republishAfter, func(l lane) time.Time { _, oldest := c.w.nats.depth(l); return oldest })
	}, func(ok bool) {
		if ok {
			c.publish(again)
		}
		done()
	})
}
