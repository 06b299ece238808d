package coordinator

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/instrument"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	sampleEvery = 5 * time.Second // what Postgres and NATS are asked for metrics is not asked more often
	sampleWait  = 4 * time.Second // for one look, of Postgres and of NATS
)

// samples are what metrics tell of Postgres and NATS as a whole, as the last look has it. What could not be read is missing.
type samples struct {
	pools, sent []pg.PoolDepth
	backlogs    *pg.Backlogs
	lines       *pg.LimitCounts
	streams     []queue.StreamState
}

// sampler looks when metrics are read, and not more often than [sampleEvery].
type sampler struct {
	mu   sync.Mutex
	at   time.Time
	last samples
}

// samples looks, or gives what the last look found. Those who come meanwhile wait for it.
func (c *Coordinator) samples(ctx context.Context) samples {
	s := &c.sampler
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < sampleEvery {
		return s.last
	}
	s.last = c.look(context.WithoutCancel(ctx))
	s.at = time.Now()
	return s.last
}

func (c *Coordinator) look(ctx context.Context) (out samples) {
	ctx, cancel := context.WithTimeout(ctx, sampleWait)
	defer cancel()
	var looking sync.WaitGroup
	looking.Go(func() {
		if c.queue.Connected() {
			out.streams, _ = c.queue.StreamStates(ctx) // missing series tell it
		}
	})
	if b, err := c.store.Backlogs(ctx); err == nil {
		out.backlogs = &b
	}
	if out.backlogs != nil { // else Postgres is away, and each would wait
		out.pools, _ = c.store.PoolDepths(ctx)
		out.sent, _ = c.store.PoolsSent(ctx)
		if n, err := c.store.LimitsInUse(ctx); err == nil {
			out.lines = &n
		}
	}
	looking.Wait()
	return out
}

// observer registers gauges and counters that are read when metrics are.
type observer struct {
	c           *Coordinator
	mt          metric.Meter
	instruments []metric.Observable
	faults      []error
}

func (o *observer) ints(name string) metric.Int64ObservableGauge {
	g, err := o.mt.Int64ObservableGauge(name, metric.WithDescription(instrument.Coordinator.Help(name)))
	o.instruments, o.faults = append(o.instruments, g), append(o.faults, err)
	return g
}

func (o *observer) seconds(name string) metric.Float64ObservableGauge {
	g, err := o.mt.Float64ObservableGauge(name, metric.WithDescription(instrument.Coordinator.Help(name)), metric.WithUnit("s"))
	o.instruments, o.faults = append(o.instruments, g), append(o.faults, err)
	return g
}

func (o *observer) counter(name string) metric.Int64ObservableCounter {
	g, err := o.mt.Int64ObservableCounter(name, metric.WithDescription(instrument.Coordinator.Help(name)))
	o.instruments, o.faults = append(o.instruments, g), append(o.faults, err)
	return g
}

func (o *observer) secondsCounter(name string) metric.Float64ObservableCounter {
	g, err := o.mt.Float64ObservableCounter(name, metric.WithDescription(instrument.Coordinator.Help(name)), metric.WithUnit("s"))
	o.instruments, o.faults = append(o.instruments, g), append(o.faults, err)
	return g
}

// register lets f tell what the instruments are, which were made since the last call.
func (o *observer) register(f metric.Callback) {
	_, err := o.mt.RegisterCallback(f, o.instruments...)
	o.c.meterFault(errors.Join(append(o.faults, err)...))
	o.instruments, o.faults = nil, nil
}

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

func labelled(name, value string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String(name, value))
}

// observe registers all of them.
func (c *Coordinator) observe(mt metric.Meter) {
	o := &observer{c: c, mt: mt}
	c.observePools(o)
	c.observeDemand(o)
	c.observeTrees(o)
	c.observeLimits(o)
	c.observePostgres(o)
	c.observeServer(o)
	c.observeNATS(o)
	c.observeWatchers(o)
}

// observePools shows what waits in each pool, and who serves it.
func (c *Coordinator) observePools(o *observer) {
	ready, oldest := o.ints("taskgrove.pool.ready"), o.seconds("taskgrove.pool.oldest")
	unclaimed, unclaimedOldest := o.ints("taskgrove.pool.unclaimed"), o.seconds("taskgrove.pool.unclaimed.oldest")
	workers, slots := o.ints("taskgrove.pool.workers"), o.ints("taskgrove.pool.slots")
	o.register(func(ctx context.Context, o metric.Observer) error {
		s, capacity := c.samples(ctx), c.lanes.capacities()
		sent := map[string]pg.PoolDepth{}
		for _, p := range s.sent {
			sent[p.Name] = p
		}
		for _, p := range s.pools { // all that are open
			pool := labelled("pool", p.Name)
			o.ObserveInt64(ready, int64(p.Ready), pool)
			o.ObserveFloat64(oldest, p.Oldest.Seconds(), pool)
			o.ObserveInt64(unclaimed, int64(sent[p.Name].Ready), pool)
			o.ObserveFloat64(unclaimedOldest, sent[p.Name].Oldest.Seconds(), pool)
			id, err := c.store.PoolID(ctx, p.Name)
			if err != nil {
				continue
			}
			o.ObserveInt64(workers, int64(capacity[id].workers), pool)
			o.ObserveInt64(slots, int64(capacity[id].slots), pool)
		}
		return nil
	})
}

// observeTrees shows what is left to do.
func (c *Coordinator) observeTrees(o *observer) {
	trees, oldest := o.ints("taskgrove.trees.unfinished"), o.seconds("taskgrove.trees.oldest")
	timers, followups := o.seconds("taskgrove.timer.lag"), o.ints("taskgrove.followups")
	o.register(func(ctx context.Context, o metric.Observer) error {
		b := c.samples(ctx).backlogs
		if b == nil {
			return nil
		}
		o.ObserveInt64(trees, int64(b.Trees))
		o.ObserveFloat64(oldest, b.Oldest.Seconds())
		o.ObserveFloat64(timers, b.Timers.Seconds())
		o.ObserveInt64(followups, int64(b.Followups))
		return nil
	})
}

// observeLimits shows how many tasks limits hold back, and how much is held. Keys are none of its labels: users make them up.
func (c *Coordinator) observeLimits(o *observer) {
	waiting, held := o.ints("taskgrove.limit.waiting"), o.ints("taskgrove.limit.held")
	o.register(func(ctx context.Context, o metric.Observer) error {
		n := c.samples(ctx).lines
		if n == nil {
			return nil
		}
		for kind, name := range map[dag.LimitKind]string{dag.KindLimit: "limit", dag.KindLock: "lock", dag.KindRate: "rate"} {
			o.ObserveInt64(waiting, n.Waiting[kind], labelled("kind", name))
		}
		for kind, name := range map[dag.LimitKind]string{dag.KindLimit: "limit", dag.KindLock: "lock", dag.KindPool: "pool", dag.KindUser: "user"} {
			o.ObserveInt64(held, n.Held[kind], labelled("kind", name))
		}
		return nil
	})
}

// observePostgres shows how the store's connections and transactions fare.
func (c *Coordinator) observePostgres(o *observer) {
	up, connections := o.ints("taskgrove.postgres.up"), o.ints("taskgrove.postgres.connections")
	acquired, waited, wait := o.counter("taskgrove.postgres.acquired"), o.counter("taskgrove.postgres.waited"), o.secondsCounter("taskgrove.postgres.wait")
	faults := o.counter("taskgrove.postgres.errors")
	version, wanted := o.ints("taskgrove.schema.version"), o.ints("taskgrove.schema.wanted")
	tried, refused := o.counter("taskgrove.optimistic.transactions"), o.counter("taskgrove.optimistic.refused")
	used, idle, most := labelled("state", "used"), labelled("state", "idle"), labelled("state", "most")
	newest := int64(pg.NewestMigration())
	o.register(func(ctx context.Context, o metric.Observer) error {
		b := c.samples(ctx).backlogs
		o.ObserveInt64(up, flag(b != nil))
		o.ObserveInt64(wanted, newest)
		if b != nil {
			o.ObserveInt64(version, int64(b.Schema))
		}
		s := c.store.Connections()
		o.ObserveInt64(connections, int64(s.Used), used)
		o.ObserveInt64(connections, int64(s.Idle), idle)
		o.ObserveInt64(connections, int64(s.Most), most)
		o.ObserveInt64(acquired, s.Acquired)
		o.ObserveInt64(waited, s.Waited)
		o.ObserveFloat64(wait, s.Wait.Seconds())
		for kind, n := range c.store.Faults() {
			o.ObserveInt64(faults, n, labelled("kind", pg.FaultKinds[kind]))
		}
		t, r := c.store.OptimisticTransactions()
		o.ObserveInt64(tried, t)
		o.ObserveInt64(refused, r)
		return nil
	})
}

// observeNATS shows the connection and the streams.
func (c *Coordinator) observeNATS(o *observer) {
	connected, reconnects := o.ints("taskgrove.nats.connected"), o.counter("taskgrove.nats.reconnects")
	messages, bytes, limit := o.ints("taskgrove.stream.messages"), o.ints("taskgrove.stream.bytes"), o.ints("taskgrove.stream.limit.bytes")
	copies, wanted := o.ints("taskgrove.stream.copies"), o.ints("taskgrove.stream.copies.wanted")
	o.register(func(ctx context.Context, o metric.Observer) error {
		o.ObserveInt64(connected, flag(c.queue.Connected()))
		o.ObserveInt64(reconnects, int64(c.queue.Reconnects()))
		for _, s := range c.samples(ctx).streams {
			stream := labelled("stream", s.Name)
			o.ObserveInt64(messages, int64(s.Messages), stream)
			o.ObserveInt64(bytes, int64(s.Bytes), stream)
			if s.MaxBytes > 0 {
				o.ObserveInt64(limit, s.MaxBytes, stream)
			}
			o.ObserveInt64(copies, int64(s.Copies), stream)
			o.ObserveInt64(wanted, int64(s.Wanted), stream)
		}
		return nil
	})
}

// observeWatchers shows who watches trees.
func (c *Coordinator) observeWatchers(o *observer) {
	watchers, trees := o.ints("taskgrove.event.watchers"), o.ints("taskgrove.event.trees")
	o.register(func(_ context.Context, o metric.Observer) error {
		w, t := c.feeds.count()
		o.ObserveInt64(watchers, int64(w))
		o.ObserveInt64(trees, int64(t))
		return nil
	})
}

// observeServer shows whether the server of Postgres is used, and its timeline.
func (c *Coordinator) observeServer(o *observer) {
	refused, timeline := o.ints("taskgrove.postgres.refused"), o.ints("taskgrove.postgres.timeline")
	o.register(func(_ context.Context, o metric.Observer) error {
		fence, is := c.store.Fence(), int64(0)
		if fence.Refused() != nil {
			is = 1
		}
		o.ObserveInt64(refused, is)
		o.ObserveInt64(timeline, fence.Newest().Timeline)
		return nil
	})
}
