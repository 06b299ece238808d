package coordinator

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskgrove/taskgrove/internal/demand"
	"github.com/taskgrove/taskgrove/pg"
)

// TestDemandMetricWaitsForNobody: who reads metrics sets no deadline. A figure that is there is shown; else Postgres is asked, but not when it was away a
// moment ago, and not for longer than a look takes.
func TestDemandMetricWaitsForNobody(t *testing.T) {
	for _, story := range []struct {
		name     string
		postgres bool
		age      time.Duration // of the figure
		want     int64         // 0: none is shown
		takes    time.Duration
	}{
		{"Postgres is away", false, 20 * time.Second, 0, 0},
		{"a figure is there", true, 10 * time.Second, 6, 0},
		{"Postgres hangs since the last look", true, 20 * time.Second, 0, sampleWait},
	} {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &Coordinator{engine: &engine{log: slog.New(slog.DiscardHandler), demands: newDemands()}}
				c.sampler.at = time.Now()
				if story.postgres {
					c.sampler.last.backlogs = &pg.Backlogs{}
				}
				c.demands.figures, c.demands.at = map[string]demand.Figure{"rest": {Running: 1, Ready: 2, Soon: 3}}, time.Now().Add(-story.age)
				c.demands.computing <- struct{}{} // nobody gets further

				reader := sdkmetric.NewManualReader()
				meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")
				o := &observer{c: c, mt: meter}
				c.observeDemand(o)
				other := o.ints("taskgrove.event.watchers")
				o.register(func(_ context.Context, o metric.Observer) error {
					o.ObserveInt64(other, 7)
					return nil
				})
				begun := time.Now()
				var all metricdata.ResourceMetrics
				err := reader.Collect(context.Background(), &all)
				if (err != nil) != (story.takes > 0) || time.Since(begun) != story.takes {
					t.Errorf("it took %s, want %s: %v", time.Since(begun), story.takes, err)
				}
				got := map[string]int64{}
				for _, m := range all.ScopeMetrics[0].Metrics {
					for _, p := range m.Data.(metricdata.Gauge[int64]).DataPoints {
						got[m.Name] = p.Value
					}
				}
				if got["taskgrove.pool.demand"] != story.want || got["taskgrove.event.watchers"] != 7 {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}
