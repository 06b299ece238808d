package coordinator

import (
	"context"
	"fmt"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// TestLimitsAreMeasuredByKind: keys are no labels.
func TestLimitsAreMeasuredByKind(t *testing.T) {
	c := &Coordinator{engine: &engine{}}
	reader := sdkmetric.NewManualReader()
	c.observeLimits(&observer{c: c, mt: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")})
	for _, tt := range []struct {
		lines *pg.LimitCounts
		want  string
	}{
		{nil, "map[]"}, // Postgres is away
		{&pg.LimitCounts{Waiting: map[dag.LimitKind]int64{dag.KindLimit: 3, dag.KindRate: 1}, Held: map[dag.LimitKind]int64{dag.KindLock: 2, dag.KindUser: 4}},
			"map[taskgrove.limit.held limit:0 taskgrove.limit.held lock:2 taskgrove.limit.held pool:0 taskgrove.limit.held user:4 " +
				"taskgrove.limit.waiting limit:3 taskgrove.limit.waiting lock:0 taskgrove.limit.waiting rate:1]"},
	} {
		c.sampler.at, c.sampler.last.lines = time.Now(), tt.lines
		var all metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				for _, p := range m.Data.(metricdata.Gauge[int64]).DataPoints {
					kind, _ := p.Attributes.Value("kind")
					got[m.Name+" "+kind.AsString()] = p.Value
				}
			}
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("measured %v, want %s", got, tt.want)
		}
	}
}
