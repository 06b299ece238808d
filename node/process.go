package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// supervisor holds the running parts of a process. They are stopped one after the other, the last started first, each
// when the one before has ended: a worker can still report while the coordinator that it reports to runs.
//
// It is used by one goroutine, which must call stop, also after a start that broke off halfway.
type supervisor struct {
	log   *slog.Logger
	parts []part
	ended chan error // capacity 1: the first part that ended unasked; later ones don't matter any more
}

type part struct {
	name string
	stop func() error // returns when it has ended
}

func newSupervisor(log *slog.Logger) *supervisor {
	return &supervisor{log: log, ended: make(chan error, 1)}
}

// run starts a part. Its context ends when it is its turn to stop, with ctx's values but not with ctx.
func (s *supervisor) run(ctx context.Context, name string, run func(context.Context) error) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var result error
	var running sync.WaitGroup
	running.Go(func() {
		if result = run(own); own.Err() == nil {
			select {
			case s.ended <- fmt.Errorf("%s ended: %w", name, cmpErr(result, errUnasked)):
			default:
			}
			result = nil // told already
		}
	})
	s.onStop(name, func() error {
		cancel(errStopping)
		running.Wait()
		return result
	})
}

var (
	errStopping = errors.New("the process is stopping")
	errUnasked  = errors.New("nobody asked it to")
)

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// onStop adds what is to be done in a part's turn.
func (s *supervisor) onStop(name string, stop func() error) {
	s.parts = append(s.parts, part{name, stop})
}

// wait returns when ctx ends, with nil, or when a part ended unasked, with the reason.
func (s *supervisor) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.ended:
		return err
	}
}

// stop stops all parts and tells what went wrong in it. A second call does nothing.
func (s *supervisor) stop() error {
	var faults []error
	for len(s.parts) > 0 {
		last := len(s.parts) - 1
		p := s.parts[last]
		s.parts = s.parts[:last]
		s.log.Debug("stopping", "part", p.name)
		if err := p.stop(); err != nil {
			faults = append(faults, fmt.Errorf("stop %s: %w", p.name, err))
		}
	}
	return errors.Join(faults...)
}
