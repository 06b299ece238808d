package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

const watchedTree = dag.TreeKey(7)

// stage is a store with one tree, and the bus beside it. It counts what is asked.
type stage struct {
	mu           sync.Mutex
	tree         pg.Tree
	events       []pg.TreeEvent
	err          error                  // of each look, while set
	lookups      int                    // of ids
	looks        int                    // at the tree and its events
	gate         chan struct{}          // while set, looks that have read wait for its close before they answer
	news         map[chan []byte]string // with the topic
	runningAsked int
	attempt      int32 // that runs
	feeds        *feeds
}

func newStage() *stage {
	s := &stage{tree: pg.Tree{Key: watchedTree, ID: "root", Name: "root", Tasks: 1, Unfinished: 1}, news: map[chan []byte]string{}, attempt: 1}
	s.feeds = newFeeds(s, s.subscribe, (&Coordinator{engine: &engine{log: slog.New(slog.DiscardHandler)}}).internal)
	s.feeds.spaces = &spaces{}
	return s
}

func (s *stage) KeyOf(_ context.Context, _ dag.NamespaceKey, id string) (dag.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	if id != "root" && id != "child" {
		return 0, pg.ErrNotFound
	}
	return s.tree.Key.Key(0), s.err
}

func (s *stage) Tree(_ context.Context, key dag.TreeKey) (*pg.Tree, error) {
	tree, _, err := s.look(key, 0)
	return tree, err
}

// eventsAtOnce is how many events the stage gives at a time.
const eventsAtOnce = 500

func (s *stage) Events(_ context.Context, key dag.TreeKey, after int64) (*pg.Tree, []pg.TreeEvent, error) {
	return s.look(key, after)
}

func (s *stage) look(key dag.TreeKey, after int64) (*pg.Tree, []pg.TreeEvent, error) {
	s.mu.Lock()
	s.looks++
	tree, err, gate := s.tree, s.err, s.gate
	if err == nil && key != tree.Key {
		err = pg.ErrNotFound
	}
	events := s.events[min(after, int64(len(s.events))):]
	events = slices.Clone(events[:min(len(events), eventsAtOnce)])
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return &tree, events, err
}

// holdLooks lets looks read and not answer, until release is called.
func (s *stage) holdLooks() (release func()) {
	gate := make(chan struct{})
	set := func(g chan struct{}) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gate = g
	}
	set(gate)
	return func() {
		set(nil)
		close(gate)
	}
}

func (s *stage) Labels(_ context.Context, keys []dag.Key) (map[dag.Key]pg.Label, error) {
	return map[dag.Key]pg.Label{keys[0]: {ID: "child", Name: "a child"}}, nil
}

// RunningAttempts are all of the same number.
func (s *stage) RunningAttempts(_ context.Context, keys []dag.Key) (map[dag.Key]int32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runningAsked++
	out := map[dag.Key]int32{}
	for _, k := range keys {
		out[k] = s.attempt
	}
	return out, nil
}

func (s *stage) subscribe(ctx context.Context, topic string, buffer int) (<-chan []byte, error) {
	news := make(chan []byte, buffer)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news[news] = topic
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.news, news)
		close(news)
	})
	return news, nil
}

// publish gives data to all who listen to the news of trees.
func (s *stage) publish(data []byte) { s.publishTo("tree.", data) }

// publishTo gives data to all who listen to topics that begin so.
func (s *stage) publishTo(topics string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for news, to := range s.news {
		if !strings.HasPrefix(to, topics) {
			continue
		}
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

// finish ends the execution and says so.
func (s *stage) finish() {
	s.finishUnheard()
	s.publish(nil)
}

// finishUnheard ends the execution; the news is lost.
func (s *stage) finishUnheard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree.Sequence++
	s.tree.Unfinished = 0
	s.events = append(s.events, pg.TreeEvent{Event: dag.Event{Type: dag.EventFinal}, Sequence: s.tree.Sequence})
}

// rerun begins another execution, whose news is lost.
func (s *stage) rerun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree.Unfinished, s.tree.ExecutionStart = 1, s.tree.Sequence
	s.tree.Sequence++
	s.events = append(s.events, pg.TreeEvent{Event: dag.Event{Type: dag.EventExecution}, Sequence: s.tree.Sequence})
}

// replace deletes the tree and stores another one with the same ids, whose news is lost.
func (s *stage) replace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree.Key++
	s.tree.Unfinished, s.tree.ExecutionStart, s.tree.Sequence, s.events = 1, 0, 0, nil
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
	c := &Coordinator{namespace: DefaultNamespace, engine: &engine{feeds: s.feeds, spaces: s.feeds.spaces}}
	go func() {
		for e, err := range c.Watch(ctx, id, after) {
			w.mu.Lock()
			switch {
			case err != nil:
				w.err = err
			case e.Sequence > 0:
				w.seen = append(w.seen, e.Sequence)
			case e.Message != "":
				w.said = append(w.said, e.TaskID+" "+e.Name+" "+e.Message)
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
