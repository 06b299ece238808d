package coordinator

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	linesEvery      = 2 * time.Second        // how often all lines are looked at: a coordinator that knew of them may have died
	linesAtOnce     = 16 * pg.MaxGrantKeys   // of these, in one look
	grantRoomEvery  = 250 * time.Millisecond // how often at most it is counted what was granted and not claimed
	grantStock      = 150 * time.Millisecond // a pool has as many grants ahead as it starts in that time, beside one for each slot
	fewGrantKeys    = 16                     // lines looked at in one transaction, even where there is no room
	maxHeldBack     = 100_000                // lines of which is remembered when to look again; the others are found by the look at all of them
	idleGrantsEvery = 5 * time.Second
	idleGrant       = 15 * time.Second // how long a pool may be without workers before what its tasks hold goes back
	recallsAtOnce   = 500
	ratesSwept      = 10_000 // at once
	grantSends      = 4      // rounds whose tasks are on their way into NATS while the next is decided
)

// granter is what this process knows of the lines in which limited tasks wait: which of them to look at, and when. All of it is soft: a look at all lines now
// and then finds what it does not know.
type granter struct {
	lanes *lanes

	mu      sync.Mutex
	due     map[dag.LimitKey]int             // to be looked at, so far
	deep    map[dag.LimitKey]int             // likewise, as all that was looked at was granted or passed
	noRoom  map[dag.LimitKey]dag.Priority    // to be looked at as soon as a pool has room, by the most urgent task there
	turns   [int(dag.Low) + 1][]dag.LimitKey // of noRoom, by priority, in the order in which they came; those that are there no more are passed over
	stuck   bool                             // there is no room for those of noRoom, whatever pools have
	later   map[dag.LimitKey]time.Time       // by when a rate lets the next task start
	out     map[int32]int                    // granted and not known to be claimed, by pool
	pace    map[int32]*pace
	lookAll bool
	wake    chan struct{} // capacity 1
}

func newGranter(l *lanes) *granter {
	return &granter{lanes: l, due: map[dag.LimitKey]int{}, deep: map[dag.LimitKey]int{}, noRoom: map[dag.LimitKey]dag.Priority{}, later: map[dag.LimitKey]time.Time{},
		out: map[int32]int{}, pace: map[int32]*pace{}, lookAll: true, wake: make(chan struct{}, 1)}
}

// note takes in what a transaction has done: lines to be looked at, keys that were given back, once for each task, and how many limited tasks left their pools.
// Of a line whose key was given back, as many tasks are looked at as have room now if all is as it was, and the one behind them, which stops it.
func (g *granter) note(keys, freed []dag.LimitKey, claimed map[int32]int) {
	if len(keys)+len(freed)+len(claimed) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range keys {
		g.due[k] = pg.GrantHeads
	}
	for _, k := range freed {
		switch k.Kind {
		case dag.KindPool, dag.KindUser:
			g.stuck = false
		default:
			g.due[k] = min(max(1, g.due[k])+1, pg.GrantHeads)
		}
	}
	now := time.Now()
	for pool, n := range claimed {
		g.out[pool] = max(0, g.out[pool]-n)
		if g.pace[pool] == nil {
			g.pace[pool] = &pace{}
		}
		g.pace[pool].left(now, n)
		g.stuck = false
	}
	wake(g.wake)
}

// changed has all lines looked at: what grants are decided by has changed.
func (g *granter) changed() {
	g.mu.Lock()
	g.lookAll, g.stuck = true, false
	g.mu.Unlock()
	wake(g.wake)
}

// served notes the capacities of the pools. The lines are looked at if one is served that was not.
func (g *granter) served(pools map[int32]capacity) {
	g.mu.Lock()
	fresh := false
	for pool, c := range pools {
		if _, known := g.pace[pool]; !known && c.slots > 0 {
			g.pace[pool], fresh = &pace{}, true
		}
	}
	for pool := range g.pace {
		if pools[pool].slots == 0 {
			delete(g.pace, pool)
		}
	}
	g.mu.Unlock()
	if fresh {
		g.changed()
	}
}

// take takes the next lines to be looked at, and what is known of the room in the pools that have workers. none: there are none; then pause is how long it is until there
// are. Lines are few where there is little room: what is read of more would be for nothing.
func (g *granter) take(capacity map[int32]capacity) (r pg.GrantRound, none bool, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	pause = linesEvery
	for k, at := range g.later {
		if wait := at.Sub(now); wait <= 0 {
			delete(g.later, k)
			g.due[k] = pg.GrantHeads
		} else {
			pause = min(pause, wait)
		}
	}
	r = pg.GrantRound{Room: map[int32]int{}}
	var roomy []int32
	room := 0
	for pool, c := range capacity {
		if c.slots == 0 {
			continue
		}
		r.Pools = append(r.Pools, pool)
		n := c.slots - g.out[pool]
		if p := g.pace[pool]; p != nil {
			n += p.soon(now, grantStock)
		}
		if n > 0 {
			r.Room[pool], roomy = n, append(roomy, pool)
			room += n
		}
	}
	most := min(pg.MaxGrantKeys, max(fewGrantKeys, 2*room))
	if room > 0 {
		if g.takeDeep(&r); len(r.Keys) > 0 {
			r.Pools = roomy // those of others were looked at
			return r, false, 0
		}
	}
	for k, heads := range g.due {
		if len(r.Keys) == most {
			break
		}
		r.Add(k, heads)
		delete(g.due, k)
		delete(g.noRoom, k)
	}
	if room > 0 && !g.stuck {
		g.takeTurns(&r, most)
	}
	if len(r.Keys) == 0 && len(g.noRoom) > 0 {
		pause = min(pause, grantRoomEvery)
	}
	return r, len(r.Keys) == 0, pause
}

// takeDeep takes lines of which more is to be looked at than the first tasks.
func (g *granter) takeDeep(r *pg.GrantRound) {
	n := 0
	for k, heads := range g.deep {
		if n += heads; n > pg.MaxGrantHeads && len(r.Keys) > 0 || len(r.Keys) == pg.MaxGrantKeys {
			return
		}
		delete(g.deep, k)
		r.Add(k, heads)
	}
}

// takeTurns adds lines in which tasks lacked room, the most urgent first.
func (g *granter) takeTurns(r *pg.GrantRound, most int) {
	for p := range g.turns {
		for len(g.turns[p]) > 0 && len(r.Keys) < most {
			k := g.turns[p][0]
			g.turns[p] = g.turns[p][1:]
			if of, waits := g.noRoom[k]; waits && int(of) == p {
				r.Add(k, pg.GrantHeads)
				delete(g.noRoom, k)
			}
		}
	}
}

// tidyTurns drops what is in turns for nothing, if that is much.
func (g *granter) tidyTurns() {
	n := 0
	for _, turns := range g.turns {
		n += len(turns)
	}
	if n < 2*len(g.noRoom)+64 {
		return
	}
	for p, turns := range g.turns {
		seen := map[dag.LimitKey]bool{}
		g.turns[p] = slices.DeleteFunc(turns, func(k dag.LimitKey) bool {
			of, waits := g.noRoom[k]
			again := !waits || int(of) != p || seen[k]
			seen[k] = true
			return again
		})
	}
}

// took notes what has become of a round.
func (g *granter) took(r pg.GrantRound, out pg.GrantResult) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for pool, n := range out.Granted {
		g.out[pool] += n
		r.Room[pool] -= n
	}
	for k, p := range out.NoRoom {
		if was, waits := g.noRoom[k]; !waits || was != p {
			g.noRoom[k] = p
			g.turns[p] = append(g.turns[p], k)
		}
	}
	g.tidyTurns()
	g.stuck = len(out.NoRoom) > 0 && len(out.Granted) == 0
	for k, in := range out.Next {
		if len(g.later) < maxHeldBack {
			g.later[k] = now.Add(in)
		}
	}
	room := false
	for _, n := range r.Room {
		room = room || n > 0
	}
	if room {
		for k, heads := range out.Deeper {
			if heads < pg.MaxGrantHeads {
				g.deep[k] = min(8*heads, pg.MaxGrantHeads)
			}
		}
	}
}

// again has the lines of a round that failed looked at once more.
func (g *granter) again(r pg.GrantRound) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, k := range r.Keys {
		g.due[k] = max(g.due[k], min(int(r.Heads[i]), pg.GrantHeads))
	}
}

// counted sets right how much was granted and not claimed: other coordinators grant, and serve claims, too.
func (g *granter) counted(out map[int32]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out, g.stuck = out, false
}

// unclaimed is how many granted tasks of a pool nobody has claimed, as far as is known.
func (g *granter) unclaimed(pool int32) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out[pool]
}

// lacksRoom reports whether tasks wait for nothing but room.
func (g *granter) lacksRoom() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.noRoom) > 0
}

// all reports whether all lines are to be looked at.
func (g *granter) all() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.lookAll
	g.lookAll = false
	return all
}

// runGrants gives limited tasks what they wait for, as it gets free. The decision is the store's; see [dag.Granting].
func (c *Coordinator) runGrants(ctx context.Context) error {
	var looked, counted time.Time
	var walk dag.LimitKey
	var sends errgroup.Group
	sends.SetLimit(grantSends)
	defer func() { _ = sends.Wait() }()
	for ctx.Err() == nil {
		if c.grants.all() || time.Since(looked) >= linesEvery {
			looked = time.Now()
			if err := c.lookAtLines(ctx, &walk); err != nil && ctx.Err() == nil {
				c.log.Warn("the lines of limited tasks could not be looked at", "error", err)
			}
		}
		if c.grants.lacksRoom() && time.Since(counted) >= grantRoomEvery {
			counted = time.Now()
			if out, err := c.store.UnclaimedGrants(ctx); err == nil {
				c.grants.counted(out)
			}
		}
		r, none, pause := c.grants.take(c.lanes.capacities())
		if none {
			wait(ctx, c.grants.wake, pause)
			continue
		}
		if !c.grantRound(ctx, r, &sends) {
			sleep(ctx, 100*time.Millisecond)
		}
	}
	return nil
}

// lookAtLines has the next lines looked at that there are, and goes on from there the next time.
func (c *Coordinator) lookAtLines(ctx context.Context, walk *dag.LimitKey) error {
	keys, err := c.store.LinesAfter(ctx, *walk, linesAtOnce)
	if err != nil {
		return err
	}
	*walk = dag.LimitKey{}
	if len(keys) == linesAtOnce {
		*walk = keys[len(keys)-1]
	}
	c.grants.note(keys, nil, nil)
	return nil
}

// grantRound grants from some lines, and has sends send what it granted. false: it is to be tried again after a pause.
func (c *Coordinator) grantRound(ctx context.Context, r pg.GrantRound, sends *errgroup.Group) bool {
	out, err := c.store.Grant(ctx, r)
	if err != nil {
		c.grants.again(r)
		if !pg.GrantRefused(err) && ctx.Err() == nil {
			c.log.Warn("limited tasks could not be granted what they wait for", "error", err)
		}
		return pg.GrantRefused(err)
	}
	c.grants.took(r, out)
	if len(out.Granted) > 0 {
		failpoint.Hit("coordinator.after-grant-commit")
		sends.Go(func() error { c.sendGranted(ctx, &out); return nil })
	}
	if len(out.Contended) > 0 {
		eff, err := c.store.Contend(ctx, out.Contended, c.lanes.room)
		if err != nil {
			if ctx.Err() == nil {
				c.log.Warn("tasks whose lock is held could not be ended", "error", err)
			}
			c.grants.again(r)
			return false
		}
		failpoint.Hit("coordinator.after-contend-commit")
		c.after(ctx, eff)
	}
	return true
}

// sendGranted sends what a round has granted, also while the process stops: what is granted holds its keys. What can't be sent is looked after as
// all that is published on record.
func (c *Coordinator) sendGranted(ctx context.Context, out *pg.GrantResult) {
	ctx = context.WithoutCancel(ctx) // reading and sending have bounds of their own
	work, err := c.store.GrantedWork(ctx, out)
	if err != nil {
		c.log.Warn("granted tasks could not be loaded, and are sent later", "error", err)
		return
	}
	c.moved(work)
	c.publish(ctx, work)
}

// runIdleGrants gives back what tasks hold that nobody can start, as their pool has no worker any more, and forgets rates whose time has passed.
func (c *Coordinator) runIdleGrants(ctx context.Context) error {
	var from dag.Key
	for sleep(ctx, idleGrantsEvery) {
		idle, next, err := c.store.GrantedAndIdle(ctx, idleGrant.Seconds(), from, recallsAtOnce)
		if err == nil {
			from = next
			var eff *pg.Effects
			var n int
			if n, eff, err = c.store.Recall(ctx, idle, "taken back before it started, as its pool has no worker", c.lanes.room); err == nil {
				if n > 0 {
					failpoint.Hit("coordinator.after-recall-commit")
				}
				c.after(ctx, eff)
			}
		}
		if err == nil {
			err = c.store.SweepRates(ctx, ratesSwept)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("grants that nobody uses could not be taken back", "error", err)
		}
	}
	return nil
}
