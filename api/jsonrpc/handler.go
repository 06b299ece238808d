package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// Config bounds and names a [Handler]. The zero value is usable.
type Config struct {
	Log     *slog.Logger // default: slog.Default()
	Version string       // shown by system.health
	Known   dag.Known    // the executors that a task's choice is made from (spec 1.3)
	Limits  dag.Limits   // of a tree

	MaxBodyBytes   int64 // of one request; default 64 MiB
	MaxBodiesBytes int64 // of all requests that are worked on; beyond it they get -32000; default 8 bodies
	MaxBatch       int   // requests in a batch; default 100
	MaxAnswerTasks int   // tasks that one answer may hold; default 100 000
	MaxAnswerBytes int   // of inputs, results and so on of those tasks; default 64 MiB
	MaxStreams     int   // event streams, subscriptions of WebSockets and waiting calls at once; default 11 000

	MaxSubscriptions int // of one WebSocket; default 100

	RequestTimeout time.Duration // of a call, streaming and waiting apart; default 5 min
	MaxWait        time.Duration // of tasks.execute with wait; default 1 h
	KeepAlive      time.Duration // between comments on an idle stream, and pings of a WebSocket; default 10 s, at most 15 s (spec 5.4)
	SlowTimeout    time.Duration // for which the queue of a WebSocket may be full before it is closed; default 30 s
	ResumeTimeout  time.Duration // for which a stream tries to go on when events can't be read; default 30 s
}

func (c Config) withDefaults() Config {
	def(&c.Log, slog.Default())
	def(&c.Version, "dev")
	def(&c.MaxBodyBytes, 64<<20)
	def(&c.MaxBodiesBytes, 8*c.MaxBodyBytes)
	def(&c.MaxBatch, 100)
	def(&c.MaxAnswerTasks, 100_000)
	def(&c.MaxAnswerBytes, 64<<20)
	def(&c.MaxStreams, 11_000)
	def(&c.MaxSubscriptions, 100)
	def(&c.SlowTimeout, 30*time.Second)
	def(&c.RequestTimeout, 5*time.Minute)
	def(&c.MaxWait, time.Hour)
	def(&c.KeepAlive, 10*time.Second)
	c.KeepAlive = min(c.KeepAlive, 15*time.Second)
	def(&c.ResumeTimeout, 30*time.Second)
	c.MaxBodiesBytes = max(c.MaxBodiesBytes, c.MaxBodyBytes)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Handler answers JSON-RPC calls. Safe for concurrent use; it has no goroutines but those of requests in hand.
type Handler struct {
	access  *coordinator.Access
	cfg     Config
	bodies  *semaphore.Weighted // bytes of request bodies in memory
	streams atomic.Int64        // open ones
	mux     *http.ServeMux
	tasks   map[string]method
	system  map[string]method
}

// method answers one call with its result, nil for null. Errors are those of [api.Classify], or errStreamed.
type method func(ctx context.Context, x *exchange, params json.RawMessage) (json.RawMessage, error)

// errStreamed says that a method has written the whole answer itself.
var errStreamed = errors.New("answer was streamed")

// New makes a handler on the service that access gives.
func New(access *coordinator.Access, cfg Config) *Handler {
	cfg = cfg.withDefaults()
	h := &Handler{access: access, cfg: cfg, bodies: semaphore.NewWeighted(cfg.MaxBodiesBytes), mux: http.NewServeMux()}
	answers := map[string]method{
		"tasks.create":         h.create,
		"tasks.execute":        h.execute,
		"tasks.generate":       h.generate,
		"tasks.update":         h.update,
		"tasks.delete":         h.remove,
		"tasks.copy":           h.copyTask,
		"tasks.get":            h.get("Task ID is required. Please provide 'task_id' or 'id' parameter."),
		"tasks.detail":         h.get("Task ID is required"),
		"tasks.tree":           h.tree,
		"tasks.children":       h.children,
		"tasks.list":           h.list,
		"tasks.resolve":        h.resolve,
		"tasks.why":            h.why,
		"artifacts.list":       h.artifactsList,
		"artifacts.get":        h.artifactsGet,
		"tasks.signal":         h.signal,
		"tasks.approve":        h.approve,
		"tasks.approval.link":  h.approvalLink,
		"tasks.cancel":         h.cancel,
		"tasks.skip":           h.skip,
		"tasks.running.cancel": h.cancel,
		"tasks.running.list":   h.runningList,
		"tasks.running.status": h.runningStatus,
		"tasks.running.count":  h.runningCount,

		"system.health":  h.health,
		"executors.list": h.executorsList,
		"executors.get":  h.executorsGet,
		"schedules.next": h.schedulesNext,
		"usage.list":     h.usageList,

		"config.llm_key.set":    h.keySet,
		"config.llm_key.get":    h.keyGet,
		"config.llm_key.delete": h.keyDelete,
	}
	maps.Copy(answers, h.webhookAnswers())
	maps.Copy(answers, h.limitAnswers())
	maps.Copy(answers, h.schedulerAnswers())
	maps.Copy(answers, h.flowAnswers())
	maps.Copy(answers, h.bundleAnswers())
	maps.Copy(answers, h.profileAnswers())
	maps.Copy(answers, h.keepingAnswers())
	h.tasks, h.system = map[string]method{}, map[string]method{}
	for _, m := range Methods() {
		if m.Path == "/system" {
			h.system[m.Name] = answers[m.Name]
		} else {
			h.tasks[m.Name] = answers[m.Name]
		}
	}
	h.mux.HandleFunc("POST /tasks", h.calls("task", h.tasks))
	h.mux.HandleFunc("POST /system", h.calls("system", h.system))
	h.mux.HandleFunc("GET /tasks/{id}/events", h.events)
	h.mux.HandleFunc("GET /tasks/{id}/artifacts/{name...}", h.download)
	h.mux.HandleFunc("GET /ws", h.socket)
	for _, one := range h.reads() {
		h.mux.HandleFunc("GET "+one.path, h.serve(one))
	}
	return h
}

// Paths are the patterns of [http.ServeMux] below which a [Handler] answers.
var Paths = []string{"/tasks", "/tasks/", "/system", "/ws"}

// ServeHTTP answers POST /tasks, POST /system, GET /tasks and below, and GET /ws; 405 or 404 for all else.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// exchange is one HTTP request while its calls are answered.
type exchange struct {
	svc     coordinator.Service // on behalf of who sent the request
	w       http.ResponseWriter
	r       *http.Request
	single  bool // one call that wants an answer: it may stream, and set headers
	id      json.RawMessage
	key     string   // the header Idempotency-Key
	llmKeys []string // the header X-LLM-API-KEY
	release func()   // gives back the body's share of memory, once
	// protocol: the call is one of the published protocol 1.0 (spec 12.5), whose answers differ.
	protocol bool

	// Of a call that another surface makes: its answer is taken as a whole, and it is told of a tree that it waits for (see [Call]).
	whole bool
	see   func(*coordinator.Event) error
}

// calls serves the methods of one path. noun is how the path's methods are called: "task".
func (h *Handler) calls(noun string, methods map[string]method) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, release, failure := h.body(w, r)
		defer release()
		var calls []call
		batch := false
		if failure == nil {
			calls, batch, failure = h.decode(body)
		}
		if failure == nil {
			failure = h.counted(r.Context(), len(calls))
		}
		if failure != nil {
			failure.tell(w.Header())
			h.answer(w, failure.httpStatus(), (&response{id: null, err: failure}).append(nil))
			return
		}
		speak(calls, r.Header.Get(headerProtocol))
		x := &exchange{svc: h.on(r), w: w, r: r, single: !batch && !calls[0].notification, id: calls[0].id, release: release}
		x.key, x.llmKeys = r.Header.Get("Idempotency-Key"), r.Header.Values(modelkey.Header)
		if batch {
			x.release = func() {} // its other calls still hold the body
			h.answerBatch(x, noun, methods, calls)
			return
		}
		answer, err := h.run(x, noun, methods, &calls[0])
		switch {
		case errors.Is(err, errStreamed):
		case calls[0].notification:
			w.WriteHeader(http.StatusNoContent)
		default:
			status := http.StatusOK
			if answer.err != nil {
				status = answer.err.httpStatus()
				answer.err.tell(w.Header())
			}
			if answer.protocol {
				w.Header().Set(headerProtocol, protocolVersion)
			}
			parts := answer.parts()
			h.answer(w, status, parts[:]...)
		}
	}
}

// counted counts the requests of a batch against its caller's bounds, all or none: the first has been counted as a request of HTTP.
func (h *Handler) counted(ctx context.Context, calls int) *rpcError {
	if err := api.CountRequests(ctx, calls-1); err != nil {
		return rpcFault(api.Classify(ctx, h.cfg.Log, "batch", err))
	}
	return nil
}

// on is the service on behalf of who sent the request.
func (h *Handler) on(r *http.Request) coordinator.Service {
	return h.access.For(api.CallerOf(r.Context(), coordinator.SurfaceJSONRPC, r.RemoteAddr))
}

var null = json.RawMessage("null")

// answerBatch answers the calls in turn, in one array; notifications have no place in it.
func (h *Handler) answerBatch(x *exchange, noun string, methods map[string]method, calls []call) {
	var out []byte
	for i := range calls {
		c := &calls[i]
		if len(out) > h.cfg.MaxAnswerBytes && c.fault == nil {
			c.fault = &rpcError{code: codeOverload, data: "the answers before this one fill the batch: ask again"}
		}
		if x.key != "" && c.fault == nil {
			c.fault = &rpcError{code: codeParams,
				data: "the header Idempotency-Key can't stand for several requests: use the parameter idempotency_key"}
		}
		answer, _ := h.run(x, noun, methods, c)
		if c.notification {
			continue
		}
		if out == nil {
			out = append(out, '[')
		} else {
			out = append(out, ',')
		}
		out = answer.append(out)
	}
	if out == nil { // notifications only
		x.w.WriteHeader(http.StatusNoContent)
		return
	}
	h.answer(x.w, http.StatusOK, append(out, ']'))
}

// of is the exchange in the dialect of a call.
func (x *exchange) of(c *call) *exchange {
	if x.protocol == c.protocol {
		return x
	}
	one := *x
	one.protocol = c.protocol
	return &one
}

// faultOf is a fault in the dialect of the call.
func (c *call) faultOf(f *api.Fault) *rpcError {
	if c.protocol {
		return protocolFault(f)
	}
	return rpcFault(f)
}

// do calls a method in the dialect of the call.
func (h *Handler) do(ctx context.Context, x *exchange, c *call, do method, params json.RawMessage) (json.RawMessage, error) {
	if !c.protocol {
		return do(ctx, x, params)
	}
	if err := h.checkIDs(c.method, params); err != nil {
		return nil, err
	}
	result, err := do(ctx, x, params)
	if err != nil {
		return nil, err
	}
	return h.inProtocol(c.method, params, result)
}

// run answers one call. The error is errStreamed or nil.
func (h *Handler) run(x *exchange, noun string, methods map[string]method, c *call) (answer *response, err error) {
	answer = &response{id: c.id, protocol: c.protocol}
	x = x.of(c)
	if c.fault != nil {
		answer.err = c.fault
		return answer, nil
	}
	do, ok := methods[c.method]
	if !ok {
		answer.err = &rpcError{code: codeMethod, data: fmt.Sprintf("Unknown %s method: %.200s", noun, c.method)}
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), h.cfg.RequestTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			if value == http.ErrAbortHandler {
				panic(value)
			}
			answer.err = c.faultOf(api.Panicked(ctx, h.cfg.Log, c.method, value, debug.Stack()))
			answer.result = nil
		}
	}()
	given := c.params
	c.params = nil // what a stream keeps must not keep the body
	result, err := h.do(ctx, x, c, do, given)
	if errors.Is(err, errStreamed) {
		return nil, err
	}
	if err != nil {
		answer.err = c.faultOf(api.Classify(ctx, h.cfg.Log, c.method, err))
		return answer, nil
	}
	answer.result = result
	return answer, nil
}

// answer writes a whole answer, given in parts.
func (h *Handler) answer(w http.ResponseWriter, status int, parts ...[]byte) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	answerHeaders(w, status)
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return // the client has gone, or is too slow: nobody is left to tell
		}
	}
}

func answerHeaders(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
}

// body reads a request's body, bounded for itself and together with all others. release gives back its share, and may
// be called more than once.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) (body []byte, release func(), failure *rpcError) {
	tooLarge := &rpcError{code: codeRequest, status: http.StatusRequestEntityTooLarge,
		data: fmt.Sprintf("request body is larger than %d bytes", h.cfg.MaxBodyBytes)}
	size := r.ContentLength
	if size > h.cfg.MaxBodyBytes {
		return nil, func() {}, tooLarge
	}
	share := int64(0) // of the memory for all bodies: what has come, never what was merely announced
	grow := func(to int64) bool {
		if !h.bodies.TryAcquire(to - share) {
			return false
		}
		share = to
		return true
	}
	release = func() {
		h.bodies.Release(share)
		share = 0
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, h.cfg.MaxBodyBytes), size, h.cfg.MaxBodyBytes, grow)
	if err != nil {
		if errors.Is(err, errNoRoom) {
			return nil, release, &rpcError{code: codeOverload, data: api.ErrOverload.Error()}
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, release, tooLarge
		}
		return nil, release, &rpcError{code: codeParse, data: "request body could not be read to its end"}
	}
	if err := api.CountBytes(r.Context(), int64(len(body))); err != nil {
		return nil, release, rpcFault(api.Classify(r.Context(), h.cfg.Log, "read the request", err))
	}
	return body, release, nil
}

// errNoRoom: the bodies that are worked on fill the memory for them.
var errNoRoom = errors.New("no room for another body")

// firstBytes is how much room a body gets before any of it has come.
const firstBytes = 64 << 10

// readAll reads a body of the size that was announced, below 0 when none was, and at most that many bytes. grow makes room
// for so many bytes in all; it is asked for twice as much as has come, or the rest. readAll always sees the body's end,
// which lets the server watch for the client's going away.
func readAll(r io.Reader, size, most int64, grow func(to int64) bool) ([]byte, error) {
	if size >= 0 {
		most = size
	}
	body := []byte(nil)
	for room := min(firstBytes, most); ; room = min(2*room, most) {
		if !grow(room) {
			return nil, errNoRoom
		}
		larger := make([]byte, len(body), room)
		copy(larger, body)
		body = larger
		for int64(len(body)) < room {
			n, err := r.Read(body[len(body):room])
			body = body[:len(body)+n]
			switch {
			case err == io.EOF && int64(len(body)) < size:
				return nil, io.ErrUnexpectedEOF
			case err == io.EOF:
				return body, nil
			case err != nil:
				return nil, err
			}
		}
		if room == most {
			break
		}
	}
	var more [1]byte
	if _, err := r.Read(more[:]); err != nil && err != io.EOF {
		return nil, err
	}
	return body, nil
}
