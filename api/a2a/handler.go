package a2a

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Handler answers A2A's calls. Safe for concurrent use; it has no goroutines but those of requests in hand.
type Handler struct {
	access  *coordinator.Access
	tasks   *jsonrpc.Handler // answers the methods of the task-tree protocol
	cfg     Config
	grpc    string       // where it is served; empty: nowhere
	streams atomic.Int64 // open ones
	mux     *http.ServeMux
	calls   map[string]method
}

// New makes a handler on the service that access gives. Messages that name a method of the task-tree protocol go to tasks.
func New(access *coordinator.Access, tasks *jsonrpc.Handler, cfg Config) *Handler {
	h := &Handler{access: access, tasks: tasks, cfg: cfg.withDefaults(), mux: http.NewServeMux()}
	h.calls = h.methods()
	h.mux.HandleFunc("POST /{$}", h.serveRPC)
	h.mux.Handle(rest1+"/", h.rest())
	for _, path := range CardPaths {
		h.mux.HandleFunc("GET "+path, h.serveCard)
	}
	return h
}

// Paths are the patterns of [http.ServeMux] below which a [Handler] answers, beside [CardPaths], which are public.
var Paths = []string{"/{$}", rest1 + "/"}

// ServeHTTP answers; 405 or 404 for all else.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// exchange is one request while it is answered.
type exchange struct {
	svc     coordinator.Service // on behalf of who sent the request
	headers http.Header
	line    line
	w       http.ResponseWriter
	id      json.RawMessage // of the JSON-RPC request
}

// on is an exchange on behalf of who sent a request.
func (h *Handler) on(ctx context.Context, l line, from string, headers http.Header) *exchange {
	return &exchange{svc: h.access.For(api.CallerOf(ctx, coordinator.SurfaceA2A, from)), headers: headers, line: l}
}

// method answers a call of the JSON-RPC binding: with a result, or by streaming.
type method struct {
	line   line
	answer func(ctx context.Context, x *exchange, params json.RawMessage) (any, error)
	stream func(ctx context.Context, x *exchange, params json.RawMessage, tell emit) error
	waits  bool // its time is not bounded by RequestTimeout
}

// methods are those of both lines (spec 6.2).
func (h *Handler) methods() map[string]method {
	calls := map[string]method{}
	add := func(name1, name03 string, m method) {
		m.line = line1
		calls[name1] = m
		m.line = line03
		calls[name03] = m
	}
	add("SendMessage", "message/send", method{answer: h.rpcSend, waits: true})
	add("SendStreamingMessage", "message/stream", method{stream: h.rpcStream})
	add("GetTask", "tasks/get", method{answer: h.rpcGet})
	add("ListTasks", "tasks/list", method{answer: h.rpcList})
	add("CancelTask", "tasks/cancel", method{answer: h.rpcCancel})
	add("SubscribeToTask", "tasks/resubscribe", method{stream: h.rpcSubscribe})
	add("GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard", method{answer: func(context.Context, *exchange, json.RawMessage) (any, error) {
		return nil, errNoCard
	}})
	push := "TaskPushNotificationConfig"
	add("Create"+push, "tasks/pushNotificationConfig/set", method{answer: h.rpcPush(h.rpcPushSet)})
	add("Get"+push, "tasks/pushNotificationConfig/get", method{answer: h.rpcPush(h.rpcPushGet)})
	add("List"+push+"s", "tasks/pushNotificationConfig/list", method{answer: h.rpcPush(h.rpcPushList)})
	add("Delete"+push, "tasks/pushNotificationConfig/delete", method{answer: h.rpcPush(h.rpcPushDelete)})
	return calls
}

// serveRPC answers POST /.
func (h *Handler) serveRPC(w http.ResponseWriter, r *http.Request) {
	body, release, err := h.tasks.ReadBody(w, r, h.cfg.MaxBodyBytes)
	defer release()
	x := h.on(r.Context(), lineOf(r.Header), r.RemoteAddr, r.Header)
	x.w, x.id = w, json.RawMessage("null")
	if err != nil {
		h.refuse(r.Context(), x, "read the request", h.bodyFault(err))
		return
	}
	if delegated(r.Header, body) {
		h.delegate(w, r, body)
		return
	}
	if err := api.CountBytes(r.Context(), int64(len(body))); err != nil {
		h.refuse(r.Context(), x, "read the request", err)
		return
	}
	c, err := readCall(body)
	if c != nil {
		x.id = c.id
	}
	if err != nil {
		h.refuse(r.Context(), x, "read the request", err)
		return
	}
	m, known := h.calls[c.method]
	if !known {
		m, known = h.alias(x, c)
	} else {
		x.line = m.line
	}
	switch {
	case !knownVersion(r.Header):
		err = fault(codeVersion, "version %.20q of the protocol is not served: 1.0 and 0.3 are", r.Header.Get(a2a.SvcParamVersion))
	case !known:
		err = fault(codeMethod, "Method not found: %.200s", c.method)
	}
	if err != nil {
		h.refuse(r.Context(), x, c.method, err)
		return
	}
	params := c.params
	c, body = nil, nil
	release() // what goes on keeps what it needs
	if m.stream != nil {
		h.runStream(r.Context(), x, m, params)
		return
	}
	h.runCall(r.Context(), x, m, params)
}

// runCall answers a call with one answer.
func (h *Handler) runCall(ctx context.Context, x *exchange, m method, params json.RawMessage) {
	limit := h.cfg.RequestTimeout
	if m.waits {
		limit += h.cfg.MaxWait
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result, err := h.guarded(ctx, func() (any, error) { return m.answer(ctx, x, params) })
	if err != nil {
		h.refuse(ctx, x, "A2A", err)
		return
	}
	h.answer(x, "result", encode(result))
}

// guarded makes a fault of a panic.
func (h *Handler) guarded(ctx context.Context, do func() (any, error)) (result any, err error) {
	defer func() {
		if value := recover(); value != nil {
			if value == http.ErrAbortHandler {
				panic(value)
			}
			result, err = nil, api.Panicked(ctx, h.cfg.Log, "A2A", value, debug.Stack())
		}
	}()
	return do()
}

// runStream answers a call with events. A fault is told as one: so clients expect it where they asked for a stream.
func (h *Handler) runStream(ctx context.Context, x *exchange, m method, params json.RawMessage) {
	s := newSSEWriter(x.w)
	defer s.keepAlive(h.cfg.KeepAlive)()
	_, err := h.guarded(ctx, func() (any, error) {
		return nil, m.stream(ctx, x, params, func(sequence int64, event a2a.Event) error {
			result, err := x.line.event(event)
			if err != nil {
				return err
			}
			return s.send(sequence, x.envelope("result", encode(result)))
		})
	})
	switch {
	case err == nil, ctx.Err() != nil: // a client whose server stops subscribes to the task at another
	default:
		_ = s.send(0, x.envelope("error", x.line.fault(h.faultOf(ctx, "A2A stream", err))))
	}
}

// refuse answers with an error. Errors come with HTTP 200 (spec 6.2).
func (h *Handler) refuse(ctx context.Context, x *exchange, operation string, err error) {
	h.answer(x, "error", x.line.fault(h.faultOf(ctx, operation, err)))
}

// Refuse answers a request that was not let in, as the binding at its path does. The headers are its caller's.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, f *api.Fault) {
	e := h.faultOf(r.Context(), r.URL.Path, f)
	if strings.HasPrefix(r.URL.Path, rest1+"/") {
		refuseREST(w, e)
		return
	}
	x := &exchange{line: lineOf(r.Header), w: w, id: json.RawMessage("null")}
	w.Header().Set("Content-Type", "application/json")
	if f.Kind == api.Limited { // what clients and proxies know, before any protocol of theirs
		w.WriteHeader(http.StatusTooManyRequests)
	}
	_, _ = w.Write(x.envelope("error", x.line.fault(e))) // the client has gone, or is too slow: nobody is left to tell
}

func (h *Handler) answer(x *exchange, member string, value json.RawMessage) {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = x.w.Write(x.envelope(member, value)) // the client has gone, or is too slow: nobody is left to tell
}

// envelope is a JSON-RPC answer.
func (x *exchange) envelope(member string, value json.RawMessage) json.RawMessage {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), x.id...)
	out = append(append(append(out, `,"`...), member...), `":`...)
	return append(append(out, value...), '}')
}

// event is an event as the line has it.
func (l line) event(event a2a.Event) (any, error) {
	if l == line03 {
		return a2av0.FromV1Event(event)
	}
	return a2a.StreamResponse{Event: event}, nil
}

// task is a task as the line has it where an answer is always one.
func (l line) task(task *a2a.Task) any {
	if l == line03 {
		return a2av0.FromV1Task(task)
	}
	return task
}

// fault is an error as the line has it: its data is text in 0.3, and typed details in 1.0.
func (l line) fault(e *rpcError) json.RawMessage {
	out := struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    any    `json:"data"`
	}{e.code, e.text, e.text}
	if l == line1 {
		info := map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": a2a.ErrorReason(e.sentinel()), "domain": a2a.ProtocolDomain}
		if e.lacks != "" {
			info["metadata"] = map[string]string{"permission": e.lacks}
		}
		out.Data = []any{info}
	}
	return encode(out)
}
