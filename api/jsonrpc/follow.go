package jsonrpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// watching is what a follower needs of the service.
type watching interface {
	coordinator.Reader
	coordinator.Watcher
}

// follower reads a tree's events up to the final one, over lapses of the service.
type follower struct {
	h     *Handler
	svc   watching
	root  string
	after int64 // sequence of the last event seen
}

// idle is called when nothing has happened for a while.
type idle func() error

// run calls handle for each event, in order, and returns nil after the final one. When events can't be read it tries
// again for the configured time, then returns why. idle may be nil. An error of handle or idle ends it at once.
func (f *follower) run(ctx context.Context, handle func(*coordinator.Event) error, idle idle) error {
	tick := time.NewTicker(f.h.cfg.KeepAlive)
	defer tick.Stop()
	alive := func() error {
		if idle == nil {
			return nil
		}
		return idle()
	}
	broken := time.Time{} // since when nothing can be read; zero: it can
	for {
		ended, err := f.watch(ctx, func(e *coordinator.Event) error {
			broken = time.Time{}
			tick.Reset(f.h.cfg.KeepAlive)
			return handle(e)
		}, tick.C, alive)
		switch {
		case ended:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if err == nil { // the events ended; has the tree?
			var tree *coordinator.TreeStatus
			if tree, err = f.svc.Tree(ctx, f.root); err == nil && tree.Unfinished == 0 && tree.Sequence > 0 {
				return handle(finalOf(tree))
			}
		}
		if err != nil && !errors.Is(err, coordinator.ErrUnavailable) {
			return err
		}
		if broken.IsZero() {
			broken = time.Now()
		}
		if time.Since(broken) > f.h.cfg.ResumeTimeout {
			if err == nil {
				err = coordinator.ErrUnavailable
			}
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(f.h.cfg.ResumeTimeout / 30):
		}
		if err := alive(); err != nil {
			return err
		}
	}
}

// watch handles events until they end or can't be read. ended says that it is over for good: after the final one, or
// with an error of handle or alive. It leaves no goroutine behind.
func (f *follower) watch(ctx context.Context, handle func(*coordinator.Event) error, tick <-chan time.Time, alive idle) (ended bool, err error) {
	type item struct {
		event *coordinator.Event
		err   error
	}
	items := make(chan item) // none are kept: a slow reader slows the service's iterator, which drops nothing
	var reader sync.WaitGroup
	defer reader.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	after := f.after
	reader.Go(func() {
		defer close(items)
		for event, err := range f.svc.Watch(ctx, f.root, after) {
			select {
			case items <- item{event, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-tick:
			if err := alive(); err != nil {
				return true, err
			}
		case next, ok := <-items:
			if !ok {
				return false, nil
			}
			if next.err != nil {
				return false, next.err
			}
			if next.event.Sequence > 0 {
				f.after = next.event.Sequence
			}
			if err := handle(next.event); err != nil {
				return true, err
			}
			if next.event.Type == coordinator.EventFinal {
				return true, nil
			}
		}
	}
}

// finalOf is the final event of a tree whose own one can't be read any more.
func finalOf(tree *coordinator.TreeStatus) *coordinator.Event {
	at := tree.FinishedAt
	if at.IsZero() {
		at = time.Now()
	}
	return &coordinator.Event{
		Type: coordinator.EventFinal, TreeID: tree.ID, TaskID: tree.ID, Name: tree.Name,
		Status: tree.ExecutionStatus(), Progress: tree.Progress, TreeProgress: tree.Progress, At: at, Tree: tree,
	}
}

var errGone = errors.New("the client is gone")

// shuttingDown reports whether ctx ended because the server stops.
func shuttingDown(ctx context.Context) bool { return errors.Is(context.Cause(ctx), api.ErrShutdown) }
