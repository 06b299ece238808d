package coordinator

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/internal/instrument"
)

// meter holds the metrics of a coordinator; facts.go counts with them. Names follow OpenTelemetry; Prometheus shows them with
// underscores.
type meter struct {
	publishes, republishes, claims, results, lost, violations, drops, deliveries metric.Int64Counter
	claimSeconds, settleSeconds, deliveryLag                                     metric.Float64Histogram
	settleBatch, claimBatch                                                      metric.Int64Histogram
}

func newMeter(c *Coordinator) *meter {
	mt := otel.Meter("github.com/taskgrove/taskgrove/coordinator")
	counter := func(name string) metric.Int64Counter {
		out, err := mt.Int64Counter(name, metric.WithDescription(instrument.Coordinator.Help(name)))
		c.meterFault(err)
		return out
	}
	seconds := func(name string) metric.Float64Histogram {
		out, err := mt.Float64Histogram(name, metric.WithDescription(instrument.Coordinator.Help(name)), metric.WithUnit("s"),
			metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5))
		c.meterFault(err)
		return out
	}
	lags := func(name string) metric.Float64Histogram {
		out, err := mt.Float64Histogram(name, metric.WithDescription(instrument.Coordinator.Help(name)), metric.WithUnit("s"),
			metric.WithExplicitBucketBoundaries(.01, .05, .1, .5, 1, 5, 30, 60, 300, 3600, 86400))
		c.meterFault(err)
		return out
	}
	sizes := func(name string) metric.Int64Histogram {
		out, err := mt.Int64Histogram(name, metric.WithDescription(instrument.Coordinator.Help(name)), metric.WithExplicitBucketBoundaries(1, 4, 16, 64, 256, 1024, 4096))
		c.meterFault(err)
		return out
	}
	m := &meter{
		publishes:     counter("taskgrove.published"),
		republishes:   counter("taskgrove.reconcile.republished"),
		claims:        counter("taskgrove.claims"),
		results:       counter("taskgrove.results"),
		lost:          counter("taskgrove.attempts.taken_back"),
		violations:    counter("taskgrove.invariant.violations"),
		drops:         counter("taskgrove.requests.dropped"),
		deliveries:    counter("taskgrove.webhook.deliveries"),
		deliveryLag:   lags("taskgrove.webhook.lag"),
		claimSeconds:  seconds("taskgrove.claim.duration"),
		settleSeconds: seconds("taskgrove.settle.duration"),
		settleBatch:   sizes("taskgrove.settle.batch"),
		claimBatch:    sizes("taskgrove.claim.batch"),
	}
	c.observePools(mt)
	c.observeOptimistic(mt)
	return m
}

func (c *Coordinator) meterFault(err error) {
	if err != nil {
		c.log.Warn("a metric could not be registered", "error", err)
	}
}

// delivered counts an attempt to deliver an event of a webhook; lag is how old the event is.
func (m *meter) delivered(outcome DeliveryOutcome, lag time.Duration) {
	m.deliveries.Add(context.Background(), 1, metric.WithAttributes(attribute.String("outcome", string(outcome))))
	if outcome == Delivered {
		m.deliveryLag.Record(context.Background(), lag.Seconds())
	}
}

// observePools shows what waits in each pool, asked for when metrics are read.
func (c *Coordinator) observePools(mt metric.Meter) {
	depth, err := mt.Int64ObservableGauge("taskgrove.pool.ready", metric.WithDescription(instrument.Coordinator.Help("taskgrove.pool.ready")))
	c.meterFault(err)
	age, err := mt.Float64ObservableGauge("taskgrove.pool.oldest", metric.WithDescription(instrument.Coordinator.Help("taskgrove.pool.oldest")), metric.WithUnit("s"))
	c.meterFault(err)
	_, err = mt.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		pools, err := c.store.PoolDepths(ctx)
		if err != nil {
			return err
		}
		for _, p := range pools {
			pool := metric.WithAttributes(attribute.String("pool", p.Name))
			o.ObserveInt64(depth, int64(p.Ready), pool)
			o.ObserveFloat64(age, p.Oldest.Seconds(), pool)
		}
		return nil
	}, depth, age)
	c.meterFault(err)
}

// observeOptimistic shows how many transactions were tried without reading tasks first, and how many of those in vain.
func (c *Coordinator) observeOptimistic(mt metric.Meter) {
	tried, err := mt.Int64ObservableCounter("taskgrove.optimistic.transactions", metric.WithDescription(instrument.Coordinator.Help("taskgrove.optimistic.transactions")))
	c.meterFault(err)
	refused, err := mt.Int64ObservableCounter("taskgrove.optimistic.refused", metric.WithDescription(instrument.Coordinator.Help("taskgrove.optimistic.refused")))
	c.meterFault(err)
	_, err = mt.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		t, r := c.store.OptimisticTransactions()
		o.ObserveInt64(tried, t)
		o.ObserveInt64(refused, r)
		return nil
	}, tried, refused)
	c.meterFault(err)
}
