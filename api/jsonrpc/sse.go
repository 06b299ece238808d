package jsonrpc

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// stream writes Server-Sent Events. Slow readers are the server's to end: its write deadlines make send fail.
type stream struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf bytes.Buffer
}

// newStream sends the headers of spec 5.4, at once: the first event may be long in coming.
func newStream(w http.ResponseWriter) *stream {
	return &stream{w: w, rc: api.BeginEvents(w)}
}

// send writes one event. sequence 0 and an empty name leave out the fields id and event. data has no line breaks.
func (s *stream) send(sequence int64, name string, data []byte) error {
	s.buf.Reset()
	if sequence > 0 {
		s.buf.WriteString("id: ")
		s.buf.WriteString(strconv.FormatInt(sequence, 10))
		s.buf.WriteByte('\n')
	}
	if name != "" {
		s.buf.WriteString("event: " + name + "\n")
	}
	s.buf.WriteString("data: ")
	s.buf.Write(data)
	s.buf.WriteString("\n\n")
	return s.flush()
}

// comment writes a line that readers skip.
func (s *stream) comment(text string) error {
	s.buf.Reset()
	s.buf.WriteString(": " + text + "\n\n")
	return s.flush()
}

func (s *stream) flush() error {
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return errors.Join(errGone, err)
	}
	if err := s.rc.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

// streamExecution is the answer of tasks.execute with use_streaming: first the JSON-RPC response, then the events after the
// sequence given of what was started.
func (h *Handler) streamExecution(x *exchange, answer *started, after int64) {
	if x.protocol {
		x.w.Header().Set(headerProtocol, protocolVersion)
	}
	s := newStream(x.w)
	if s.send(0, "", (&response{id: x.id, result: appendJSON(nil, answer), protocol: x.protocol}).append(nil)) != nil {
		return
	}
	ctx := x.r.Context()
	if answer.did == coordinator.Started {
		h.follow(ctx, x.svc, s, answer.RootTaskID, after)
		return
	}
	// Nothing was started: no events, but the end that a reader waits for.
	if tree, err := x.svc.Tree(ctx, answer.RootTaskID); err != nil {
		h.fail(ctx, s, answer.RootTaskID, err)
	} else {
		_ = s.send(0, nameFinal, encodeEvent(finalOf(tree)))
	}
	_ = s.send(0, nameEnd, encodeEnd(answer.RootTaskID))
}

// events answers GET /tasks/{id}/events.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	refuse := func(err error) {
		fault := api.Classify(r.Context(), h.cfg.Log, "GET /tasks/{id}/events", err)
		failure := rpcFault(fault)
		if fault.Kind == api.NotFound {
			failure.status = http.StatusNotFound
		}
		failure.tell(w.Header())
		h.answer(w, failure.httpStatus(), (&response{id: null, err: failure}).append(nil))
	}
	after, _, err := lastEventID(r)
	if err != nil {
		refuse(err)
		return
	}
	leave, err := h.enter(r.Context())
	if err != nil {
		refuse(err)
		return
	}
	defer leave()
	svc := h.on(r)
	tree, err := svc.Tree(r.Context(), id)
	if err != nil {
		refuse(named404(err, "Task "+id+" not found"))
		return
	}
	s := newStream(w)
	if r.Method == http.MethodHead {
		return
	}
	h.follow(r.Context(), svc, s, tree.ID, after)
}

// follow streams a tree's events up to the final one, then stream_end. A tree whose events can't be read gets an error
// event in place of the final one. When the server stops, the stream just ends, so that a reader comes back with the
// id of its last event.
func (h *Handler) follow(ctx context.Context, svc watching, s *stream, root string, after int64) {
	f := follower{h: h, svc: svc, root: root, after: after}
	err := f.run(ctx, func(e *coordinator.Event) error {
		return s.send(e.Sequence, eventName(e), encodeEvent(e))
	}, func() error {
		return s.comment("keepalive")
	})
	switch {
	case errors.Is(err, errGone):
		return
	case shuttingDown(ctx):
		_ = s.comment("server is shutting down: connect again with Last-Event-ID")
		return
	case ctx.Err() != nil:
		return
	case err != nil:
		h.fail(ctx, s, root, err)
	}
	_ = s.send(0, nameEnd, encodeEnd(root))
}

// fail sends the error event.
func (h *Handler) fail(ctx context.Context, s *stream, root string, err error) {
	fault := api.Classify(ctx, h.cfg.Log, "stream events of "+root, err)
	_ = s.send(0, nameError, appendJSON(nil, errorEvent{
		Type: "error", TaskID: root, Error: fault.Text, Final: true, Protocol: "jsonrpc", RootTaskID: root,
	}))
}

// lastEventID is what a reader saw last: the header of that name, or the query parameter after.
func lastEventID(r *http.Request) (after int64, given bool, err error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	if text == "" {
		return 0, false, nil
	}
	after, err = strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, false, invalid("Last-Event-ID", "Last-Event-ID must be the id of an event")
	}
	return after, true, nil
}

// now is when something is told that has no time of its own.
func now() isoTime { return isoTime(time.Now()) }
