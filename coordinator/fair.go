package coordinator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	sharesAtOnce  = 256              // shares that a dispatch gives something at most; more take turns
	flightEvery   = 2 * time.Second  // how often what shares have in flight is counted anew
	calmAfter     = 20 * time.Second // then a pool is forgotten where those of one share wait at most
	maxShareTurns = 4096             // shares of a pool of which is known what they are owed
)

// portions says how much of the room each share gets whose tasks wait in a lane, by what each has in flight in the pool; and how many of it may pass what lies in NATS,
// for which there need not be room. nil: those of one wait, or none.
func (d *dispatcher) portions(ctx context.Context, id dag.Lane, room int) (*pg.Portions, map[dag.ShareKey]int, error) {
	waiting, err := d.waitingShares(ctx, id)
	if err != nil || len(waiting) < 2 {
		if err == nil && len(waiting) == 1 {
			d.lanes.sharedBy(id, false, waiting[0].Share)
		}
		return nil, nil, err
	}
	d.lanes.sharedBy(id, true, 0)
	if d.contended.due(id.Pool) {
		flying, err := d.store.InFlight(ctx, id.Pool)
		if err != nil {
			return nil, nil, err
		}
		d.contended.count(id.Pool, flying)
	}
	slots := 0
	if !d.store.Gated(id.Pool) {
		slots = d.lanes.express(id)
	}
	out, express := &pg.Portions{}, map[dag.ShareKey]int{}
	n, pass := d.contended.divide(id.Pool, room, slots, waiting)
	for i, c := range waiting {
		if n[i] = max(n[i], pass[i]); n[i] > 0 {
			out.Shares, out.N, express[c.Share] = append(out.Shares, c.Share), append(out.N, n[i]), pass[i]
		}
	}
	return out, express, nil
}

// pass dispatches what may pass a lane that has no room: who comes to a pool with a full lane does not wait for what fills it.
func (d *dispatcher) pass(ctx context.Context, id dag.Lane) (out pg.Dispatched, err error) {
	portions, express, err := d.portions(ctx, id, 0)
	if err != nil || portions == nil || len(portions.N) == 0 {
		return out, err
	}
	out, err = d.store.Dispatch(ctx, id, 0, false, portions)
	d.contended.published(id.Pool, out, express)
	return out, err
}

// waitingShares are the shares that wait in a lane, or the next of them after those that had their turn, if there are very many.
func (d *dispatcher) waitingShares(ctx context.Context, id dag.Lane) ([]dag.Claimant, error) {
	after, turns := d.after[id]
	if !turns {
		after = -1
	}
	all, err := d.store.WaitingShares(ctx, id, after, sharesAtOnce)
	if err != nil {
		return nil, err
	}
	if len(all) < sharesAtOnce && turns {
		first, err := d.store.WaitingShares(ctx, id, -1, sharesAtOnce-len(all))
		if err != nil {
			return nil, err
		}
		for _, c := range first {
			if c.Share <= after {
				all = append(all, c)
			}
		}
	}
	if len(all) == sharesAtOnce {
		d.after[id] = all[len(all)-1].Share
	} else {
		delete(d.after, id)
	}
	return all, nil
}

// contention counts what shares have in flight, of the pools where tasks of several wait. The counts are soft: what other coordinators publish and settle
// is missing until they are counted anew.
type contention struct {
	on atomic.Bool // some pool is contended

	mu    sync.Mutex
	pools map[int32]*contended
}

// contended is a pool where tasks of several shares wait.
type contended struct {
	of            map[dag.TreeKey]dag.ShareKey // trees that have something in flight
	n             map[dag.ShareKey]int         // in flight
	owed          map[dag.ShareKey]float64     // see [dag.FairShares]
	weight        map[dag.ShareKey]float64     // of those that have waited
	passed        map[dag.ShareKey]int         // in flight, and have passed others, as far as is known
	part          int                          // what each may have in flight and still pass others, when that was looked at last, were their weights alike
	counted, last time.Time                    // last: when several waited
}

func newContention() *contention { return &contention{pools: map[int32]*contended{}} }

// forget forgets pools that have been calm for long.
func (c *contention) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range c.pools {
		if time.Since(p.last) > calmAfter {
			delete(c.pools, id)
		}
	}
	c.on.Store(len(c.pools) > 0)
}

// due reports whether a pool's counts are old, or there are none.
func (c *contention) due(pool int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[pool]
	return p == nil || time.Since(p.counted) > flightEvery
}

// count sets the counts of a pool.
func (c *contention) count(pool int32, flying []pg.InFlight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	p := c.pools[pool]
	if p == nil {
		p = &contended{owed: map[dag.ShareKey]float64{}, weight: map[dag.ShareKey]float64{}, passed: map[dag.ShareKey]int{}}
		c.pools[pool] = p
	}
	p.of, p.n, p.counted, p.last = make(map[dag.TreeKey]dag.ShareKey, len(flying)), map[dag.ShareKey]int{}, now, now
	for _, f := range flying {
		p.of[f.Tree] = f.Share
		p.n[f.Share] += f.N
	}
	for share, n := range p.passed {
		p.passed[share] = min(n, p.n[share])
	}
	maps.DeleteFunc(p.passed, func(_ dag.ShareKey, n int) bool { return n == 0 })
	c.on.Store(true)
}

// divide divides the room of a pool among the shares that wait, and says how many tasks of each may pass others on their way to so many slots.
func (c *contention) divide(pool int32, room, slots int, waiting []dag.Claimant) (n, express []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[pool]
	for i := range waiting {
		w := &waiting[i]
		w.InFlight, w.Passed, w.Credit = p.n[w.Share], p.passed[w.Share], p.owed[w.Share]
	}
	all := p.all(waiting)
	express = dag.Express(slots, all)
	p.part = (slots + len(waiting) - 1) / len(waiting)
	if n = dag.FairShares(room, waiting); room == 0 {
		copy(waiting, all) // with their credits
	}
	if len(p.owed) > maxShareTurns || len(waiting) < sharesAtOnce { // who no longer waits is owed nothing
		clear(p.owed)
		clear(p.weight)
	}
	for _, w := range waiting {
		p.owed[w.Share], p.weight[w.Share] = w.Credit, w.Weight
	}
	p.last = time.Now()
	return n, express
}

// all are those that wait, and after them those that only have something in flight.
func (p *contended) all(waiting []dag.Claimant) []dag.Claimant {
	all := slices.Clone(waiting)
	for share, n := range p.n {
		if n > 0 && !slices.ContainsFunc(waiting, func(w dag.Claimant) bool { return w.Share == share }) {
			all = append(all, dag.Claimant{Share: share, Weight: cmp.Or(p.weight[share], 1), InFlight: n, Passed: p.passed[share]})
		}
	}
	return all
}

// behind is what a share owes that had a pool alone: who comes to it is before it, if all else is equal.
const behind = 1e-3

// alone notes that a pool gave something to a share beside which none waited: nobody is owed anything.
func (c *contention) alone(pool int32, share dag.ShareKey) {
	if !c.on.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pools[pool]; p != nil {
		clear(p.owed)
		p.owed[share] = -behind
	}
}

// newcomer reports whether a share may have little in flight in a pool, for its part of it.
func (c *contention) newcomer(pool int32, share dag.ShareKey) bool {
	if !c.on.Load() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[pool]
	return p == nil || p.n[share] < max(1, p.part)
}

// published counts what was taken for a pool, and notes what of it may pass what lies in NATS: so many tasks of each share.
func (c *contention) published(pool int32, out pg.Dispatched, express map[dag.ShareKey]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[pool]
	if p == nil {
		return
	}
	for _, w := range out.Work {
		tree := w.Key.Tree()
		share := out.Of[tree]
		p.of[tree] = share
		p.n[share]++
		if express[share] > 0 {
			w.Express = true
			p.passed[share]++
			express[share]--
		}
	}
}

// left counts what is in flight no more.
func (c *contention) left(flights []pg.Flight) {
	if !c.on.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range flights {
		if p := c.pools[f.Pool]; p != nil {
			if share, known := p.of[f.Tree]; known {
				p.n[share] = max(0, p.n[share]-f.Left)
				p.passed[share] = min(p.n[share], max(0, p.passed[share]-f.Left))
			}
		}
	}
}
