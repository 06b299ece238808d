package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/internal/ledger"
)

// ErrOutdated: the cluster has used a feature level that this worker does not have. Only an upgrade of the worker helps.
var ErrOutdated = errors.New("worker is too old for the cluster")

// Ends of a session, besides ErrOutdated.
var (
	errFenced  = errors.New("the lease ran out")
	errDrained = errors.New("drained")
)

// session is one instance id under one lease: the unit that coordinators know. When its lease is lost all its attempts
// are, and whatever is taken afterwards belongs to the next.
type session struct {
	w        *Worker
	instance string
	lease    *lease
	claims   *batcher[*attempt]
	kick     chan struct{}          // capacity 1: a beat is wanted at once
	outdated chan error             // capacity 1: a coordinator refused the worker for good
	announce sync.Once              // that it takes tasks
	trouble  atomic.Pointer[string] // why the last beat that failed did
	refused  atomic.Value           // string: what the last beat was told that there is no room for

	ledger.Session // guarded by the book's mu
}

func newSession(w *Worker) *session {
	s := &session{
		w: w, instance: rand.Text(), lease: newLease(w.cfg.KillGrace), kick: make(chan struct{}, 1), outdated: make(chan error, 1),
	}
	s.claims = s.newClaimer()
	return s
}

// complain keeps why a beat failed, for [Worker.Ready].
func (s *session) complain(what string) { s.trouble.Store(&what) }

func (s *session) wantBeat() { signal(s.kick) }

// run works until it is fenced ([errFenced]), drained ([errDrained]), refused for good ([ErrOutdated]) or ctx ends (nil, or
// another part's error).
// No goroutine of the session outlives it; attempts may, and report as the worker's.
func (s *session) run(ctx context.Context) error {
	defer s.end()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.beats(ctx) })
	group.Go(func() error { return s.claims.run(ctx) })
	group.Go(func() error {
		if !s.lease.watch(ctx) {
			return nil
		}
		s.end() // first of all: everything else can wait
		return errFenced
	})
	group.Go(func() error {
		select {
		case err := <-s.outdated:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	takeCtx, stopTaking := context.WithCancel(ctx)
	defer stopTaking()
	var takers sync.WaitGroup
	failed := make(chan error, len(s.w.pools)) // one place for each taker
	for _, p := range s.w.pools {
		takers.Go(func() {
			if err := s.takes(takeCtx, p); err != nil {
				failed <- err
			}
		})
	}
	group.Go(func() error {
		var err error
		select {
		case <-ctx.Done():
		case <-s.w.draining:
		case err = <-failed:
		}
		stopTaking()
		takers.Wait()
		if err != nil || ctx.Err() != nil {
			return err
		}
		if err := s.drain(ctx); err != nil {
			return err
		}
		return errDrained
	})
	return group.Wait()
}

// end closes the session: nothing of it starts any more, and what runs must stop.
func (s *session) end() {
	out := s.w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { l.End(&s.Session, ledger.LeaseLost, out) })
	s.w.do(&out)
}

// drain lets go of everything: what has not started at once, what runs after its grace, and leaves when all is
// reported. It returns ctx's cause when that ends before (the lease is lost on the way, for one).
func (s *session) drain(ctx context.Context) error {
	w := s.w
	s.wantBeat() // no more work, please
	out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { l.Unstarted(&s.Session, out) })
	w.do(&out)
	none := func(inHand, _ int) bool { return inHand == 0 }
	within := func(grace context.Context, cancel context.CancelFunc, holds func(inHand, kept int) bool) bool {
		defer cancel()
		return w.book.await(grace, holds)
	}
	grace, cancel := context.WithTimeout(ctx, w.cfg.DrainGrace)
	if !within(grace, cancel, none) && ctx.Err() == nil {
		out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) { l.Interrupt(&s.Session, ledger.Draining, out) })
		w.do(&out)
		grace, cancel = context.WithTimeout(ctx, w.cfg.KillGrace)
		within(grace, cancel, none)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	grace, cancel = context.WithTimeout(ctx, w.cfg.FlushGrace)
	within(grace, cancel, func(_, kept int) bool { return kept == 0 })
	inHand, kept, _ := w.book.counts()
	if inHand > 0 || kept > 0 {
		w.log.Warn("the drain has ended with something left", "in_hand", inHand, "results_without_receipt", kept)
	}
	if inHand == 0 && ctx.Err() == nil {
		s.leave(ctx)
	}
	return nil
}
