package coordinator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/envelope"
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
func (c *Coordinator) checkedLive(ctx context.Context, m *workerv1.Live) *workerv1.Live {
	k, n := dag.Key(m.GetAttempt().GetTask()), int32(m.GetAttempt().GetNumber())
	if !c.proves(ctx, k, n, m.GetToken()) || envelope.OpenLive(c.attemptKey(k, n, m.Token), m) != nil {
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
		k := dag.Key(m.Attempt.Task)
		if key := c.newsKey(k, int32(m.Attempt.Number)); key != nil {
			if envelope.SealLive(key, m) != nil {
				continue
			}
		}
		data, err := proto.Marshal(m)
		if err != nil || !c.live.allows(worker, len(data), time.Now()) {
			continue
		}
		_ = c.queue.PublishEvent(liveTopic(k.Tree()), data) // at most once
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

// liveWaiting is how many messages wait for a feed; more are dropped.
const liveWaiting = 256

// hear keeps a message until it is passed on, and all that have come after it.
func (f *feed) hear(data []byte) {
	for ok := true; ok; {
		m := &workerv1.Live{}
		if len(data) > 0 && proto.Unmarshal(data, m) == nil && m.Attempt != nil && envelope.OpenLive(f.feeds.openKey(m.Attempt, m.Sealed), m) == nil {
			f.speakers.waiting = append(f.speakers.waiting, m)
		}
		select {
		case data, ok = <-f.live: // its end is seen by the next read
		default:
			return
		}
	}
}

// identify looks up who tells what waits. news: somebody was looked up.
func (f *feed) identify(ctx context.Context) (news bool, err error) {
	f.hear(nil)
	now := time.Now()
	keys := f.speakers.unknown(now)
	if len(keys) == 0 {
		return false, nil
	}
	running, err := f.feeds.store.RunningAttempts(ctx, keys)
	if err != nil {
		return false, err
	}
	labels, err := f.feeds.store.Labels(ctx, keys)
	if err != nil {
		return false, err
	}
	f.speakers.learn(keys, labels, running, now)
	return true, nil
}

// tell passes on what attempts tell live, at most once, and nothing of an attempt whose end was told.
func (f *feed) tell(ctx context.Context) {
	defer func() { f.speakers.waiting = nil }()
	news, err := f.identify(ctx)
	if err == nil && news {
		_, err = f.catchUp(ctx) // their beginning is told first, and their end if they had it
	}
	if err != nil {
		return // the next look at the events says so, too
	}
	now := time.Now()
	ready := append(f.speakers.order(f.speakers.waiting, now), f.speakers.overdue(now)...)
	if len(ready) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	events := make([]*Event, len(ready))
	for i, m := range ready {
		events[i] = f.showLive(m, f.speakers.known[dag.Key(m.Attempt.Task)].label)
	}
	f.add(events)
	f.announce()
}

// showLive is for who holds mu.
func (f *feed) showLive(m *workerv1.Live, l pg.Label) *Event {
	return &Event{Type: EventProgress, TreeID: f.status.ID, TaskID: l.ID, Name: l.Name, Status: dag.StatusInProgress, Attempt: int(m.Attempt.Number),
		Progress: m.Fraction, TreeProgress: f.status.Progress, Pieces: showPieces(m.Pieces), At: time.Now()}
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
