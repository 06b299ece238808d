package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// What attempts tell live goes from their worker through any coordinator to the feeds of those who watch the tree, and is stored nowhere.
// Workers keep to bounds of their own; these here hold for workers that don't.

// Piece is a part of what a model says, or what an agent does.
type Piece struct {
	Kind  string // token, tool_call, tool_result, model_call; dropped: Text says how many bytes are missing here
	Agent string // who speaks, if the task has several agents
	Name  string // of the tool or the model
	Text  string
}

// pieceKinds are the kinds that are passed on.
var pieceKinds = []string{"token", "tool_call", "tool_result", "model_call", "dropped"}

const (
	livePieces = 1024     // in one message
	liveBytes  = 32 << 10 // of text and names in one message
	pieceName  = 256      // bytes of a name
	liveRate   = 2 << 20  // bytes that a worker may tell in a second, all its attempts together; twice that at once
	liveKept   = 4096     // workers whose rate is known
)

func liveTopic(t dag.TreeKey) string { return fmt.Sprintf("live.%d", t) }

// checkedLive is what may be passed on of what a worker sent; nil: nothing.
func (c *Coordinator) checkedLive(m *workerv1.Live) *workerv1.Live {
	if !c.tokens.Valid(dag.Key(m.GetAttempt().GetTask()), int32(m.GetAttempt().GetNumber()), m.GetToken()) {
		return nil
	}
	out := &workerv1.Live{Attempt: m.Attempt, Number: m.Number}
	if m.Fraction >= 0 && m.Fraction <= 1 {
		out.Fraction = m.Fraction
	}
	bytes := 0
	for _, p := range m.Pieces {
		bytes += len(p.GetText()) + len(p.GetAgent()) + len(p.GetName())
		if len(out.Pieces) == livePieces || bytes > liveBytes {
			break
		}
		if slices.Contains(pieceKinds, p.GetKind()) && len(p.Agent) <= pieceName && len(p.Name) <= pieceName {
			out.Pieces = append(out.Pieces, p)
		}
	}
	if len(out.Pieces) == 0 {
		return nil
	}
	return out
}

// announceLive passes on what an attempt tells. NATS drops it where nobody watches the tree.
func (c *Coordinator) announceLive(worker string, told []*workerv1.Live) {
	for _, m := range told {
		data, err := proto.Marshal(m)
		if err != nil || !c.live.allows(worker, len(data), time.Now()) {
			continue
		}
		_ = c.queue.PublishEvent(liveTopic(dag.Key(m.Attempt.Task).Tree()), data) // at most once
	}
}

// liveLimits bounds how much each worker tells.
type liveLimits struct {
	mu      sync.Mutex
	workers map[string]liveLimit
}

type liveLimit struct {
	left float64 // bytes
	at   time.Time
}

// allows says whether a worker may tell so many bytes, and counts them if so.
func (l *liveLimits) allows(worker string, bytes int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, known := l.workers[worker]
	if !known {
		if len(l.workers) >= liveKept {
			clear(l.workers)
		}
		if l.workers == nil {
			l.workers = map[string]liveLimit{}
		}
		w = liveLimit{2 * liveRate, now}
	}
	w.left, w.at = min(2*liveRate, w.left+now.Sub(w.at).Seconds()*liveRate), now
	allowed := w.left >= float64(bytes)
	if allowed {
		w.left -= float64(bytes)
	}
	l.workers[worker] = w
	return allowed
}

// speakers are the attempts of a tree that tell something: which of them run, and what came too early. Their feed owns them.
type speakers struct {
	known map[dag.Key]*speaker
	held  int // messages that wait for one before them
}

// speaker is a task whose attempt tells something.
type speaker struct {
	label   pg.Label
	attempt int32     // that runs; 0: none does
	until   time.Time // of one that does not run: when to look again
	next    uint64    // number of the message that comes next
	early   []*workerv1.Live
	since   time.Time // of the first in early
}

const (
	maxSpeakers = 1024
	// earlyMost and earlyFor are how many messages wait, and how long, for one before them that comes by another coordinator.
	earlyMost = 8
	earlyFor  = 100 * time.Millisecond
	// quietFor is how long a task that does not run is not looked at again.
	quietFor = time.Second
)

// unknown are the tasks of messages that have to be looked up.
func (s *speakers) unknown(told []*workerv1.Live, now time.Time) []dag.Key {
	var keys []dag.Key
	for _, m := range told {
		k, n := dag.Key(m.GetAttempt().GetTask()), int32(m.GetAttempt().GetNumber())
		sp := s.known[k]
		if (sp == nil || sp.attempt != n && now.After(sp.until)) && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// learn takes what was found about tasks.
func (s *speakers) learn(keys []dag.Key, labels map[dag.Key]pg.Label, running map[dag.Key]int32, now time.Time) {
	if s.known == nil {
		s.known = map[dag.Key]*speaker{}
	}
	for _, k := range keys {
		if len(s.known) >= maxSpeakers {
			clear(s.known)
			s.held = 0
		}
		if old := s.known[k]; old != nil {
			s.held -= len(old.early)
		}
		s.known[k] = &speaker{label: labels[k], attempt: running[k], until: now.Add(quietFor)}
	}
}

// ended forgets attempts that events say have ended.
func (s *speakers) ended(events []*Event) {
	if len(s.known) == 0 {
		return
	}
	for _, e := range events {
		switch e.Type {
		case EventCompleted, EventFailed, EventCancelled, EventRetry, EventFinal:
		default:
			continue
		}
		for k, sp := range s.known {
			if sp.label.ID == e.TaskID || e.Type == EventFinal {
				s.held -= len(sp.early)
				delete(s.known, k)
			}
		}
	}
}

// order gives, of each attempt that runs, what comes next; what comes too early waits a little, and what comes too late is dropped.
func (s *speakers) order(told []*workerv1.Live, now time.Time) (ready []*workerv1.Live) {
	for _, m := range told {
		sp := s.known[dag.Key(m.GetAttempt().GetTask())]
		if sp == nil || sp.attempt != int32(m.GetAttempt().GetNumber()) || sp.next != 0 && m.Number < sp.next {
			continue
		}
		if sp.next == 0 || m.Number == sp.next {
			sp.next = m.Number + 1
			ready = append(ready, m)
			ready = append(ready, s.release(sp, false)...)
			continue
		}
		if len(sp.early) == 0 {
			sp.since = now
		}
		sp.early = append(sp.early, m)
		s.held++
		if len(sp.early) > earlyMost {
			ready = append(ready, s.release(sp, true)...)
		}
	}
	return append(ready, s.overdue(now)...)
}

// release gives what is next of what came early; all: gaps or not.
func (s *speakers) release(sp *speaker, all bool) (ready []*workerv1.Live) {
	slices.SortStableFunc(sp.early, func(a, b *workerv1.Live) int { return cmp.Compare(a.Number, b.Number) })
	for len(sp.early) > 0 && (all || sp.early[0].Number <= sp.next) {
		m := sp.early[0]
		sp.early = sp.early[1:]
		s.held--
		if m.Number >= sp.next {
			sp.next = m.Number + 1
			ready = append(ready, m)
		}
	}
	return ready
}

// overdue gives what has waited long enough.
func (s *speakers) overdue(now time.Time) (ready []*workerv1.Live) {
	if s.held == 0 {
		return nil
	}
	for _, sp := range s.known {
		if len(sp.early) > 0 && now.Sub(sp.since) >= earlyFor {
			ready = append(ready, s.release(sp, true)...)
		}
	}
	return ready
}

// liveWaiting is how many messages wait for a feed; more are dropped.
const liveWaiting = 256

// drainLive reads what has come.
func drainLive(data []byte, live <-chan []byte) (told []*workerv1.Live) {
	for ok := true; ok; {
		m := &workerv1.Live{}
		if len(data) > 0 && proto.Unmarshal(data, m) == nil && m.Attempt != nil {
			told = append(told, m)
		}
		select {
		case data, ok = <-live: // its end is seen by the next read
		default:
			return told
		}
	}
	return told
}

// tell passes on what attempts tell live, at most once, and nothing of an attempt whose end was told.
func (f *feed) tell(ctx context.Context, told []*workerv1.Live) {
	now := time.Now()
	if keys := f.speakers.unknown(told, now); len(keys) > 0 {
		running, err := f.feeds.store.RunningAttempts(ctx, keys)
		if err != nil {
			return // the next look at the events says so, too
		}
		labels, err := f.feeds.store.Labels(ctx, keys)
		if err != nil {
			return
		}
		f.speakers.learn(keys, labels, running, now)
		if _, err := f.catchUp(ctx); err != nil { // their beginning is told first, and their end is known if they had it
			return
		}
	}
	ready := f.speakers.order(told, now)
	if len(ready) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	events := make([]*Event, len(ready))
	for i, m := range ready {
		k := dag.Key(m.Attempt.Task)
		l := f.speakers.known[k].label
		events[i] = &Event{Type: EventProgress, TreeID: f.status.ID, TaskID: l.ID, Name: l.Name, Status: dag.StatusInProgress,
			Attempt: int(m.Attempt.Number), Progress: m.Fraction, TreeProgress: f.status.Progress, Pieces: showPieces(m.Pieces), At: now}
	}
	f.add(events)
	f.announce()
}

func showPieces(pieces []*workerv1.Piece) []Piece {
	out := make([]Piece, len(pieces))
	for i, p := range pieces {
		out[i] = Piece{p.Kind, p.Agent, p.Name, p.Text}
	}
	return out
}

// size is how many bytes an event keeps in a window, beside what all events have.
func (e *Event) size() (n int) {
	n = len(e.Result)
	for _, p := range e.Pieces {
		n += len(p.Text) + len(p.Agent) + len(p.Name) + 64
	}
	return n
}
