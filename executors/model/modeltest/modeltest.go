// Package modeltest is a service of language models for tests and examples: it speaks the wire formats of OpenAI (chat completions) and
// Anthropic (messages), streamed and whole, and plays recorded conversations, faults included.
//
// It owns what the services answer, field by field, and what they refuse. It must not know our own side of the wire: it reads requests as
// the services do, and never through package model.
package modeltest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"
)

// TB is what [Start] needs of a test.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Server is a running service. Safe for concurrent use.
type Server struct {
	http  *httptest.Server
	key   string
	anyOK bool
	stop  context.CancelFunc
	life  context.Context
	fault func(format string, args ...any) // tells the test that a script does not fit its requests

	mu       sync.Mutex
	scripts  map[string]*player
	requests []*Request
	came     chan struct{} // closed and replaced with each request
	made     int           // ids given
}

// Start starts a service on a free port of loopback; it ends with the test. A request that the script has no turn for fails the test.
func Start(t TB) *Server {
	t.Helper()
	s := newServer()
	s.fault = t.Errorf
	s.http = httptest.NewServer(s.Handler())
	t.Cleanup(s.Close)
	return s
}

// New makes a service that listens nowhere: serve [Server.Handler]. With an empty key, none is asked for.
func New(key string) *Server {
	s := newServer()
	s.key, s.anyOK = key, key == ""
	return s
}

func newServer() *Server {
	s := &Server{scripts: map[string]*player{}, came: make(chan struct{}), fault: func(string, ...any) {}}
	s.life, s.stop = context.WithCancel(context.Background())
	s.key = "sk-modeltest-" + random(16)
	return s
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// Close ends all answers and waits until their handlers have returned.
func (s *Server) Close() {
	s.stop()
	if s.http != nil {
		s.http.CloseClientConnections()
		s.http.Close()
	}
}

// URL is the address of the service, without a path.
func (s *Server) URL() string { return s.http.URL }

// OpenAI is the base URL of the OpenAI format, with /v1 as OpenAI's own has.
func (s *Server) OpenAI() string { return s.http.URL + "/v1" }

// Anthropic is the base URL of the Anthropic format, without /v1 as Anthropic's own.
func (s *Server) Anthropic() string { return s.http.URL }

// Key is the key that the service wants, in both formats.
func (s *Server) Key() string { return s.key }

// Play lets a model, by the name that requests have, play a script from its first turn. "*" stands for all models that have none of their
// own. Other models do not exist.
func (s *Server) Play(model string, script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[model] = &player{script: script, used: make([]int, len(script.Turns))}
}

// Requests are those that have come so far, refused ones too, in their order.
func (s *Server) Requests() []*Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Request(nil), s.requests...)
}

// Wait returns the requests as soon as there are n, or fails the test after half a minute.
func (s *Server) Wait(t TB, n int) []*Request {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		requests, came := append([]*Request(nil), s.requests...), s.came
		s.mu.Unlock()
		if len(requests) >= n {
			return requests
		}
		select {
		case <-came:
		case <-deadline:
			t.Fatalf("modeltest: %d requests came in 30 s, want %d", len(requests), n)
			return nil
		}
	}
}

// arrived keeps a request.
func (s *Server) arrived(r *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	close(s.came)
	s.came = make(chan struct{})
}

// id makes an identifier as long as the services' own.
func (s *Server) id(prefix string, length int) string {
	s.mu.Lock()
	s.made++
	n := s.made
	s.mu.Unlock()
	text := fmt.Sprintf("%06d", n) + random(32)
	return prefix + text[:length]
}

// player is a script and how often each of its turns was used.
type player struct {
	script Script
	used   []int
}

// turn finds what is to be answered; nil if the model does not exist.
func (s *Server) turn(r *Request) *Turn {
	s.mu.Lock()
	p := s.scripts[r.Model]
	if p == nil {
		p = s.scripts["*"]
	}
	turn := p.next(r)
	s.mu.Unlock()
	switch {
	case p == nil:
		return nil
	case turn == nil:
		text := fmt.Sprintf("modeltest: the script %q of model %s has no turn left for a request that ends with %q", p.script.Name, r.Model, r.last())
		s.fault("%s", text)
		return &Turn{Fault: FaultServer, Message: text}
	}
	if missing := turn.missing(r); missing != "" {
		s.fault("modeltest: script %q: the request to %s lacks %q", p.script.Name, r.Model, missing)
	}
	if turn.Reply != nil {
		made := turn.Reply(r)
		return &made
	}
	return turn
}

// next is the first turn that fits and is not used up.
func (p *player) next(r *Request) *Turn {
	if p == nil {
		return nil
	}
	for i := range p.script.Turns {
		turn := &p.script.Turns[i]
		if turn.Times >= 0 && p.used[i] >= max(turn.Times, 1) || !turn.fits(r) {
			continue
		}
		p.used[i]++
		made := *turn
		return &made
	}
	return nil
}

// Handler serves both formats.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()
		r = r.WithContext(ctx)
		if r.URL.Path == "/v1/messages" || r.Header.Get("anthropic-version") != "" {
			s.serve(w, r, anthropic{})
			return
		}
		s.serve(w, r, openAI{})
	})
}

// names are the models that exist, sorted.
func (s *Server) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.scripts))
	return slices.DeleteFunc(names, func(name string) bool { return name == "*" })
}

// plays says whether a model exists.
func (s *Server) plays(model string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scripts[model] != nil || s.scripts["*"] != nil
}
