package crew

import (
	"context"
	"sync"
	"time"
)

const maxRate = 10000 // questions per minute

// pace spaces out questions to models, so that no minute has more of them than its rate. A nil pace waits for nothing.
type pace struct {
	rate int

	mu   sync.Mutex
	last []time.Time // of the newest questions, oldest first, at most rate
}

func newPace(rate int) *pace {
	if rate <= 0 {
		return nil
	}
	return &pace{rate: rate}
}

// wait returns when a question may be asked, or with the cause of the context's end.
func (p *pace) wait(ctx context.Context) error {
	if p == nil {
		return nil
	}
	for {
		delay := p.take(time.Now())
		if delay <= 0 {
			return nil
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take counts a question, or says how long there is no room for it.
func (p *pace) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.last) == p.rate {
		if delay := time.Minute - now.Sub(p.last[0]); delay > 0 {
			return delay
		}
		p.last = p.last[1:]
	}
	p.last = append(p.last, now)
	return 0
}
