package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// feed is the one reader of a tree's events for all who watch the tree. It holds a window of the last events; a watcher
// is a place in the window. So one look at the store serves any number of watchers, and none of them can make a feed grow:
// one that is too slow for the window is not waited for longer than [slowWatcher], and then reads from the store by
// itself until it has come up to the window again.
//
// It begins with its first watcher and ends with the last, with the execution, or with an error.
type feed struct {
	feeds *feeds
	tree  dag.TreeKey
	stop  context.CancelFunc // of run
	done  chan struct{}      // closed when run has returned

	begun atomic.Int64  // looks at the store that have begun, each with its number from 1
	ask   chan struct{} // capacity 1: a watcher waits for a look that has not begun

	live     <-chan []byte // what attempts tell; as speakers, of run
	speakers speakers

	watchers int       // guarded by feeds.mu
	ids      []watched // guarded by feeds.mu: of feeds.ids, those that lead here

	mu       sync.Mutex
	status   *TreeStatus // nil: not read yet
	start    int64       // the last sequence before the current execution
	looked   int64       // number of the last look that has ended; status and start are what it found
	window   []entry     // in the order of their sequences
	base     int64       // place of the first entry
	first    int64       // the last sequence that is not in the window any more
	position int64       // sequence of the last event read
	bytes    int         // of the window's events
	changed  chan struct{}
	ended    bool
	err      error // why it ended; nil: the execution did
	attached map[*watcher]bool
	behind   int           // attached watchers that have not seen all of the window
	caughtUp chan struct{} // capacity 1: behind may have become 0
}

// entry is an event in the window. The sequence of one that has none is that of the event before it.
type entry struct {
	sequence int64
	event    *Event
}

const (
	// windowEvents and windowBytes bound a feed's window, but for what one look has found.
	windowEvents = 2048
	windowBytes  = 4 << 20
	// slowWatcher is how long a full window waits for watchers that have not seen all of it.
	slowWatcher = 100 * time.Millisecond
	// watchFallback is how late an event may be whose news was lost.
	watchFallback = 2 * time.Second
)

func newFeed(fs *feeds, tree dag.TreeKey) *feed {
	return &feed{feeds: fs, tree: tree, done: make(chan struct{}), ask: make(chan struct{}, 1),
		changed: make(chan struct{}), caughtUp: make(chan struct{}, 1), attached: map[*watcher]bool{}}
}

// run reads until the execution has ended, or ctx, or something fails.
func (f *feed) run(ctx context.Context, after int64) {
	defer close(f.done)
	err := f.read(ctx, after)
	if err != nil && ctx.Err() == nil {
		err = f.feeds.internal("read events", err)
	}
	f.feeds.retire(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.err = true, err
	f.announce()
}

func (f *feed) read(ctx context.Context, after int64) error {
	news, err := f.feeds.subscribe(ctx, topic(f.tree), 64) // before the first look, so that nothing falls between
	if err != nil {
		return unavailable(err)
	}
	if f.live, err = f.feeds.subscribe(ctx, liveTopic(f.tree), liveWaiting); err != nil {
		return unavailable(err)
	}
	if err := f.begin(ctx, after); err != nil {
		return err
	}
	for {
		if over, err := f.catchUp(ctx); over || err != nil {
			return err
		}
		f.tell(ctx)
		reports, err := f.listen(ctx, news)
		if err != nil {
			return err
		}
		f.report(ctx, reports)
	}
}

// begin finds where to begin: after the sequence given or, for 0, with the current execution.
func (f *feed) begin(ctx context.Context, after int64) error {
	tree, err := f.feeds.store.Tree(ctx, f.tree)
	if err != nil {
		return err
	}
	if after == 0 {
		after = tree.ExecutionStart
	}
	after = min(after, tree.Sequence) // who asks for more has to wait, and others have not
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first, f.position = after, after
	return nil
}

// catchUp takes all that is stored into the window. over: the execution has ended, and all of it was read.
func (f *feed) catchUp(ctx context.Context) (over bool, err error) {
	for {
		if err := f.waitForSlow(ctx); err != nil {
			return false, err
		}
		select { // who asked before this look begins is served by it
		case <-f.ask:
		default:
		}
		f.begun.Add(1)
		if _, err := f.identify(ctx); err != nil { // so that what was told before an end comes before it
			return false, err
		}
		tree, events, err := f.feeds.store.Events(ctx, f.tree, f.position)
		if err != nil {
			return false, err
		}
		f.extend(tree, events)
		if f.position >= tree.Sequence || len(events) == 0 {
			final := len(events) > 0 && events[len(events)-1].Type == dag.EventFinal
			begun := tree.Sequence > 0 // a held tree has an execution before it
			return f.position >= tree.Sequence && begun && (final || tree.Unfinished == 0), nil
		}
	}
}

// waitForSlow gives watchers that have not seen all of a full window a little time, and then up on them.
func (f *feed) waitForSlow(ctx context.Context) error {
	timer := time.NewTimer(slowWatcher)
	defer timer.Stop()
	for {
		f.mu.Lock()
		full, behind := len(f.window) >= windowEvents || f.bytes >= windowBytes, f.behind
		f.mu.Unlock()
		if !full || behind == 0 {
			return nil
		}
		select {
		case <-f.caughtUp:
		case <-timer.C:
			f.mu.Lock()
			defer f.mu.Unlock()
			f.cutLoose(f.base + int64(len(f.window)))
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// extend adds what a look at the store has found, and lets go of what the window can't hold besides.
func (f *feed) extend(tree *pg.Tree, events []pg.TreeEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.start, f.looked = f.feeds.show(tree), tree.ExecutionStart, f.begun.Load()
	f.hear(nil)
	f.add(f.speakers.weave(showEvents(f.status, events), time.Now(), f.showLive))
	f.announce()
}

// report passes on what executors have said. It is told at most once.
func (f *feed) report(ctx context.Context, reports []*workerv1.Progress) {
	if len(reports) == 0 {
		return
	}
	keys := make([]dag.Key, len(reports))
	for i, p := range reports {
		keys[i] = dag.Key(p.GetAttempt().GetTask())
	}
	labels, err := f.feeds.store.Labels(ctx, keys)
	if err != nil {
		return // the next look at the events says so, too
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	events := make([]*Event, len(reports))
	for i, p := range reports {
		l := labels[keys[i]]
		events[i] = &Event{Type: EventProgress, TreeID: f.status.ID, TaskID: l.ID, Name: l.Name, Status: dag.StatusInProgress,
			Attempt: int(p.GetAttempt().GetNumber()), Progress: p.Fraction, TreeProgress: f.status.Progress, Message: p.Message, At: time.Now()}
	}
	f.add(events)
	f.announce()
}

// add is for who holds mu, as are the next two.
func (f *feed) add(events []*Event) {
	if len(events) == 0 {
		return
	}
	before := len(f.window)
	for _, e := range events {
		if e.Sequence > 0 {
			f.position = e.Sequence
		}
		f.window = append(f.window, entry{f.position, e})
		f.bytes += e.size()
	}
	f.behind = len(f.attached)
	n := 0
	for ; n < before && (len(f.window)-n > windowEvents || f.bytes > windowBytes); n++ {
		f.first = f.window[n].sequence
		f.bytes -= f.window[n].event.size()
	}
	if n > 0 {
		f.window, f.base = slices.Clone(f.window[n:]), f.base+int64(n)
		f.cutLoose(f.base)
	}
}

// announce wakes all who wait.
func (f *feed) announce() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// cutLoose detaches the watchers whose next entry is before a place: they are not waited for, and look after themselves.
func (f *feed) cutLoose(place int64) {
	for w := range f.attached {
		if w.next < place {
			f.detach(w)
		}
	}
}

// detach is for who holds mu.
func (f *feed) detach(w *watcher) {
	if !f.attached[w] {
		return
	}
	delete(f.attached, w)
	if w.next < f.base+int64(len(f.window)) {
		f.seen()
	}
}

// seen notes that one watcher less is behind. The caller holds mu.
func (f *feed) seen() {
	if f.behind--; f.behind == 0 {
		wake(f.caughtUp)
	}
}

// look gives a watcher what comes next for it, and attaches it if the window has that.
func (f *feed) look(w *watcher) glance {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := f.base + int64(len(f.window))
	if !f.attached[w] {
		if w.after < f.first {
			return glance{missing: true}
		}
		w.next = f.base + int64(sort.Search(len(f.window), func(i int) bool { return f.window[i].sequence > w.after }))
		f.attached[w] = true
		if w.next < end {
			f.behind++
		}
	}
	from := int(w.next - f.base)
	entries := f.window[from:min(from+atOnce, len(f.window))]
	if len(entries) == 0 {
		return glance{tree: f.status, changed: f.changed, ended: f.ended, err: f.err}
	}
	w.next += int64(len(entries))
	if w.next == end {
		f.seen()
	}
	events := make([]*Event, len(entries))
	for i, e := range entries {
		events[i] = e.event
	}
	return glance{events: events}
}

// errRetired says that a feed ended with the execution before it had the look that a watcher waits for: the tree may have
// begun another one since.
var errRetired = fmt.Errorf("%w: the tree's executions end faster than they can be watched", ErrUnavailable)

// request asks for a look that begins after the call, and gives its number.
func (f *feed) request() int64 {
	number := f.begun.Load() + 1
	wake(f.ask)
	return number
}

// fresh waits until the look of a number has ended, and gives the last sequence before the current execution. [errRetired].
// One look serves all that wait for it.
func (f *feed) fresh(ctx context.Context, number int64) (start int64, err error) {
	for {
		f.mu.Lock()
		looked, start, ended, err, changed := f.looked, f.start, f.ended, f.err, f.changed
		f.mu.Unlock()
		switch {
		case looked >= number:
			return start, nil
		case ended:
			return 0, cmp.Or(err, errRetired)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// leave is what a watcher does last.
func (f *feed) leave(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.detach(w)
}

// begins is the last sequence that is not in the window any more.
func (f *feed) begins() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first
}
