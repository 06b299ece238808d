package mcp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/programs"
)

// Bounds of a session's end.
const (
	mostGrace   = 500 * time.Millisecond // from SIGTERM to SIGKILL
	leaveWithin = 2 * time.Second        // for a server whose work is done to end by itself
	patience    = 10 * time.Second       // [Config.Patience]
	wordWithin  = 400 * time.Millisecond // for the word that a call is cancelled
	partWithin  = 500 * time.Millisecond // for the requests that end a session over HTTP
)

// Opener opens sessions. Safe for concurrent use.
type Opener struct {
	cfg      Config
	network  *network.Network
	programs *programs.Guard
}

// NewOpener makes one. Connections go through n.
func NewOpener(cfg Config, n *network.Network) *Opener {
	if cfg.MaxMessageBytes <= 0 {
		cfg.MaxMessageBytes = DefaultMessageBytes
	}
	if cfg.Patience <= 0 {
		cfg.Patience = patience
	}
	if cfg.Grace <= 0 || cfg.Grace > mostGrace {
		cfg.Grace = mostGrace
	}
	return &Opener{cfg, n, programs.New(programs.Config{Allowed: cfg.Whitelist, KeepEnv: cfg.KeepEnv})}
}

// way is how a server is reached.
type way interface {
	transport() sdk.Transport
	// version tells what was agreed upon.
	version(negotiated string)
	// ended says why a server that could be seen to end did so; nil: it lives, or nobody can tell.
	ended() error
	// end lets go of the server. soon: it is not given time to end by itself.
	end(soon bool)
}

// Session is a connection to a server, for one attempt. Safe for concurrent use.
type Session struct {
	opener *Opener
	call   *executors.Call
	server *Server
	wire   *wire
	way    way
	mask   *headers.Set // hides the credentials that the server was given
	once   sync.Once

	mu     sync.Mutex
	client *sdk.ClientSession // once the handshake is made; then it stays
	stop   func() bool        // of what ends the session with its context
	calls  int                // of tools
	tools  []tool             // nil: not asked for yet
	names  map[string]string  // of tools, as a model sees them
}

// Open opens a session. It lasts until Close, or the end of ctx, after which nothing of it is left within a second. Errors are classed;
// the server's inputs are checked first ([Opener.Faults]).
func (o *Opener) Open(ctx context.Context, call *executors.Call, server Server) (*Session, error) {
	if faults := o.Faults(call, &server); len(faults) > 0 {
		return nil, executors.Invalid(ID, faults[0]+rest(faults[1:]))
	}
	return o.open(ctx, call, &server, false)
}

func rest(faults []string) (text string) {
	for _, fault := range faults {
		text += "; " + fault
	}
	return text
}

// open opens a session with a server that is known to be in order. sole: its progress is the attempt's. A program that was slow to start
// may have been spoken to in an older version than it speaks; then it is started once more.
func (o *Opener) open(ctx context.Context, call *executors.Call, server *Server, sole bool) (*Session, error) {
	s, err := o.try(ctx, call, server, sole)
	if err == nil {
		return s, nil
	}
	if s == nil || ctx.Err() != nil {
		return nil, err
	}
	if p, ok := s.way.(*process); !ok || !p.wrongly.Load() {
		return nil, err
	}
	if s, err = o.try(ctx, call, server, sole); err != nil {
		return nil, err
	}
	return s, nil
}

// try opens a session. With an error it returns one that has ended, or nil.
func (o *Opener) try(ctx context.Context, call *executors.Call, server *Server, sole bool) (*Session, error) {
	mask, _ := headers.New(call, "headers", server.Headers, server.Auth) // its faults have been looked for
	for name, value := range server.Env {
		if len(value) >= 8 && name != "PATH" && name != "HOME" { // a shorter one is likelier a plain word
			mask.Hide(value)
		}
	}
	s := &Session{opener: o, call: call, server: server, mask: mask}
	s.wire = newWire(&masked{call.Reporter, mask}, sole)
	var err error
	if server.Transport == Stdio {
		s.way, err = o.start(ctx, call, server, s.wire)
	} else {
		s.way, err = o.dial(call, server, mask)
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.stop = context.AfterFunc(ctx, func() { s.end(true) })
	s.mu.Unlock()
	if err := s.shake(ctx); err != nil {
		s.end(true)
		return s, err
	}
	return s, nil
}

// shake makes the handshake.
func (s *Session) shake(ctx context.Context) error {
	client := sdk.NewClient(&sdk.Implementation{Name: "taskgrove", Version: "1"}, &sdk.ClientOptions{
		Capabilities:   &sdk.ClientCapabilities{}, // none
		MultiRoundTrip: &sdk.MultiRoundTripOptions{Disabled: true},
	})
	options := &sdk.ClientSessionOptions{ProtocolVersion: s.server.Protocol}
	if s.server.Transport == SSE && options.ProtocolVersion == "" {
		options.ProtocolVersion = "2025-11-25" // who has server/discover has no SSE
	}
	x := &exchange{method: "initialize"}
	connected, err := client.Connect(x.in(ctx), s.wire.around(s.way.transport()), options)
	if err != nil {
		return s.failure(ctx, x, err)
	}
	s.mu.Lock()
	s.client = connected
	s.mu.Unlock()
	s.way.version(connected.InitializeResult().ProtocolVersion)
	return nil
}

// Protocol is the version of the protocol that both sides agreed upon.
func (s *Session) Protocol() string { return s.client.InitializeResult().ProtocolVersion }

// Close ends the session: its process, or its requests. Nothing is left then.
func (s *Session) Close() error {
	s.end(false)
	return nil
}

// end ends the session once. soon: whatever it does is not wanted any more.
func (s *Session) end(soon bool) {
	s.once.Do(func() {
		s.mu.Lock()
		client, stop := s.client, s.stop
		s.mu.Unlock()
		if stop != nil {
			stop()
		}
		if soon {
			s.wire.cancelAll()
		}
		done := make(chan struct{})
		go func() { // ends with the way
			defer close(done)
			if client != nil {
				_ = client.Close() // the server is left in any case
			}
		}()
		if s.server.Transport != Stdio { // over HTTP it is a request
			select {
			case <-done:
			case <-time.After(partWithin):
			}
		}
		s.way.end(soon)
		s.wire.Close()
		<-done
	})
}

// failure makes the error of something that failed: classed, with the texts of spec 8.9, and without credentials.
func (s *Session) failure(ctx context.Context, x *exchange, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return executors.Ended(ctx, err)
	}
	ended := s.way.ended()
	if errors.Is(ended, guardian.ErrLeaseEnded) {
		return executors.ErrLeaseLost
	}
	f := explain(x, err, s.wire.broken(), ended)
	return f.error(s.mask)
}

// masked is a reporter that shows no credentials.
type masked struct {
	executors.Reporter
	mask *headers.Set
}

// Log implements [executors.Reporter].
func (m *masked) Log(stream, line string) { m.Reporter.Log(stream, m.mask.Mask(line)) }

// Progress implements [executors.Reporter].
func (m *masked) Progress(fraction float64, message string) {
	m.Reporter.Progress(fraction, m.mask.Mask(message))
}

// cut bounds a text from outside.
func cut(text string, most int) string {
	text = executors.Text([]byte(text))
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s…", executors.Text([]byte(text[:most])))
}
