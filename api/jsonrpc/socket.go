package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Bounds of a WebSocket.
const (
	socketFrameBytes = 16 << 10 // of a client's frame; a longer one closes the socket with 1009
	socketQueue      = 32       // frames that wait for a slow client; then its subscriptions wait
	socketGoodbye    = 5 * time.Second
)

// socket is one connection of /ws (spec 5.4): frames in, of which each is an action, and events of its subscriptions out.
type socket struct {
	h    *Handler
	svc  coordinator.Service
	conn *websocket.Conn
	ctx  context.Context // ends with what closes the socket as its cause
	end  context.CancelCauseFunc
	out  chan []byte    // frames for the client
	work sync.WaitGroup // the socket's goroutines but for the reader

	subscriptions map[string]*subscription // by the id that was asked for; only the reader's goroutine touches it
}

// subscription follows the tree of a task.
type subscription struct {
	cancel context.CancelFunc
	ended  atomic.Bool   // it came to its end: the next frame forgets it
	done   chan struct{} // closed when nothing more comes of it
}

// action is a client's frame.
type action struct {
	Action      string          `json:"action"`
	TaskID      string          `json:"task_id"`
	LastEventID json.RawMessage `json:"last_event_id"` // a number, or it as text
}

// socketFrame is a frame to the client: the protocol's keys, then ours.
type socketFrame struct {
	Type      string          `json:"type"`
	TaskID    string          `json:"task_id,omitempty"`
	ContextID string          `json:"context_id,omitempty"` // the root of the task's tree
	ID        int64           `json:"id,omitempty"`         // for last_event_id
	Data      json.RawMessage `json:"data,omitempty"`
}

// closing is why a socket is closed, as its client is told.
type closing struct {
	code   websocket.StatusCode
	reason string
}

func (c *closing) Error() string { return c.reason }

var (
	errSlow     = &closing{websocket.StatusTryAgainLater, "client is too slow: subscribe again with last_event_id"}
	errBinary   = &closing{websocket.StatusUnsupportedData, "frames must be text"}
	errShutdown = &closing{websocket.StatusServiceRestart, "server is shutting down: connect again, and subscribe with last_event_id"}
	errSilent   = &closing{websocket.StatusGoingAway, "client does not answer"}
)

// socket answers GET /ws. The server has checked Host and Origin, and who calls, as for every request.
func (h *Handler) socket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // it has answered
	}
	conn.SetReadLimit(socketFrameBytes)
	s := &socket{h: h, svc: h.on(r), conn: conn, out: make(chan []byte, socketQueue), subscriptions: map[string]*subscription{}}
	s.ctx, s.end = context.WithCancelCause(r.Context())
	s.work.Go(s.write)
	s.work.Add(1)
	context.AfterFunc(s.ctx, func() { // no goroutine waits for the end: each of ten thousand sockets would have one
		defer s.work.Done()
		s.close()
	})
	s.end(s.read())
	for _, one := range s.subscriptions {
		one.cancel()
		<-one.done
	}
	s.work.Wait()
}

// read works off the client's frames until there are no more.
func (s *socket) read() error {
	for {
		kind, frame, err := s.conn.Read(context.WithoutCancel(s.ctx)) // close ends it: a context would cut off what says why
		if err != nil {
			return errors.Join(errGone, err)
		}
		if kind != websocket.MessageText {
			return errBinary
		}
		if err := s.act(frame); err != nil {
			return err
		}
	}
}

// act does what a frame asks for.
func (s *socket) act(frame []byte) error {
	s.reap()
	var a action
	if err := json.Unmarshal(frame, &a); err != nil {
		return s.refuse("", &rpcError{code: codeParse, data: "frame is not valid JSON, or not of the right types"})
	}
	switch a.Action {
	case "ping":
		return s.send(&socketFrame{Type: "pong"})
	case "subscribe":
		return s.subscribe(&a)
	case "unsubscribe":
		one := s.subscriptions[a.TaskID]
		if one == nil {
			return s.refuse(a.TaskID, &rpcError{code: codeParams, data: "Task " + a.TaskID + " is not subscribed to"})
		}
		one.cancel()
		<-one.done
		delete(s.subscriptions, a.TaskID)
		return s.send(&socketFrame{Type: "unsubscribed", TaskID: a.TaskID})
	}
	return s.refuse(a.TaskID, &rpcError{code: codeMethod, data: fmt.Sprintf("Unknown action: %.100s", a.Action)})
}

// reap forgets subscriptions that have come to their end.
func (s *socket) reap() {
	maps.DeleteFunc(s.subscriptions, func(_ string, one *subscription) bool { return one.ended.Load() })
}

// subscribe follows the tree of a task: all of it for a root, the task alone for another.
func (s *socket) subscribe(a *action) error {
	id := a.TaskID
	after, err := sequenceOf(a.LastEventID)
	switch {
	case err != nil:
		return s.refuse(id, &rpcError{code: codeParams, data: err.Error()})
	case id == "":
		return s.refuse(id, &rpcError{code: codeParams, data: "Task ID is required"})
	case len(id) > maxTextBytes:
		return s.refuse("", &rpcError{code: codeParams, data: "task_id is too long"})
	case s.subscriptions[id] != nil:
		return s.refuse(id, &rpcError{code: codeParams, data: "Task " + id + " is subscribed to already"})
	case len(s.subscriptions) >= s.h.cfg.MaxSubscriptions:
		return s.refuse(id, &rpcError{code: codeOverload, data: fmt.Sprintf("a socket has at most %d subscriptions", s.h.cfg.MaxSubscriptions)})
	}
	leave, err := s.h.enter(s.ctx)
	if err != nil {
		return s.refuse(id, rpcFault(api.Classify(s.ctx, s.h.cfg.Log, "subscribe", err)))
	}
	asking, cancel := context.WithTimeout(s.ctx, s.h.cfg.RequestTimeout)
	tree, err := s.svc.Tree(asking, id)
	cancel()
	if err != nil {
		leave()
		return s.refuse(id, rpcFault(api.Classify(asking, s.h.cfg.Log, "subscribe", named404(err, "Task "+id+" not found"))))
	}
	if err := s.send(&socketFrame{Type: "subscribed", TaskID: id, ContextID: tree.ID}); err != nil {
		leave()
		return err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	one := &subscription{cancel: cancel, done: make(chan struct{})}
	s.subscriptions[id] = one
	s.work.Go(func() {
		defer leave()
		defer close(one.done)
		defer cancel()
		s.follow(ctx, one, id, tree.ID, after)
	})
	return nil
}

// follow sends the events of a subscription, up to the final one and stream_end.
func (s *socket) follow(ctx context.Context, one *subscription, id, root string, after int64) {
	f := follower{h: s.h, svc: s.svc, root: root, after: after}
	err := f.run(ctx, func(e *coordinator.Event) error {
		if id != root && e.TaskID != id && e.Type != coordinator.EventFinal {
			return nil
		}
		return s.sendIn(ctx, &socketFrame{Type: socketType(e.Type), TaskID: e.TaskID, ContextID: root, ID: e.Sequence, Data: encodeEvent(e)})
	}, nil)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		_ = s.refuse(id, rpcFault(api.Classify(ctx, s.h.cfg.Log, "stream events of "+root, err)))
	}
	one.ended.Store(true) // first: a client that sees the end may subscribe again
	_ = s.send(&socketFrame{Type: nameEnd, TaskID: id, ContextID: root})
}

// socketType is the protocol's type of a frame with an event (spec 5.4).
func socketType(t coordinator.EventType) string {
	switch t {
	case coordinator.EventExecution, coordinator.EventProgress:
		return "task_progress"
	case coordinator.EventCompleted, coordinator.EventSkipped:
		return "task_completed"
	case coordinator.EventFailed, coordinator.EventCancelled:
		return "task_failed"
	}
	return "task_status"
}

// sequenceOf reads last_event_id: a number, or it as text; 0: from the beginning.
func sequenceOf(raw json.RawMessage) (int64, error) {
	text := string(raw)
	switch kind(raw) {
	case 0, 'n':
		return 0, nil
	case '"':
		if json.Unmarshal(raw, &text) != nil || text == "" {
			text = "0"
		}
	}
	after, err := strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, errors.New("last_event_id must be the id of an event")
	}
	return after, nil
}

// refuse tells the client why an action fails. The socket goes on.
func (s *socket) refuse(id string, e *rpcError) error {
	return s.send(&socketFrame{Type: "error", TaskID: id, Data: appendJSON(nil, map[string]any{"code": e.code, "message": e.message(), "error": e.data})})
}

func (s *socket) send(f *socketFrame) error { return s.sendIn(s.ctx, f) }

// sendIn puts a frame into the queue. A client that takes none for too long is closed.
func (s *socket) sendIn(ctx context.Context, f *socketFrame) error {
	frame := appendJSON(nil, f)
	select {
	case s.out <- frame:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
	}
	patience := time.NewTimer(s.h.cfg.SlowTimeout)
	defer patience.Stop()
	select {
	case s.out <- frame:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-patience.C:
		s.end(errSlow)
		return errSlow
	}
}

// write writes frames, and asks the client now and then whether it is there, until the socket ends.
func (s *socket) write() {
	tick := time.NewTicker(s.h.cfg.KeepAlive)
	defer tick.Stop()
	var asking atomic.Bool // a ping has no answer yet
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			if asking.CompareAndSwap(false, true) {
				s.work.Go(func() {
					defer asking.Store(false)
					s.ping()
				})
			}
		case frame := <-s.out:
			ctx, cancel := s.patience()
			err := s.conn.Write(ctx, websocket.MessageText, frame)
			cancel()
			if err != nil {
				s.end(errors.Join(errGone, err))
				return
			}
		}
	}
}

// patience is for what is written: longer than senders wait, so that the socket is closed with a word, if its client can still take one.
func (s *socket) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(s.ctx), s.h.cfg.SlowTimeout+socketGoodbye)
}

// ping asks the client whether it is there, and waits for its answer.
func (s *socket) ping() {
	ctx, cancel := s.patience()
	defer cancel()
	if err := s.conn.Ping(ctx); err != nil {
		s.end(errSilent)
	}
}

// close closes the connection once the socket has ended, and says why.
func (s *socket) close() {
	<-s.ctx.Done()
	why, told := errors.AsType[*closing](context.Cause(s.ctx))
	switch {
	case shuttingDown(s.ctx):
		why, told = errShutdown, true
	case !told:
		_ = s.conn.CloseNow()
		return
	}
	_ = s.conn.Close(why.code, why.reason)
}
