package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/internal/readiness"
	"github.com/taskgrove/taskgrove/pg"
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

// starting is why a process is not ready between the steps of its start.
var starting = &readiness.Fault{Reason: "starts"}

// awaitStep is [Process.WaitFor] for a step without which the process is not ready: readiness says so until f has succeeded.
func (p *Process) awaitStep(ctx context.Context, what string, f func() error) error {
	before := p.setAwaits(&readiness.Fault{Reason: "waits for " + what})
	err := p.WaitFor(ctx, what, nil, f)
	if err == nil {
		p.setAwaits(before)
	}
	return err
}

// await is the same for another server. f tells hindered what it met.
func (p *Process) await(ctx context.Context, server string, f func(hindered func(error)) error) error {
	before := p.setAwaits(starting)
	hindered := func(err error) {
		fault := &readiness.Fault{Reason: "waits for " + server}
		if why, known := pg.Unavailable(err); known {
			fault.Reason += ": " + why
		} else if _, pending := errors.AsType[*pg.PendingError](err); pending {
			fault.Reason += ": the database lacks migrations"
		}
		if err != nil {
			fault.Err = fmt.Errorf("waits for %s: %w", server, err)
		}
		p.setAwaits(fault)
	}
	hindered(nil)
	err := p.WaitFor(ctx, server+" to answer", nil, func() error { return f(hindered) })
	if err == nil {
		p.setAwaits(before)
	}
	return err
}

// setAwaits says why the process is not ready, whatever its probes say; nil: nothing is known. It returns what was said before.
func (p *Process) setAwaits(fault *readiness.Fault) (before *readiness.Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, p.awaits = p.awaits, fault
	return before
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
