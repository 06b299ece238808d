package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/attemptkey"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// feeds are the trees that are watched in this process.
type feeds struct {
	store     eventStore
	subscribe subscribe
	internal  func(what string, err error) error                       // see [Coordinator.internal]
	lookups   singleflight.Group                                       // of ids
	key       func(a *workerv1.Attempt, sealed []byte) *attemptkey.Key // see [Coordinator.openKey]; nil: nothing is sealed
	spaces    *spaces                                                  // set before the first watcher

	mu    sync.Mutex
	trees map[dag.TreeKey]*feed
	ids   map[watched]*feed // the ids that feeds are asked for by, so that another watcher need not look them up
}

// eventStore is what feeds read.
type eventStore interface {
	KeyOf(ctx context.Context, namespace dag.NamespaceKey, id string) (dag.Key, error)
	Tree(ctx context.Context, tree dag.TreeKey) (*pg.Tree, error)
	Events(ctx context.Context, tree dag.TreeKey, after int64) (*pg.Tree, []pg.TreeEvent, error)
	Labels(ctx context.Context, keys []dag.Key) (map[dag.Key]pg.Label, error)
	RunningAttempts(ctx context.Context, keys []dag.Key) (map[dag.Key]int32, error)
}

// subscribe gives the news about a topic, as the queue does.
type subscribe func(ctx context.Context, topic string, buffer int) (<-chan []byte, error)

func newFeeds(store eventStore, sub subscribe, internal func(string, error) error) *feeds {
	return &feeds{store: store, subscribe: sub, internal: internal, trees: map[dag.TreeKey]*feed{}, ids: map[watched]*feed{}}
}

// watched is a task by whose id a feed is asked for.
type watched struct {
	namespace dag.NamespaceKey
	id        string
}

// show is a tree as shown.
func (fs *feeds) show(t *pg.Tree) *TreeStatus {
	return showTree(t, fs.spaces.name(context.Background(), t.Namespace)) // the store bounds it
}

// openKey is what opens an envelope of an attempt.
func (fs *feeds) openKey(a *workerv1.Attempt, sealed []byte) *attemptkey.Key {
	if fs.key == nil || len(sealed) == 0 {
		return nil
	}
	return fs.key(a, sealed)
}

// maxFeedIDs is how many ids of its tasks a feed is found by; by others, the tree is looked up.
const maxFeedIDs = 16

// maxJoins is how many feeds a watcher tries that end before they serve it.
const maxJoins = 8

// join gives the feed of the tree of a namespace's task once it has looked at the store since the call, and the last sequence before the
// execution that it found. So a watcher that comes after a re-run never sees the execution before, nor one that comes after
// an id was stored anew the tree that had it. The feed begins to read after the sequence given if this is its first
// watcher. Each join needs a leave, unless it fails.
func (fs *feeds) join(ctx context.Context, namespace dag.NamespaceKey, id string, after int64) (f *feed, start int64, err error) {
	for tries := 1; ; tries++ {
		f, look, err := fs.enter(ctx, watched{namespace, id}, after)
		if err != nil {
			return nil, 0, fs.internal("watch a tree", err)
		}
		if start, err = f.fresh(ctx, look); err == nil {
			return f, start, nil
		}
		fs.leave(f)
		outlived := errors.Is(err, errRetired) || errors.Is(err, ErrNotFound) // the id may lead to another feed
		if !outlived || tries == maxJoins {
			return nil, 0, err
		}
	}
}

// enter makes a watcher one of a feed's, and gives the number of the feed's first look that begins after the call.
func (fs *feeds) enter(ctx context.Context, what watched, after int64) (f *feed, look int64, err error) {
	fs.mu.Lock()
	f = fs.ids[what]
	if f != nil {
		f.watchers++
	}
	fs.mu.Unlock()
	if f != nil {
		return f, f.request(), nil
	}
	k, err, _ := fs.lookups.Do(fmt.Sprintf("%d %s", what.namespace, what.id), func() (any, error) {
		return fs.store.KeyOf(context.WithoutCancel(ctx), what.namespace, what.id) // others wait for it too; the store bounds it
	})
	if err != nil {
		return nil, 0, err
	}
	tree := k.(dag.Key).Tree()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f = fs.trees[tree]; f != nil {
		look = f.request()
	} else {
		f, look = fs.begin(ctx, tree, after), 1
	}
	f.watchers++
	if len(f.ids) < maxFeedIDs && fs.ids[what] == nil {
		f.ids = append(f.ids, what)
		fs.ids[what] = f
	}
	return f, look, nil
}

// begin starts a tree's feed. The caller holds mu.
func (fs *feeds) begin(ctx context.Context, tree dag.TreeKey, after int64) *feed {
	f := newFeed(fs, tree)
	fs.trees[tree] = f
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	go f.run(reading, after) // the last watcher waits for its end, see leave
	return f
}

// leave ends the feed with its last watcher.
func (fs *feeds) leave(f *feed) {
	fs.mu.Lock()
	f.watchers--
	last := f.watchers == 0
	if last {
		fs.forget(f)
	}
	fs.mu.Unlock()
	if last {
		f.stop()
		<-f.done
	}
}

// count is how many watchers there are, and of how many trees.
func (fs *feeds) count() (watchers, trees int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.trees {
		watchers += f.watchers
	}
	return watchers, len(fs.trees)
}

// retire keeps a feed that has ended from new watchers; those that it has go on with what it holds.
func (fs *feeds) retire(f *feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.forget(f)
}

// forget is for who holds mu.
func (fs *feeds) forget(f *feed) {
	if fs.trees[f.tree] == f {
		delete(fs.trees, f.tree)
	}
	for _, id := range f.ids {
		if fs.ids[id] == f {
			delete(fs.ids, id)
		}
	}
	f.ids = nil
}
