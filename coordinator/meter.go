package coordinator

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/internal/instrument"
	"github.com/taskgrove/taskgrove/queue"
)

// meter holds the metrics of a coordinator; facts.go counts with them. Names follow OpenTelemetry; Prometheus shows them with
// underscores.
type meter struct {
	publishes, republishes, claims, results, lost, violations, drops, deliveries metric.Int64Counter
	submissions, submitted, tasks, retries, trees, workersLost, passes           metric.Int64Counter
	artifacts, cached, archives, late                                            metric.Int64Counter
	recorded, recordFaults, recordGone, recordBreaks                             metric.Int64Counter
	claimSeconds, settleSeconds, deliveryLag, dispatchLag                        metric.Float64Histogram
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
		submissions:   counter("taskgrove.submissions"),
		submitted:     counter("taskgrove.tasks.submitted"),
		tasks:         counter("taskgrove.tasks.ended"),
		retries:       counter("taskgrove.tasks.retried"),
		cached:        counter("taskgrove.cache.lookups"),
		trees:         counter("taskgrove.trees.ended"),
		late:          counter("taskgrove.late"),
		workersLost:   counter("taskgrove.workers.lost"),
		passes:        counter("taskgrove.audit.passes"),
		artifacts:     counter("taskgrove.artifact.bytes"),
		archives:      counter("taskgrove.archive.trees"),
		recorded:      counter("taskgrove.record.appended"),
		recordFaults:  counter("taskgrove.record.failures"),
		recordGone:    counter("taskgrove.record.lost"),
		recordBreaks:  counter("taskgrove.record.broken"),
		deliveryLag:   lags("taskgrove.webhook.lag"),
		dispatchLag:   lags("taskgrove.dispatch.lag"),
		claimSeconds:  seconds("taskgrove.claim.duration"),
		settleSeconds: seconds("taskgrove.settle.duration"),
		settleBatch:   sizes("taskgrove.settle.batch"),
		claimBatch:    sizes("taskgrove.claim.batch"),
	}
	m.begin()
	c.observe(mt)
	return m
}

// begin shows counters that alerts watch with 0: the first step of one that appears with it is no increase to Prometheus.
func (m *meter) begin() {
	none := func(counter metric.Int64Counter, label string, values ...string) {
		for _, value := range values {
			counter.Add(context.Background(), 0, labelled(label, value))
		}
	}
	for _, counter := range []metric.Int64Counter{m.publishes, m.republishes, m.claims, m.results, m.submitted, m.retries, m.workersLost, m.recorded, m.recordFaults, m.recordGone, m.recordBreaks} {
		counter.Add(context.Background(), 0)
	}
	for _, crash := range []bool{false, true} {
		m.lost.Add(context.Background(), 0, metric.WithAttributes(attribute.Bool("crash", crash)))
	}
	none(m.submissions, "outcome", "stored", "replayed", "refused", "failed")
	none(m.tasks, "outcome", "completed", "failed", "cancelled")
	none(m.trees, "outcome", "completed", "failed", "cancelled")
	none(m.late, "kind", "run", "tree")
	none(m.passes, "outcome", "done", "failed")
	none(m.artifacts, "direction", "in", "out")
	none(m.archives, "outcome", "archived", "failed")
	none(m.deliveries, "outcome", string(Delivered), string(Retrying), string(Refused), string(GaveUp))
	none(m.drops, "kind", string(queue.Claim), string(queue.Beat), string(queue.Chunk), string(queue.Inputs), string(queue.Progress), string(queue.Artifact))
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

// archived counts a tree that was to be archived.
func (m *meter) archived(ctx context.Context, outcome string) {
	m.archives.Add(ctx, 1, labelled("outcome", outcome))
}

// artifactBytes counts bytes of files that tasks made, on their way into the store or out of it.
func (m *meter) artifactBytes(ctx context.Context, direction string, n int) {
	m.artifacts.Add(ctx, int64(n), labelled("direction", direction))
}

// appended counts entries that were to be added to the audit record; a nil meter counts nothing, as with the next two.
func (m *meter) appended(entries int, err error) {
	switch {
	case m == nil:
	case err != nil:
		m.recordFaults.Add(context.Background(), 1)
	default:
		m.recorded.Add(context.Background(), int64(entries))
	}
}

// recordLost counts entries of the audit record that found no room.
func (m *meter) recordLost(entries int) {
	if m != nil {
		m.recordGone.Add(context.Background(), int64(entries))
	}
}

// recordBroken counts how often the audit record was found otherwise than this coordinator left it.
func (m *meter) recordBroken() {
	if m != nil {
		m.recordBreaks.Add(context.Background(), 1)
	}
}
