package mcp

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Path is where a [Handler] answers.
const Path = "/mcp"

// Config bounds and names a [Handler]. The zero value is usable.
type Config struct {
	Log     *slog.Logger // default: slog.Default()
	Version string       // of serverInfo; default "dev"
	Known   dag.Known    // the executors that a task's choice is made from (spec 1.3)
	Limits  dag.Limits   // of a tree

	MaxSessions  int           // clients with a session at once; beyond it they get none and are served all the same. Default 1000; below 0: none
	SessionIdle  time.Duration // after which a session ends that sends nothing; default 30 min
	MaxCalls     int           // requests that are worked on at once; beyond it they get 503. Default 1000
	MaxBodyBytes int64         // of one request; default 4 MiB
	AnswerBytes  int           // of what one tool or resource answers; longer values in it are cut. Default 256 KiB
	MaxWait      time.Duration // of calls that wait for a tree; default 1 h
}

func (c Config) withDefaults() Config {
	def(&c.Log, slog.Default())
	def(&c.Version, "dev")
	def(&c.MaxSessions, 1000)
	def(&c.SessionIdle, 30*time.Minute)
	def(&c.MaxCalls, 1000)
	def(&c.MaxBodyBytes, 4<<20)
	def(&c.AnswerBytes, 256<<10)
	def(&c.MaxWait, time.Hour)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

const (
	maxTasks = 300     // that one answer shows
	maxRead  = 8 << 20 // bytes of tasks that are read for one answer, before long values are cut
)

// keepAlive is how often a client that asked for progress hears of a call that goes on, though nothing happens.
const keepAlive = 10 * time.Second

// Handler serves the Model Context Protocol. Safe for concurrent use. Its sessions have goroutines until they end or [Handler.Close].
type Handler struct {
	cfg   Config
	calls *jsonrpc.Handler // answers in the words of the task-tree protocol
	tools map[string]*tool
	inUse atomic.Int64 // requests in hand
	hand  inHand       // those of sessions

	streams context.Context // ends when no client shall be held any more
	drain   context.CancelCauseFunc

	server    *sdk.Server
	sessions  http.Handler // requests of a session, and initialize that begins one
	stateless http.Handler // requests for themselves, answered by a stream
	plain     http.Handler // likewise, answered by JSON
}

// New makes a handler on the service that access gives.
func New(access *coordinator.Access, cfg Config) *Handler {
	cfg = cfg.withDefaults()
	h := &Handler{cfg: cfg, tools: map[string]*tool{}}
	h.streams, h.drain = context.WithCancelCause(context.Background())
	h.calls = jsonrpc.New(access, jsonrpc.Config{
		Log: cfg.Log, Version: cfg.Version, Known: cfg.Known, Limits: cfg.Limits, MaxBodyBytes: cfg.MaxBodyBytes, MaxBodiesBytes: 16 * cfg.MaxBodyBytes,
		MaxAnswerTasks: maxTasks, MaxAnswerBytes: maxRead, MaxWait: cfg.MaxWait, MaxStreams: cfg.MaxCalls,
	})
	h.server = h.newServer()
	one := func(*http.Request) *sdk.Server { return h.server }
	options := sdk.StreamableHTTPOptions{
		Logger: slog.New(slog.DiscardHandler), // the SDK's words about clients' faults, with what they sent
		// httpserver guards Host and Origin, also behind a proxy.
		DisableLocalhostProtection: true, MaxRequestBodyBytes: -1, PropagateRequestCancellation: true, SessionTimeout: cfg.SessionIdle,
	}
	known := identified(access)
	h.sessions = known(sdk.NewStreamableHTTPHandler(one, &options))
	options.Stateless = true
	h.stateless = known(sdk.NewStreamableHTTPHandler(one, &options))
	options.JSONResponse = true
	h.plain = known(sdk.NewStreamableHTTPHandler(one, &options))
	return h
}

// Drain ends the streams on which sessions wait for words of the server, and begins no more sessions. Requests in hand, and further ones, are
// answered.
func (h *Handler) Drain() error {
	h.drain(api.ErrShutdown)
	return nil
}

// Close ends all sessions, and the calls that are in hand.
func (h *Handler) Close() error {
	h.drain(api.ErrShutdown)
	h.hand.endAll()
	for s := range h.server.Sessions() {
		_ = s.Close() // it is gone either way
	}
	return nil
}

// asking is on whose behalf a request is made. It goes from the HTTP request to the tools by the SDK's token info, as the SDK hands tools another context
// than the request's.
type asking struct {
	svc coordinator.Service
	ctx context.Context // the HTTP request's: it ends when the client leaves, and when the server stops
}

const askingKey = "asking"

// identified gives each request the service on behalf of who sent it. A session is its maker's alone: the SDK refuses the requests of others.
func identified(access *coordinator.Access) func(http.Handler) http.Handler {
	verify := func(_ context.Context, _ string, r *http.Request) (*auth.TokenInfo, error) {
		who := api.CallerOf(r.Context(), coordinator.SurfaceMCP, r.RemoteAddr)
		return &auth.TokenInfo{
			UserID: callerID(who),
			Extra:  map[string]any{askingKey: &asking{svc: access.For(who), ctx: r.Context()}},
		}, nil
	}
	bearer := auth.RequireBearerToken(verify, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true})
	return func(next http.Handler) http.Handler {
		next = bearer(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer checked") // who it is, the door before has found out; the SDK need not see the token
			r.Header.Del("Cookie")
			next.ServeHTTP(w, r)
		})
	}
}

// Headers of streamable HTTP.
const (
	headerSession = "Mcp-Session-Id"
	headerVersion = "Mcp-Protocol-Version"
)

// stateless20260728 is the first protocol version without sessions.
const stateless20260728 = "2026-07-28"

// ServeHTTP answers POST, and GET and DELETE of sessions.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		h.without(w, r)
		return
	}
	if h.inUse.Add(1) > int64(h.cfg.MaxCalls) {
		h.inUse.Add(-1)
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, api.ErrOverload.Error())
		return
	}
	defer h.inUse.Add(-1)
	body, release, status, text := h.calls.Body(w, r)
	defer release()
	if status != 0 {
		refuse(w, status, text)
		return
	}
	r, done := h.hand.take(r)
	defer done()
	if methodOf(body) == "initialize" && r.Header.Get(headerSession) == "" {
		h.begin(w, r, body)
		return
	}
	h.door(r, false).ServeHTTP(w, again(r, body))
}

// again is a request whose body has been read.
func again(r *http.Request, body []byte) *http.Request {
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	r.ContentLength = int64(len(body))
	return r
}

// begin answers initialize: with a session, if there is room for one. It counts as a stream of its caller's until it ends.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, body []byte) {
	leave, err := api.OpenStream(r.Context())
	begins := err == nil && h.room()
	begun := (*sdk.ServerSession)(nil)
	defer func() {
		switch {
		case err != nil:
		case begun == nil:
			leave()
		default:
			go func() { _ = begun.Wait(); leave() }() // ends with the session, which ends with the handler at the latest
		}
	}()
	h.door(r, begins).ServeHTTP(w, again(r, body))
	if id := w.Header().Get(headerSession); id != "" && api.Admitted(r.Context()) {
		begun = h.session(id)
	}
}

// session is the one of that id; nil: it is not there, or has ended.
func (h *Handler) session(id string) *sdk.ServerSession {
	for s := range h.server.Sessions() {
		if s.ID() == id {
			return s
		}
	}
	return nil
}

// without serves what has no body. A stream from the server is a session's.
func (h *Handler) without(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(headerSession) == "" {
		h.stateless.ServeHTTP(w, r) // 405
		return
	}
	if r.Method == http.MethodDelete {
		h.hand.end(holderOf(r))
		h.sessions.ServeHTTP(w, r)
		return
	}
	leave, err := api.OpenStream(r.Context())
	if err != nil {
		f := api.Classify(r.Context(), h.cfg.Log, "MCP stream", err)
		w.Header().Set("Retry-After", api.Seconds(f.RetryAfter))
		h.Refuse(w, r, f)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(h.streams, func() { cancel(context.Cause(h.streams)) })()
	h.sessions.ServeHTTP(w, r.WithContext(ctx))
}

// door is who answers a request. begins: it may begin a session.
func (h *Handler) door(r *http.Request, begins bool) http.Handler {
	if (begins || r.Header.Get(headerSession) != "") && r.Header.Get(headerVersion) < stateless20260728 {
		return h.sessions
	}
	if !strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/event-stream") { // a plain client, such as curl
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Content-Type", "application/json") // httpserver sees to it that browsers say so themselves
		return h.plain
	}
	return h.stateless
}

// room reports whether another session may begin. Who gets none is served without.
func (h *Handler) room() bool {
	if h.streams.Err() != nil {
		return false
	}
	n := 0
	for range h.server.Sessions() {
		if n++; n >= h.cfg.MaxSessions {
			return false
		}
	}
	return h.cfg.MaxSessions > 0
}

// methodOf is the method of a request, empty for a batch.
func methodOf(body []byte) (method string) {
	for name, value := range rawjson.Members(body) {
		if string(name) == `"method"` && len(value) > 0 && value[0] == '"' {
			method, _ = rawjson.Unquote(value)
		}
	}
	return method
}

// Refuse answers a request that was not let in. The headers are its caller's.
func (h *Handler) Refuse(w http.ResponseWriter, _ *http.Request, f *api.Fault) {
	refuseAs(w, api.HTTPStatus(f.Kind), refusals[f.Kind], f.Text)
}

// refusals are the codes of what is not let in.
var refusals = map[api.Kind]int{api.Invalid: -32602, api.Limited: -32000}

// refuse answers a request that the SDK does not get to see.
func refuse(w http.ResponseWriter, status int, text string) {
	code := -32600
	switch status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		code = -32000
	case http.StatusBadRequest:
		code = -32700
	}
	refuseAs(w, status, code, text)
}

func refuseAs(w http.ResponseWriter, status, code int, text string) {
	answer, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": nil, "error": map[string]any{"code": code, "message": text}}) // strings and numbers
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(answer) // if the client has gone, nobody is left to tell
}
