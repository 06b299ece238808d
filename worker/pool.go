package worker

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/queue"
)

// pool is one queue's slots, which the ledger counts. A slot is held from the take to the handing over of the result;
// slots outlive sessions, since work that does not stop still uses the machine.
type pool struct {
	name  string
	index int // its place in the ledger
	slots int
	more  atomic.Bool                 // messages waited for the pool at the last take
	wake  chan struct{}               // capacity 1: a slot may be free, or there may be room for results
	taker atomic.Pointer[queue.Taker] // the last session's; nil: there was none
	attrs metric.MeasurementOption

	started, ended atomic.Uint64 // attempts
}

func newPool(index int, p Pool) *pool {
	return &pool{name: p.Name, index: index, slots: p.Concurrency, wake: make(chan struct{}, 1)}
}

func (p *pool) nudge() { signal(p.wake) }

// room waits until want attempts may be taken, or one may and patience is over. free tells how many may be. Only the
// pool's taker calls room, and only it takes slots, so what it returns stays free.
func (p *pool) room(ctx context.Context, want int, patience time.Duration, free func(*pool) int) (int, error) {
	var patient <-chan time.Time
	for {
		n := free(p)
		if n >= want {
			return n, nil
		}
		if n > 0 && want > 1 && patient == nil {
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
