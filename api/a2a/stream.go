package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

// emit takes what a stream tells. sequence is that of the event of the tree that ends with it; 0: none does. An error ends the stream.
type emit func(sequence int64, event a2a.Event) error

// enter counts a stream or a waiting call, of the process and of who asks for it; leave must be called when it ends.
func (h *Handler) enter(ctx context.Context) (leave func(), err error) {
	if h.streams.Add(1) > int64(h.cfg.MaxStreams) {
		h.streams.Add(-1)
		return nil, api.ErrOverload
	}
	left, err := api.OpenStream(ctx)
	if err != nil {
		h.streams.Add(-1)
		return nil, err
	}
	return func() { left(); h.streams.Add(-1) }, nil
}

// sendStreaming answers message/stream: the task, then what happens, up to the end. Without metadata.stream that is one final update
// (spec 6.3).
func (h *Handler) sendStreaming(ctx context.Context, x *exchange, s *sending, tell emit) error {
	if s.operation != executes {
		task, err := h.operate(ctx, x, s)
		if err != nil {
			return err
		}
		return tell(0, task)
	}
	every, err := s.metadata.flag("stream")
	if err != nil {
		return err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	kept, err := h.begin(ctx, x, s)
	if err != nil {
		return err
	}
	return h.tell(ctx, x, kept.ID, s.history, 0, every, tell)
}

// subscribe answers tasks/resubscribe: the task as it is, then the events after the one that the client has seen last.
func (h *Handler) subscribe(ctx context.Context, x *exchange, id string, after int64, tell emit) error {
	leave, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return h.tell(ctx, x, id, nil, after, true, tell)
}

// tell tells the task, then the events of its tree after the sequence given; without every, the end alone. The task is shown at work, even if
// its tree has ended: clients stop at a terminal state, and the events up to the end are still to come.
func (h *Handler) tell(ctx context.Context, x *exchange, id string, history *int, after int64, every bool, tell emit) error {
	task, err := h.task(ctx, x, id, history)
	if err != nil {
		return err
	}
	task.Status.State, task.Artifacts = a2a.TaskStateWorking, nil
	task.Status.Message = nil
	if err := tell(0, task); err != nil {
		return err
	}
	t := &teller{h: h, x: x, task: task, every: every, tell: tell}
	return h.follow(ctx, x.svc, task.Metadata["root_task_id"].(string), after, func(e *coordinator.Event) error { return t.event(ctx, e) })
}

// follow calls handle for each event after the sequence given, up to the final one. When events can't be read it tries again for the
// configured time, then returns why.
func (h *Handler) follow(ctx context.Context, svc coordinator.Service, id string, after int64, handle func(*coordinator.Event) error) error {
	broken := time.Time{} // since when nothing can be read; zero: it can
	for {
		ended, err := watch(ctx, svc, id, &after, func(e *coordinator.Event) error {
			broken = time.Time{}
			return handle(e)
		})
		switch {
		case ended:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if err == nil { // the events ended; has the tree?
			var tree *coordinator.TreeStatus
			if tree, err = svc.Tree(ctx, id); err == nil && tree.Unfinished == 0 && tree.Sequence > 0 {
				return handle(jsonrpc.FinalOf(tree))
			}
		}
		if err != nil && !errors.Is(err, coordinator.ErrUnavailable) {
			return err
		}
		if broken.IsZero() {
			broken = time.Now()
		}
		if time.Since(broken) > h.cfg.ResumeTimeout {
			return errors.Join(coordinator.ErrUnavailable, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(h.cfg.ResumeTimeout / 30):
		}
	}
}

// watch handles events until they end or can't be read. ended says that it is over for good.
func watch(ctx context.Context, svc coordinator.Service, id string, after *int64, handle func(*coordinator.Event) error) (ended bool, err error) {
	for e, err := range svc.Watch(ctx, id, *after) {
		if err != nil {
			return false, err
		}
		if e.Sequence > 0 {
			*after = e.Sequence
		}
		if err := handle(e); err != nil {
			return true, err
		}
		if e.Type == coordinator.EventFinal {
			return true, nil
		}
	}
	return false, nil
}

// sseWriter writes Server-Sent Events, each a JSON-RPC answer. Slow readers are the server's to end: its write deadlines make writes fail.
type sseWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	mu sync.Mutex // an event and a comment are written by two
}

func newSSEWriter(w http.ResponseWriter) *sseWriter {
	return &sseWriter{w: w, rc: api.BeginEvents(w)}
}

var errGone = errors.New("the client is gone")

func (s *sseWriter) write(block []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.w.Write(block); err != nil {
		return errors.Join(errGone, err)
	}
	if err := s.rc.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

// send writes one event; sequence 0 leaves out its id.
func (s *sseWriter) send(sequence int64, data json.RawMessage) error {
	var block []byte
	if sequence > 0 {
		block = strconv.AppendInt(append(block, "id: "...), sequence, 10)
		block = append(block, '\n')
	}
	block = append(append(block, "data: "...), data...)
	return s.write(append(block, "\n\n"...))
}

// keepAlive writes comments until the function that it gives is called.
func (s *sseWriter) keepAlive(every time.Duration) (stop func()) {
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = s.write([]byte(": keepalive\n\n")) // whoever writes the next event notices
			}
		}
	})
	return func() { close(done); beating.Wait() }
}

// lastEventID is what a reader saw last: the header of that name, or last_event_id in the metadata; 0: nothing.
func lastEventID(headers http.Header, metadata values) (int64, error) {
	text := headers.Get("Last-Event-ID")
	if raw := metadata["last_event_id"]; text == "" && !absent(raw) {
		text = string(raw)
		if raw[0] == '"' {
			var err error
			if text, err = metadata.text("last_event_id"); err != nil {
				return 0, err
			}
		}
	}
	if text == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, invalid("Last-Event-ID must be the id of an event")
	}
	return after, nil
}
