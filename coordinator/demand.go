package coordinator

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/demand"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	demandFresh  = time.Second            // for how long a figure is good enough for whoever asks
	demandEvery  = 5 * time.Second        // how often figures are looked at while somebody watches and no event tells of work
	demandGap    = 500 * time.Millisecond // between two looks at the least, whatever events tell
	demandToldIn = 100 * time.Millisecond // how long an event waits for others
	demandTopic  = "demand"               // a pool has got work
	demandMeter  = 15 * time.Second       // how old a figure may be that metrics show; they are read about as often
)

// Demand is how many slots a pool has use for, for autoscalers.
type Demand struct {
	Pool                 string
	Running, Ready, Soon int
	// Slots is how many one worker has, as the one that came last says; 0: none has served the pool for a day.
	Slots int
}

// Total is how many slots the pool has use for.
func (d Demand) Total() int { return d.Running + d.Ready + d.Soon }

// Scaler tells autoscalers how much work there is.
type Scaler interface {
	// Demand is how many slots each of the pools has use for, in their order; none named: all open pools, by name. A pool that there is not has use
	// for none. What is told may be a second old. *[InvalidArgumentError]: a name is no pool's.
	Demand(ctx context.Context, pools []string) ([]Demand, error)
	// WatchDemand yields the same at once, and whenever it has changed, until ctx ends.
	WatchDemand(ctx context.Context, pools []string) iter.Seq2[[]Demand, error]
}

func (g *guarded) Demand(ctx context.Context, pools []string) ([]Demand, error) {
	return ask(ctx, g, Call{Method: "Demand"}, func() ([]Demand, error) { return g.next.Demand(ctx, pools) })
}

func (g *guarded) WatchDemand(ctx context.Context, pools []string) iter.Seq2[[]Demand, error] {
	return follow(ctx, g, Call{Method: "WatchDemand"}, func() iter.Seq2[[]Demand, error] { return g.next.WatchDemand(ctx, pools) })
}

// demands computes figures when they are asked for, and keeps the last ones. Nothing is computed for nobody.
type demands struct {
	lasting *demand.Lasting
	verdicts

	computing chan struct{} // one element: who holds it computes

	mu      sync.Mutex
	figures map[string]demand.Figure // by the names of all open pools; nobody changes it
	at      time.Time                // when they were computed
	slots   map[string]int           // of one worker; nobody changes it
	seen    bool                     // slots are as Postgres knows them
	change  chan struct{}            // closed when figures were computed for those who watch
	watched int
	telling bool // an event is about to be published

	wanted chan struct{} // capacity 1: somebody watches
}

func newDemands() *demands {
	return &demands{lasting: demand.NewLasting(), computing: make(chan struct{}, 1), change: make(chan struct{}), wanted: make(chan struct{}, 1)}
}

// Demand tells how many slots pools have use for; see [Scaler].
func (c *Coordinator) Demand(ctx context.Context, pools []string) ([]Demand, error) {
	if err := checkPools(pools); err != nil {
		return nil, err
	}
	figures, err := c.figures(ctx, time.Now().Add(-demandFresh))
	if err != nil {
		return nil, c.internal("tell the demand of pools", err)
	}
	return c.demandsOf(figures, pools), nil
}

func checkPools(pools []string) error {
	for _, name := range pools {
		if !dag.ValidPool(name) {
			return &InvalidArgumentError{Field: "pool", Reason: fmt.Sprintf("must be 1 to %d letters, digits, - and _", dag.MaxPoolBytes)}
		}
	}
	return nil
}

func (c *Coordinator) demandsOf(figures map[string]demand.Figure, pools []string) []Demand {
	if len(pools) == 0 {
		pools = slices.Sorted(maps.Keys(figures))
	}
	c.demands.mu.Lock()
	slots := c.demands.slots
	c.demands.mu.Unlock()
	out := make([]Demand, len(pools))
	for i, name := range pools {
		f := figures[name]
		out[i] = Demand{Pool: name, Running: f.Running, Ready: f.Ready, Soon: f.Soon, Slots: slots[name]}
	}
	return out
}

// WatchDemand tells whenever it changes; see [Scaler].
func (c *Coordinator) WatchDemand(ctx context.Context, pools []string) iter.Seq2[[]Demand, error] {
	return func(yield func([]Demand, error) bool) {
		if err := checkPools(pools); err != nil {
			yield(nil, err)
			return
		}
		d := c.demands
		d.watch(1)
		defer d.watch(-1)
		var last []Demand
		for {
			d.mu.Lock()
			change := d.change
			d.mu.Unlock()
			figures, err := c.figures(ctx, time.Now().Add(-demandEvery-demandFresh)) // those that were computed for all who watch
			if err != nil {
				yield(nil, c.internal("tell the demand of pools", err))
				return
			}
			if now := c.demandsOf(figures, pools); !slices.Equal(now, last) {
				if last = now; !yield(slices.Clone(now), nil) {
					return
				}
			}
			select {
			case <-change:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (d *demands) watch(n int) {
	d.mu.Lock()
	d.watched += n
	d.mu.Unlock()
	wake(d.wanted)
}

func (d *demands) isWatched() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.watched > 0
}

// runDemand computes figures for those who watch, when events tell that work has come, and every few seconds. While nobody watches it sleeps.
func (c *Coordinator) runDemand(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-c.demands.wanted:
		case <-ctx.Done():
			return nil
		}
		if err := c.computeForWatchers(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("the demand of pools is told late", "error", err)
			sleep(ctx, time.Second)
			wake(c.demands.wanted)
		}
	}
	return nil
}

func (c *Coordinator) computeForWatchers(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // ends the subscription
	d := c.demands
	if !d.isWatched() {
		return nil
	}
	told, err := c.queue.SubscribeEvents(ctx, demandTopic, 1)
	if err != nil {
		return err
	}
	for d.isWatched() {
		begun := time.Now()
		if _, err := c.figures(ctx, begun); err != nil {
			return err
		}
		d.mu.Lock()
		close(d.change)
		d.change = make(chan struct{})
		d.mu.Unlock()
		select {
		case _, open := <-told:
			if !open {
				return ctx.Err()
			}
		case <-time.After(demandEvery):
		case <-ctx.Done():
			return nil
		}
		sleep(ctx, demandGap-time.Since(begun))
		select { // told of what the next look sees anyway
		case <-told:
		default:
		}
	}
	return nil
}

// gotWork tells coordinators where somebody watches that tasks have got ready: soon, and once for all that do so meanwhile.
func (c *Coordinator) gotWork() {
	d := c.demands
	d.mu.Lock()
	telling := d.telling
	d.telling = true
	d.mu.Unlock()
	if telling {
		return
	}
	time.AfterFunc(demandToldIn, func() {
		d.mu.Lock()
		d.telling = false
		d.mu.Unlock()
		_ = c.queue.PublishEvent(demandTopic, nil) // a hint
	})
}

// figures are those of all open pools, computed after that moment. Nobody changes the map.
func (c *Coordinator) figures(ctx context.Context, after time.Time) (map[string]demand.Figure, error) {
	d := c.demands
	known := func() (map[string]demand.Figure, bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.figures, d.at.After(after)
	}
	if figures, ok := known(); ok {
		return figures, nil
	}
	select {
	case d.computing <- struct{}{}:
		defer func() { <-d.computing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if figures, ok := known(); ok { // another caller's
		return figures, nil
	}
	at := time.Now()
	if err := c.knowSlots(ctx); err != nil {
		return nil, err
	}
	figures, err := c.computeDemand(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.figures, d.at = figures, at
	d.mu.Unlock()
	return figures, nil
}

// computeDemand makes figures of what the store knows.
func (c *Coordinator) computeDemand(ctx context.Context) (map[string]demand.Figure, error) {
	seen, err := c.store.Demand(ctx, c.cfg.ScaleAhead)
	if err != nil {
		return nil, err
	}
	if err := c.leaveOutForbidden(ctx, seen); err != nil {
		return nil, err
	}
	running, sent := demand.Running(seen.Seen, seen.Trees)
	scene := demand.Scene{Horizon: c.cfg.ScaleAhead, Tasks: seen.Tasks, Edges: seen.Edges, Slots: c.poolSlots(), Running: running, Left: c.demands.lasting.Left}
	soon := scene.Soon()
	figures := make(map[string]demand.Figure, len(seen.Names))
	for id, name := range seen.Names {
		figures[name] = demand.Figure{Running: running[id], Ready: seen.Waiting[id] + sent[id], Soon: soon[id]}
	}
	return figures, nil
}

// poolSlots are those of the live workers, by pool.
func (c *Coordinator) poolSlots() map[int32]int {
	slots := map[int32]int{}
	for id, is := range c.lanes.capacities() {
		slots[id] = is.slots
	}
	return slots
}

// knowSlots asks Postgres once how many slots workers have; from then on beats tell.
func (c *Coordinator) knowSlots(ctx context.Context) error {
	d := c.demands
	d.mu.Lock()
	seen := d.seen
	d.mu.Unlock()
	if seen {
		return nil
	}
	slots, err := c.store.WorkerSlots(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.Copy(slots, d.slots)
	d.slots, d.seen = slots, true
	return nil
}

// noteSlots notes how many slots live workers have: those that came last tell.
func (d *demands) noteSlots(workers []pg.LiveWorker) {
	newest := map[string]pg.LiveWorker{}
	for _, w := range workers {
		for name := range w.Pools {
			if was, some := newest[name]; !some || w.Key > was.Key {
				newest[name] = w
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	slots := maps.Clone(d.slots)
	if slots == nil {
		slots = map[string]int{}
	}
	changed := false
	for name, w := range newest {
		if n := w.Pools[name]; n > 0 && slots[name] != n && (len(slots) < maxSlotsKnown || slots[name] > 0) {
			slots[name], changed = n, true
		}
	}
	if changed {
		d.slots = slots
	}
}

// maxSlotsKnown bounds the pools whose workers' slots are remembered.
const maxSlotsKnown = 10 * pg.MaxPools

// learnLasting notes how long attempts lasted.
func (d *demands) learnLasting(results []dag.Result) {
	for i := range results {
		r := &results[i]
		if row, known := r.Facts.Row(r.Task, r.Attempt, dag.Running, r.Worker); known && r.Ran > 0 && r.Outcome == dag.OutcomeCompleted {
			d.lasting.Learn(row.Pool, r.Ran)
		}
	}
}

// observeDemand shows how many slots each pool has use for. Who reads metrics sets no deadline, and gets the others also while Postgres hangs.
func (c *Coordinator) observeDemand(o *observer) {
	slots := o.ints("taskgrove.pool.demand")
	o.register(func(ctx context.Context, o metric.Observer) error {
		if c.samples(ctx).backlogs == nil { // Postgres is away
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, sampleWait)
		defer cancel()
		figures, err := c.figures(ctx, time.Now().Add(-demandMeter))
		if err != nil {
			return c.internal("tell the demand of pools", err)
		}
		for _, d := range c.demandsOf(figures, nil) {
			o.ObserveInt64(slots, int64(d.Total()), labelled("pool", d.Pool))
		}
		return nil
	})
}
