package coordinator

import (
	"context"
	"errors"
	"iter"
)

// Watcher follows what happens. Each iterator ends after the first error that it yields.
type Watcher interface {
	// Watch yields the events of the current execution after the sequence given (0: from its start) and ends after
	// the final one, with ctx, or with an error. It misses nothing that is still stored. A tree that has never been executed
	// is watched until it has.
	Watch(ctx context.Context, id string, after int64) iter.Seq2[*Event, error]
	// Logs yields what the executors of a task, or of all tasks of a tree, wrote. An attempt that has not begun is an
	// [*InvalidArgumentError].
	Logs(ctx context.Context, f LogFilter) iter.Seq2[*LogLine, error]
}

func (g *guarded) Watch(ctx context.Context, id string, after int64) iter.Seq2[*Event, error] {
	return follow(ctx, g, Call{Method: "Watch", ID: id}, func() iter.Seq2[*Event, error] { return g.next.Watch(ctx, id, after) })
}

func (g *guarded) Logs(ctx context.Context, f LogFilter) iter.Seq2[*LogLine, error] {
	return follow(ctx, g, Call{Method: "Logs", ID: f.TaskID}, func() iter.Seq2[*LogLine, error] { return g.next.Logs(ctx, f) })
}

// Watch yields the events of a tree; see [Watcher]. Watchers of one tree share its [feed], and what they get: an event
// must not be changed.
func (c *Coordinator) Watch(ctx context.Context, id string, after int64) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		err := c.watch(ctx, id, after, func(e *Event) bool { return yield(e, nil) })
		if err != nil && !errors.Is(err, errLeft) {
			yield(nil, err)
		}
	}
}

// errLeft says that a watcher wants no more.
var errLeft = errors.New("the watcher has left")

func (c *Coordinator) watch(ctx context.Context, id string, after int64, yield func(*Event) bool) error {
	if !text(id) {
		return ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return err
	}
	f, start, err := c.feeds.join(ctx, here, id, after)
	if err != nil {
		return err
	}
	defer c.feeds.leave(f)
	if after == 0 {
		after = start
	}
	w := &watcher{feed: f, after: after, yield: yield}
	defer f.leave(w)
	return w.run(ctx)
}

// watcher is one reader of a feed's window. What the window has no more, or never had, it reads from the store by itself,
// at its own pace.
type watcher struct {
	feed     *feed
	after    int64   // sequence of the last event told
	next     int64   // place of the next entry in the window, while attached; guarded by feed.mu
	progress float64 // of the tree, as last told
	yield    func(*Event) bool
}

// run tells all until the final event (nil), or until the feed or ctx ends (their error), or the watcher leaves (errLeft).
func (w *watcher) run(ctx context.Context) error {
	for {
		var err error
		look := w.feed.look(w)
		switch {
		case look.missing:
			err = w.catchUp(ctx)
		case len(look.events) > 0:
			err = w.tell(look.events)
		case look.ended:
			return look.err
		default:
			err = w.idle(ctx, look)
		}
		if err != nil {
			return err
		}
	}
}

func (w *watcher) tell(events []*Event) error {
	for _, e := range events {
		if e.Sequence > 0 {
			if e.Sequence <= w.after { // the store has told it
				continue
			}
			w.after = e.Sequence
		}
		if !w.yield(e) {
			return errLeft
		}
	}
	return nil
}

// catchUp tells what the store has and the window has no more.
func (w *watcher) catchUp(ctx context.Context) error {
	tree, events, err := w.feed.feeds.store.Events(ctx, w.feed.tree, w.after)
	if err != nil {
		return w.feed.feeds.internal("read events", err)
	}
	if len(events) == 0 { // nor has the store: go on where the window begins
		w.after = max(w.after, w.feed.begins())
	}
	return w.tell(showEvents(w.feed.feeds.show(tree), events))
}

// idle tells how far the tree has come, if that is news, and waits for more.
func (w *watcher) idle(ctx context.Context, look glance) error {
	if look.tree.Progress != w.progress {
		w.progress = look.tree.Progress
		if !w.yield(treeProgress(look.tree)) {
			return errLeft
		}
	}
	select {
	case <-look.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// glance is what a watcher sees of a feed at one moment.
type glance struct {
	missing bool     // what comes next is not in the window any more
	events  []*Event // what comes next, atOnce of them at most
	tree    *TreeStatus
	changed <-chan struct{} // closed when there is more to see
	ended   bool            // there will be no more
	err     error           // why it ended
}

// atOnce is how many events a watcher takes out of the window at a time: no more are kept for one that does nothing.
const atOnce = 64
