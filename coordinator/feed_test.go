package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

const watchedTree = dag.TreeKey(7)

// stage is a store with one tree, and the bus beside it. It counts what is asked.
type stage struct {
	mu      sync.Mutex
	tree    pg.Tree
	events  []pg.TreeEvent
	err     error // of each look, while set
	lookups int   // of ids
	looks   int   // at the tree and its events
	news    map[chan []byte]bool
	feeds   *feeds
}

func newStage() *stage {
	s := &stage{tree: pg.Tree{Key: watchedTree, ID: "root", Name: "root", Tasks: 1, Unfinished: 1}, news: map[chan []byte]bool{}}
	s.feeds = newFeeds(s, s.subscribe, func(_ string, err error) error { return err })
	return s
}

func (s *stage) KeyOf(_ context.Context, id string) (dag.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	if id != "root" && id != "child" {
		return 0, pg.ErrNotFound
	}
	return watchedTree.Key(0), s.err
}

func (s *stage) Tree(context.Context, dag.TreeKey) (*pg.Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	tree := s.tree
	return &tree, s.err
}

// eventsAtOnce is how many events the stage gives at a time.
const eventsAtOnce = 500

func (s *stage) Events(_ context.Context, _ dag.TreeKey, after int64) (*pg.Tree, []pg.TreeEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	tree := s.tree
	events := s.events[min(after, int64(len(s.events))):]
	return &tree, slices.Clone(events[:min(len(events), eventsAtOnce)]), s.err
}

func (s *stage) IDs(_ context.Context, keys []dag.Key) (map[dag.Key]string, error) {
	return map[dag.Key]string{keys[0]: "child"}, nil
}

func (s *stage) subscribe(ctx context.Context, _ string, buffer int) (<-chan []byte, error) {
	news := make(chan []byte, buffer)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news[news] = true
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.news, news)
		close(news)
	})
	return news, nil
}

// publish gives data to all who listen.
func (s *stage) publish(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for news := range s.news {
		select {
		case news <- data:
		default:
		}
	}
}

// happen stores n events and says so.
func (s *stage) happen(n int) {
	s.mu.Lock()
	for range n {
		s.tree.Sequence++
		s.events = append(s.events, pg.TreeEvent{Event: dag.Event{Type: dag.EventStart}, Sequence: s.tree.Sequence})
	}
	s.mu.Unlock()
	s.publish(nil)
}

// finish ends the execution.
func (s *stage) finish() {
	s.mu.Lock()
	s.tree.Sequence++
	s.tree.Unfinished = 0
	s.events = append(s.events, pg.TreeEvent{Event: dag.Event{Type: dag.EventFinal}, Sequence: s.tree.Sequence})
	s.mu.Unlock()
	s.publish(nil)
}

func (s *stage) fail(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
}

func (s *stage) asked() (lookups, looks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lookups, s.looks
}

// seat is one watcher and what it has seen.
type seat struct {
	mu     sync.Mutex
	seen   []int64
	said   []string
	err    error
	done   bool
	cancel context.CancelFunc
}

// watch watches the tree; hold, if given, is called with each event and may block.
func (s *stage) watch(t *testing.T, id string, after int64, hold func(*Event)) *seat {
	ctx, cancel := context.WithCancel(t.Context())
	w := &seat{cancel: cancel}
	c := &Coordinator{feeds: s.feeds}
	go func() {
		for e, err := range c.Watch(ctx, id, after) {
			w.mu.Lock()
			switch {
			case err != nil:
				w.err = err
			case e.Sequence > 0:
				w.seen = append(w.seen, e.Sequence)
			case e.Message != "":
				w.said = append(w.said, e.TaskID+" "+e.Message)
			}
			w.mu.Unlock()
			if hold != nil && err == nil {
				hold(e)
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.done = true
	}()
	return w
}

// want checks that the watcher has seen the sequences from the first to the last, each once and in order.
func (w *seat) want(t *testing.T, first, last int64) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	ok := int64(len(w.seen)) == last-first+1
	for i := range w.seen {
		ok = ok && w.seen[i] == first+int64(i)
	}
	if !ok {
		t.Errorf("got %s, want %d to %d", spans(w.seen), first, last)
	}
}

// spans shows sequences in short.
func spans(all []int64) (out string) {
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		out += fmt.Sprintf("[%d to %d]", all[i], all[j])
		i = j + 1
	}
	return out + fmt.Sprintf(", %d events", len(all))
}

// empty checks that nothing is left of any feed.
func (s *stage) empty(t *testing.T) {
	t.Helper()
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.feeds.trees) != 0 || len(s.feeds.ids) != 0 || len(s.news) != 0 {
		t.Errorf("left: %d feeds, %d ids, %d subscriptions", len(s.feeds.trees), len(s.feeds.ids), len(s.news))
	}
}

// The bubble of each test fails it when a goroutine is left.

func TestAThousandWatchersAskNoMoreThanOne(t *testing.T) {
	count := func(watchers int) (lookups, looks int) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage()
			var seats []*seat
			for range watchers {
				seats = append(seats, s.watch(t, "root", 0, nil))
			}
			synctest.Wait()
			for range 20 {
				before, was := s.asked()
				s.happen(3)
				synctest.Wait()
				if now, is := s.asked(); now != before || is != was+1 {
					t.Errorf("%d watchers: a wake-up took %d look-ups and %d looks, want one look", watchers, now-before, is-was)
				}
			}
			s.finish()
			synctest.Wait()
			for _, w := range seats {
				w.want(t, 1, 61)
				if !w.done || w.err != nil {
					t.Fatalf("a watcher did not end with the execution: %v", w.err)
				}
			}
			s.empty(t)
			lookups, looks = s.asked()
		})
		return lookups, looks
	}
	oneLookups, oneLooks := count(1)
	lookups, looks := count(1000)
	if lookups > oneLookups || looks > oneLooks {
		t.Errorf("1000 watchers took %d look-ups and %d looks, one %d and %d", lookups, looks, oneLookups, oneLooks)
	}
}

func TestALateWatcherMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.happen(10)
		early := s.watch(t, "root", 0, nil)
		synctest.Wait()
		for range 20 {
			s.happen(eventsAtOnce) // so that the window has lost the first ones
			synctest.Wait()
		}
		at := s.tree.Sequence
		afters := []int64{0, 3, at - windowEvents - 700, at - windowEvents, at - 1, at, at + 2}
		var late []*seat
		for i, after := range afters {
			late = append(late, s.watch(t, []string{"root", "child"}[i%2], after, nil))
		}
		s.happen(1) // while they come
		synctest.Wait()
		s.happen(5)
		s.finish()
		synctest.Wait()
		early.want(t, 1, at+7)
		for i, after := range afters {
			late[i].want(t, after+1, at+7)
		}
		s.empty(t)
	})
}

// A watcher that takes nothing holds up nobody for long, makes nothing grow, and gets all when it goes on.
func TestASlowWatcherIsCutLoose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		release := make(chan struct{})
		slow := s.watch(t, "root", 0, func(*Event) { <-release })
		quick := s.watch(t, "root", 0, nil)
		synctest.Wait()
		began := time.Now()
		const n = 40 * eventsAtOnce
		s.happen(n)
		time.Sleep(n / windowEvents * slowWatcher)
		synctest.Wait()
		quick.want(t, 1, n)
		if took := time.Since(began); took > time.Minute {
			t.Errorf("the quick one took %s", took)
		}
		f := s.feeds.ids["root"]
		f.mu.Lock()
		if len(f.window) > windowEvents+eventsAtOnce || len(f.attached) != 1 {
			t.Errorf("the window has %d events, and %d watchers are attached", len(f.window), len(f.attached))
		}
		f.mu.Unlock()
		close(release)
		synctest.Wait()
		slow.want(t, 1, n)
		s.happen(1)
		synctest.Wait()
		slow.want(t, 1, n+1)
		slow.cancel()
		quick.cancel()
		synctest.Wait()
		s.empty(t)
	})
}

// Watchers learn at once that events can't be read, and go on where they were when they can be.
func TestWatchersOutliveTheStoresAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var seats []*seat
		for range 50 {
			seats = append(seats, s.watch(t, "root", 0, nil))
		}
		synctest.Wait()
		s.happen(5)
		synctest.Wait()
		away := errors.New("away")
		s.fail(away)
		_, before := s.asked()
		time.Sleep(watchFallback) // a look without news notices, too
		synctest.Wait()
		if _, looks := s.asked(); looks != before+1 {
			t.Errorf("noticing took %d looks, want one", looks-before)
		}
		for i, w := range seats {
			if !w.done || !errors.Is(w.err, away) {
				t.Fatalf("got done %t, %v", w.done, w.err)
			}
			w.want(t, 1, 5)
			seats[i] = s.watch(t, "root", 5, nil)
		}
		synctest.Wait()
		for _, w := range seats {
			if !w.done || !errors.Is(w.err, away) {
				t.Fatalf("while it is away: got done %t, %v", w.done, w.err)
			}
		}
		s.empty(t)
		s.fail(nil)
		s.happen(2)
		for i := range seats {
			seats[i] = s.watch(t, "root", 5, nil)
		}
		synctest.Wait()
		s.finish()
		synctest.Wait()
		for _, w := range seats {
			w.want(t, 6, 8)
		}
		s.empty(t)
	})
}

func TestWatchersHearWhatExecutorsReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		one, other := s.watch(t, "root", 0, nil), s.watch(t, "root", 0, nil)
		synctest.Wait()
		data, err := proto.Marshal(&workerv1.Progress{Fraction: 0.5, Message: "half", Attempt: &workerv1.Attempt{Number: 1}})
		if err != nil {
			t.Fatal(err)
		}
		s.publish(data)
		synctest.Wait()
		late := s.watch(t, "root", 0, nil)
		synctest.Wait()
		for w, want := range map[*seat]string{one: "[child half]", other: "[child half]", late: "[]"} {
			if got := fmt.Sprint(w.said); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			w.cancel()
		}
		synctest.Wait()
		s.empty(t)
	})
}

// A watch outlives the end of an execution that was followed by another before it was read.
func TestAWatchGoesOnWithTheNextExecution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.happen(2)
		s.finish()
		s.tree.Unfinished, s.tree.ExecutionStart = 1, 3
		s.happen(1)
		whole, current := s.watch(t, "root", 1, nil), s.watch(t, "root", 0, nil)
		synctest.Wait()
		s.finish()
		synctest.Wait()
		whole.want(t, 2, 5)
		current.want(t, 4, 5)
		s.empty(t)
	})
}

func TestAnUnknownTaskIsNotWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		w := s.watch(t, "nope", 0, nil)
		synctest.Wait()
		if !errors.Is(w.err, pg.ErrNotFound) {
			t.Errorf("got %v", w.err)
		}
		s.empty(t)
	})
}
