package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/internal/readiness"
)

// Process is the life of one process: the parts that run in it, whether they are ready, and the order in which they stop.
//
// Parts stop one after the other, the last started first, each when the one before has ended: a worker can still report
// while the coordinator that it reports to runs. One goroutine starts parts, waits and stops; it must call [Process.Stop],
// also after a start that failed halfway. Any goroutine may ask [Process.Ready].
type Process struct {
	log     *slog.Logger
	metrics http.Handler // GET /metrics; nil: without telemetry
	parts   []part
	ended   chan error // capacity 1: the first part that ended unasked; later ones don't matter any more

	mu     sync.Mutex
	probes []func(context.Context) error // guarded by mu
	awaits *readiness.Fault              // guarded by mu; what the start waits for; nil: nothing
}

type part struct {
	name string
	stop func() error // returns when it has ended
}

var (
	errStopping = errors.New("the process is stopping")
	errUnasked  = errors.New("nobody asked it to")
)

// NewProcess makes a process in which nothing runs. It has no telemetry: that belongs to the whole operating system's
// process, see [Serve].
func NewProcess(log *slog.Logger) *Process {
	return &Process{log: log, ended: make(chan error, 1)}
}

// Log is what all parts of the process log to.
func (p *Process) Log() *slog.Logger { return p.log }

// Run starts a part. Its context ends when it is its turn to stop, with ctx's values but not with ctx.
func (p *Process) Run(ctx context.Context, name string, run func(context.Context) error) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var result error
	var running sync.WaitGroup
	running.Go(func() {
		if result = run(own); own.Err() == nil {
			select {
			case p.ended <- fmt.Errorf("%s ended: %w", name, cmp.Or(result, errUnasked)):
			default:
			}
			result = nil // told already
		}
	})
	p.OnStop(name, func() error {
		cancel(errStopping)
		running.Wait()
		return result
	})
}

// OnStop adds what is to be done in a part's turn.
func (p *Process) OnStop(name string, stop func() error) {
	p.parts = append(p.parts, part{name, stop})
}

// Probe adds a condition to readiness.
func (p *Process) Probe(ready func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes = append(p.probes, ready)
}

// Ready is nil when all parts that were started can do their work.
func (p *Process) Ready(ctx context.Context) error {
	p.mu.Lock()
	probes, awaits := p.probes, p.awaits
	p.mu.Unlock()
	if awaits != nil {
		return awaits
	}
	for _, ready := range probes {
		if err := ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// UntilReady returns when the process is ready, when a part ended unasked, or when ctx ends. It returns the reason for
// the latter two. After 3 s it logs what is not ready.
func (p *Process) UntilReady(ctx context.Context) error {
	return p.WaitFor(ctx, "its parts to be ready", p.Ready, func() error { return p.untilReady(ctx) })
}

func (p *Process) untilReady(ctx context.Context) error {
	for pause := time.Millisecond; p.Ready(ctx) != nil; pause = min(2*pause, 20*time.Millisecond) {
		select {
		case <-time.After(pause):
		case err := <-p.ended:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Wait returns when ctx ends, with nil, or when a part ended unasked, with the reason.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.ended:
		return err
	}
}

// Stop stops all parts. It returns what went wrong in that, and the reason of a part that had ended unasked unless it was
// told already. After 3 s it logs what it waits for. A second call does nothing.
func (p *Process) Stop() error {
	var faults []error
	select {
	case err := <-p.ended:
		faults = append(faults, err)
	default:
	}
	for len(p.parts) > 0 {
		last := len(p.parts) - 1
		ending := p.parts[last]
		p.parts = p.parts[:last]
		p.log.Debug("stopping a part of the process", "part", ending.name)
		if err := p.WaitFor(context.Background(), ending.name+" to stop", nil, ending.stop); err != nil {
			faults = append(faults, fmt.Errorf("stop %s: %w", ending.name, err))
		}
	}
	return errors.Join(faults...)
}
