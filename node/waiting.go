package node

import (
	"context"
	"time"
)

// A step of a start, and the end of a part, are expected to take less than waitsSilently; after that it says what it waits for, again and again.
const (
	waitsSilently = 3 * time.Second
	waitsBetween  = 10 * time.Second
)

// WaitFor calls f, a step of a start, or of the end. While f takes longer than 3 s, it logs what the process waits for, every 10 s; why, unless it
// is nil, tells the reason where one is known.
func (p *Process) WaitFor(ctx context.Context, what string, why func(context.Context) error, f func() error) error {
	done, said := make(chan struct{}), make(chan struct{})
	go func() { // ends with f, or with one more answer of why
		defer close(said)
		p.sayWaiting(ctx, what, why, done)
	}()
	begin := time.Now()
	err := f()
	p.log.Debug("process has waited for "+what, "took", time.Since(begin).String())
	close(done)
	<-said
	return err
}

// sayWaiting logs until done is closed.
func (p *Process) sayWaiting(ctx context.Context, what string, why func(context.Context) error, done <-chan struct{}) {
	begin := time.Now()
	next := time.NewTimer(waitsSilently)
	defer next.Stop()
	for {
		select {
		case <-done:
			return
		case <-next.C:
			next.Reset(waitsBetween)
		}
		args := []any{"since", time.Since(begin).Round(time.Second).String()}
		if why != nil {
			if err := why(ctx); err != nil {
				args = append(args, "error", err)
			}
		}
		p.log.Warn("process waits for "+what, args...)
	}
}
