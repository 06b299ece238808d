package worker

import (
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// TestBeatsAndMetricsTellTheLine: what was taken and has no slot is in line, and no slot is in use for it.
func TestBeatsAndMetricsTellTheLine(t *testing.T) {
	w, s := deafWorker(t, closed(t), true)
	reader := metric.NewManualReader()
	m, err := newMetrics(metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"), w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	for n, want := range []string{"0 run, 0 in line", "1 run, 0 in line", "2 run, 0 in line", "2 run, 1 in line", "2 run, 2 in line"} {
		if n > 0 {
			a := s.newAttempt(w.pools[0], &workerv1.Work{Attempt: &workerv1.Attempt{Task: int64(n), Number: 1}}, nil, time.Now())
			w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { l.Take(a, out) })
		}
		got := map[string]int64{}
		var read metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &read); err != nil {
			t.Fatal(err)
		}
		for _, scope := range read.ScopeMetrics {
			for _, x := range scope.Metrics {
				if gauge, ok := x.Data.(metricdata.Gauge[int64]); ok && len(gauge.DataPoints) == 1 {
					got[x.Name] = gauge.DataPoints[0].Value
				}
			}
		}
		if shown := fmt.Sprintf("%d run, %d in line", got["taskgrove.worker.running"], got["taskgrove.worker.in_line"]); shown != want {
			t.Errorf("%d taken: metrics have %s, want %s", n, shown, want)
		}
		if beat := s.nextBeat(false); beat.Pools[0].InLine != uint32(max(0, n-2)) {
			t.Errorf("%d taken: the beat has %d in line", n, beat.Pools[0].InLine)
		}
	}
}
