package worker

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// pool is one queue's slots. A slot is held from the take to the handing over of the result; slots outlive sessions,
// since work that does not stop still uses the machine.
type pool struct {
	name  string
	slots int
	used  atomic.Int64
	more  atomic.Bool   // messages waited for the pool at the last take
	wake  chan struct{} // capacity 1: a slot may be free, or there may be room for results
	attrs metric.MeasurementOption
}

func newPool(p Pool) *pool {
	return &pool{name: p.Name, slots: p.Concurrency, wake: make(chan struct{}, 1)}
}

func (p *pool) free() int { return p.slots - int(p.used.Load()) }

func (p *pool) release() {
	p.used.Add(-1)
	p.nudge()
}

func (p *pool) nudge() { signal(p.wake) }

// room waits until want slots are free, or one is and patience is over, and may says yes. Only the pool's taker calls
// it, and only it takes slots, so what it returns stays free.
func (p *pool) room(ctx context.Context, want int, patience time.Duration, may func() bool) (int, error) {
	var patient <-chan time.Time
	for {
		free := p.free()
		if free >= want && may() {
			return free, nil
		}
		if free > 0 && want > 1 && patient == nil {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			patient = timer.C
		}
		select {
		case <-p.wake:
		case <-patient:
			want, patient = 1, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
