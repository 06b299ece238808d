package worker

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/instrument"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// metrics are the worker's instruments; their names are API (docs/).
type metrics struct {
	attempts     metric.Int64Counter
	duration     metric.Float64Histogram
	claimTime    metric.Float64Histogram
	claimBatch   metric.Int64Histogram
	resultBatch  metric.Int64Histogram
	redelivered  metric.Int64Counter
	resent       metric.Int64Counter
	handedOver   metric.Int64Counter
	fenced       metric.Int64Counter
	linesDropped metric.Int64Counter
	linesOutside metric.Int64Counter
	modelCalls   metric.Int64Counter
	modelTokens  metric.Int64Counter
	modelCost    metric.Float64Counter
	models       labels

	unknown  outcomes
	observer metric.Registration
}

// outcomes are the attributes of what is counted by outcome: [endOf].
type outcomes [dag.OutcomeAwaiting + 1]metric.MeasurementOption

// outcomeAttributes are made once per executor: building them for each attempt costs more than counting.
func outcomeAttributes(executor string) (all outcomes) {
	for i := range all {
		outcome := dag.Outcome(i).String()
		all[i] = metric.WithAttributeSet(attribute.NewSet(
			attribute.String("executor", executor), attribute.String("outcome", outcome)))
	}
	return all
}

func newMetrics(meter metric.Meter, w *Worker) (*metrics, error) {
	m := &metrics{unknown: outcomeAttributes("unknown")}
	var faults []error
	counter := func(name string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(instrument.Worker.Help(name)))
		faults = append(faults, err)
		return c
	}
	seconds := func(name string, bounds ...float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithDescription(instrument.Worker.Help(name)), metric.WithUnit("s"),
			metric.WithExplicitBucketBoundaries(bounds...))
		faults = append(faults, err)
		return h
	}
	sizes := func(name string) metric.Int64Histogram {
		h, err := meter.Int64Histogram(name, metric.WithDescription(instrument.Worker.Help(name)),
			metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
		faults = append(faults, err)
		return h
	}
	m.attempts = counter("taskgrove.worker.attempts")
	m.redelivered = counter("taskgrove.worker.redeliveries")
	m.handedOver = counter("taskgrove.worker.handed_over")
	m.resent = counter("taskgrove.worker.results.resent")
	m.fenced = counter("taskgrove.worker.fences")
	m.linesDropped = counter("taskgrove.worker.log.dropped")
	m.linesOutside = counter("taskgrove.worker.task_logs")
	m.modelCalls = counter("taskgrove.worker.model.calls")
	m.modelTokens = counter("taskgrove.worker.model.tokens")
	cost, err := meter.Float64Counter("taskgrove.worker.model.cost", metric.WithDescription(instrument.Worker.Help("taskgrove.worker.model.cost")))
	faults = append(faults, err)
	m.modelCost = cost
	m.duration = seconds("taskgrove.worker.attempt.duration",
		.001, .005, .01, .05, .1, .5, 1, 5, 10, 60, 300, 1800, 7200)
	m.claimTime = seconds("taskgrove.worker.claim.duration",
		.0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5)
	m.claimBatch = sizes("taskgrove.worker.claim.batch")
	m.resultBatch = sizes("taskgrove.worker.result.batch")

	used, err := meter.Int64ObservableGauge("taskgrove.worker.running", metric.WithDescription(instrument.Worker.Help("taskgrove.worker.running")))
	faults = append(faults, err)
	lined, err := meter.Int64ObservableGauge("taskgrove.worker.in_line", metric.WithDescription(instrument.Worker.Help("taskgrove.worker.in_line")))
	faults = append(faults, err)
	slots, err := meter.Int64ObservableGauge("taskgrove.worker.slots", metric.WithDescription(instrument.Worker.Help("taskgrove.worker.slots")))
	faults = append(faults, err)
	kept, err := meter.Int64ObservableGauge("taskgrove.worker.results.kept", metric.WithDescription(instrument.Worker.Help("taskgrove.worker.results.kept")))
	faults = append(faults, err)
	flags := make([]metric.Int64ObservableGauge, 3)
	for i, name := range []string{"taskgrove.worker.connected", "taskgrove.worker.leased", "taskgrove.worker.faults"} {
		flags[i], err = meter.Int64ObservableGauge(name, metric.WithDescription(instrument.Worker.Help(name)))
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	for _, p := range w.pools {
		p.attrs = metric.WithAttributeSet(attribute.NewSet(attribute.String("pool", p.name)))
		m.redelivered.Add(context.Background(), 0, p.attrs)
	}
	for _, c := range []metric.Int64Counter{m.handedOver, m.resent, m.fenced, m.linesDropped} { // 0 is seen before the first loss
		c.Add(context.Background(), 0)
	}
	m.observer, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, p := range w.pools {
			o.ObserveInt64(used, int64(w.book.used(p)), p.attrs)
			o.ObserveInt64(lined, int64(w.book.inLine(p)), p.attrs)
			o.ObserveInt64(slots, int64(p.slots), p.attrs)
		}
		_, n, _ := w.book.counts()
		o.ObserveInt64(kept, int64(n))
		for i, v := range w.standing() {
			o.ObserveInt64(flags[i], v)
		}
		return nil
	}, used, lined, slots, kept, flags[0], flags[1], flags[2])
	return m, err
}

// standing is what the gauges connected, leased and faults show.
func (w *Worker) standing() (values [3]int64) {
	if w.conn.Connected() {
		values[0] = 1
	}
	if s := w.session.Load(); s != nil && s.lease.holds() {
		values[1] = 1
	}
	for _, f := range w.faults() {
		if !f.Unasked {
			values[2]++
		}
	}
	return values
}

// stop ends the observation of gauges.
func (m *metrics) stop() { _ = m.observer.Unregister() }

// attempt counts an attempt that is reported.
func (m *metrics) attempt(a *attempt, r *workerv1.Result) {
	all := &m.unknown
	if a.kind != nil {
		all = &a.kind.outcomes
	}
	attrs := all[endOf(r)]
	ctx := context.Background()
	m.attempts.Add(ctx, 1, attrs)
	m.duration.Record(ctx, float64(r.FinishedUnixUs-r.StartedUnixUs)/1e6, attrs)
}

// claims counts an answered claim request.
func (m *metrics) claims(took time.Duration, attempts int) {
	ctx := context.Background()
	m.claimTime.Record(ctx, took.Seconds())
	m.claimBatch.Record(ctx, int64(attempts))
}
