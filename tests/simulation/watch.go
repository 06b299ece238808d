package simulation

import (
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
)

// results is how far RESULTS has come. Each time that the streams were lost, they are others.
func (n *nats) progress() workers.Results {
	return workers.Results{Created: epoch.Add(time.Duration(n.created)), Last: uint64(n.seq), Settled: uint64(n.settledTo())}
}

// watchWorkers ends leases that have run out, and takes back the attempts of departed workers and of those that do not
// know them.
func (c *coordinator) watchWorkers(done func()) {
	var departed []dag.WorkerKey
	c.tx(func() { departed = c.w.store.endWorkers() }, func(ok bool) {
		if !ok {
			done()
			return
		}
		ripe := c.watch.Departed(departed, c.w.nats.progress())
		c.takeBack(ripe, func() {
			if c.watch.Due(c.w.time(), leaseTime) {
				c.strays()
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
		if h.Worker == k {
			keys = append(keys, h.Key)
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
			c.watch.Done(ripe[:1])
			c.takeBack(ripe[1:], done)
		})
	})
}

// strays takes back open attempts that their worker, alive, does not know.
func (c *coordinator) strays() {
	s := c.w.store
	look := c.watch.Look(c.w.nats.progress())
	back := map[dag.WorkerKey][]dag.Key{}
	var from []dag.WorkerKey // in order
	for _, h := range s.open() {
		r := s.worker(h.Worker)
		if !look.Stray(h, r.live(c.w.now), r.attempts[h.Key]) {
			continue
		}
		if back[h.Worker] = append(back[h.Worker], h.Key); !slices.Contains(from, h.Worker) {
			from = append(from, h.Worker)
		}
	}
	for _, k := range from {
		var eff *effects
		c.tx(func() { eff = s.takeBack(k, back[k], false, c.room) }, func(ok bool) {
			if ok {
				c.after(eff)
			}
		})
	}
}
