// Package httpserver is the one HTTP server of a coordinator: its listener, its limits and its end.
//
// It owns timeouts, slow clients, what browsers may send, where a request carries its token, panics, trace context, health and readiness. It must not know the protocols that it serves:
// they come as handlers.
package httpserver

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/net/netutil"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/internal/readiness"
)

// Config says where to listen, what to serve and what clients may do. Addr or Listener, API and Ready are required.
type Config struct {
	Addr     string       // host:port; port 0 takes a free one, see [Server.Addr]
	Listener net.Listener // instead of Addr; the server closes it
	TLS      *tls.Config  // nil: plain text

	API     http.Handler // everything but the paths below
	Metrics http.Handler // GET /metrics; nil: 405
	// Ready is asked by GET /ready, with a deadline of 2 s.
	Ready func(context.Context) error
	Log   *slog.Logger // default: slog.Default()

	// Identify tells who a request's token is of; nil: nobody is asked who it is. It guards API but for what Public says.
	Identify      api.Identify
	SessionCookie string      // in which browsers keep the session of who has signed in; empty: none do
	Refused       api.Refused // told of who is not let in; nil: nobody
	// Public says which requests to API need no token; nil: none.
	Public func(*http.Request) bool
	// Signed says which requests to API carry what lets them in themselves, in their path or signed: they need no token, and may be forms of pages of our own.
	// They are counted by their address. nil: none.
	Signed func(*http.Request) bool

	// Admit counts requests to API against the bounds of their callers; nil: there are none.
	Admit api.Admit
	// Refuse answers a request to API that is not let in, as the protocol at its path does; nil: with a plain object.
	Refuse func(http.ResponseWriter, *http.Request, *api.Fault)

	// Hosts are names of this server, with a port or for every port, that a request's Host may have besides localhost,
	// loopback addresses, the host of Addr and the address at which the request came in.
	Hosts []string
	// Origins are those of pages (https://host:port) that may use this server from a browser, besides its own.
	Origins []string
	// AnyOrigin lets pages of every other origin do so, too; a cookie says who they are only for Origins.
	AnyOrigin bool

	MaxConnections int           // beyond it new ones wait to be accepted; default 20 000
	MaxHeaderBytes int           // default 64 KiB
	HeaderTimeout  time.Duration // for a request's headers; default 10 s
	IdleTimeout    time.Duration // between requests of a connection; default 2 min
	ChunkTimeout   time.Duration // for the next bytes of a body, and for taking 256 KiB of an answer; default 30 s
	BodyTimeout    time.Duration // for a whole request body; default 5 min
	// Grace is how long requests in hand, streams too, may go on after Run's context has ended. Default 10 s.
	Grace time.Duration
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&c.MaxConnections, 20_000}, {&c.MaxHeaderBytes, 64 << 10}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.HeaderTimeout, 10 * time.Second}, {&c.IdleTimeout, 2 * time.Minute}, {&c.ChunkTimeout, 30 * time.Second},
		{&c.BodyTimeout, 5 * time.Minute}, {&c.Grace, 10 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// Server is an HTTP server that listens. Make it with [Listen] and end it by ending Run's context.
type Server struct {
	cfg      Config
	listener net.Listener
	unready  lately
}

// lately tells what is worth a line in the log: another text than the last, or the same one after 10 s. Probes ask every few seconds.
type lately struct {
	mu   sync.Mutex
	text string    // guarded by mu
	at   time.Time // guarded by mu
}

func (l *lately) isNews(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text == l.text && time.Since(l.at) < 10*time.Second {
		return false
	}
	l.text, l.at = text, time.Now()
	return true
}

// Listen takes the address, so that a port that is in use is known before anything else starts.
func Listen(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if cfg.API == nil || cfg.Ready == nil {
		return nil, errors.New("http server: API and Ready are required")
	}
	listener := cfg.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", cfg.Addr); err != nil {
			return nil, fmt.Errorf("http server: %w", err)
		}
	}
	return &Server{cfg: cfg, listener: listener}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is where the server listens, with its scheme.
func (s *Server) URL() string {
	if s.cfg.TLS != nil {
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// Close gives the address back when Run is never called.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, then takes nothing new, lets what is in hand go on for the grace, ends it with
// [api.ErrShutdown] as the cause, and returns nil. It leaves no goroutine behind but those of handlers that ignore their
// contexts. Call it once.
func (s *Server) Run(ctx context.Context) error {
	working, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(api.ErrShutdown)
	var hands sync.WaitGroup // of requests, also of those that took their connection over
	handler := s.handler()
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hands.Add(1)
			defer hands.Done()
			handler.ServeHTTP(w, r)
		}),
		BaseContext:       func(net.Listener) context.Context { return working },
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    s.cfg.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug), // clients' broken connections
	}
	served := make(chan error, 1) // one value, from the goroutine below
	go func() { served <- s.serve(server) }()
	select {
	case err := <-served:
		return fmt.Errorf("http server: %w", err)
	case <-ctx.Done():
	}
	// Streams are told a little before the end, so that they can still say goodbye.
	goodbye := time.AfterFunc(s.cfg.Grace*9/10, func() { stop(api.ErrShutdown) })
	defer goodbye.Stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		s.cfg.Log.Warn("requests were cut off at shutdown", "error", err)
		_ = server.Close()
	}
	<-served
	stop(api.ErrShutdown) // what took its connection over is not waited for by Shutdown
	over := make(chan struct{})
	go func() { hands.Wait(); close(over) }()
	select {
	case <-over:
	case <-grace.Done():
	}
	return nil
}

// serve takes connections, until the server is shut down.
func (s *Server) serve(server *http.Server) error {
	bounded := netutil.LimitListener(s.listener, s.cfg.MaxConnections)
	if s.cfg.TLS == nil {
		return server.Serve(bounded)
	}
	server.TLSConfig = s.cfg.TLS
	return server.ServeTLS(bounded, "", "")
}

// handler is all routes, wrapped in what every request gets.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { state(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /ready", s.ready)
	if s.cfg.Metrics != nil {
		mux.Handle("GET /metrics", s.cfg.Metrics)
	}
	for _, path := range []string{"/health", "/ready", "/metrics"} { // else "/" would take their other methods
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", "GET, HEAD")
			state(w, http.StatusMethodNotAllowed, "method not allowed")
		})
	}
	mux.Handle("/", s.let(s.cfg.API))
	return s.recovered(s.paced(s.guarded(traced(mux))))
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.cfg.Ready(ctx); err != nil {
		if s.unready.isNews(err.Error()) {
			s.cfg.Log.WarnContext(ctx, "not ready", "error", err) // its text names hosts
		}
		answer := map[string]string{"status": "unavailable"}
		if reason := readiness.Reason(err); reason != "" {
			answer["reason"] = reason
		}
		object(w, http.StatusServiceUnavailable, answer)
		return
	}
	state(w, http.StatusOK, "ready")
}

func state(w http.ResponseWriter, status int, text string) {
	object(w, status, map[string]string{"status": text})
}

func object(w http.ResponseWriter, status int, fields map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(fields)
}

// recovered turns a panic into an internal error with an id. Once an answer has begun, only the connection can tell.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := &begun{ResponseWriter: w}
		defer func() {
			value := recover()
			if value == nil {
				return
			}
			if value == http.ErrAbortHandler {
				panic(value)
			}
			fault := api.Panicked(r.Context(), s.cfg.Log, r.Method+" "+r.URL.Path, value, debug.Stack())
			if begun.yes {
				panic(http.ErrAbortHandler)
			}
			state(w, http.StatusInternalServerError, fault.Text)
		}()
		next.ServeHTTP(begun, r)
	})
}

// begun notes whether an answer has begun.
type begun struct {
	http.ResponseWriter
	yes bool
}

func (b *begun) WriteHeader(status int) {
	b.yes = true
	b.ResponseWriter.WriteHeader(status)
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.ResponseWriter.Write(p)
}

func (b *begun) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// traced puts the trace that a request belongs to into its context.
func traced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(api.Traced(r.Context(), propagation.HeaderCarrier(r.Header))))
	})
}
