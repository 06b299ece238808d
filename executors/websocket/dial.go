package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
)

const maxRedirects = 5

// wire is the connection below the protocol, so that it can be cut.
type wire struct {
	mu   sync.Mutex
	conn net.Conn
}

func (w *wire) set(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = c
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close() // it may be closed already
	}
}

// dial makes the handshake.
func (e *Executor) dial(ctx context.Context, p *plan, call *executors.Call) (*session, error) {
	w := &wire{}
	guarded := e.network.Pool(call.Pool)
	to := &parting{origin: p.origin(), there: w.transport(guarded), elsewhere: w.transport(guarded)}
	to.there.TLSClientConfig, to.elsewhere.TLSClientConfig = p.tls.Config(guarded, ""), p.tls.Config(guarded, "")
	if call.Connection != "" {
		trusted := guarded.Trusted()
		to.there = w.transport(trusted)
		to.there.TLSClientConfig, to.elsewhere.TLSClientConfig = p.tls.Config(trusted, ""), guarded.TLS("")
	}
	defer to.there.CloseIdleConnections()
	defer to.elsewhere.CloseIdleConnections()
	conn, answer, err := websocket.Dial(ctx, p.origin().String(), &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: to, CheckRedirect: p.redirect},
		HTTPHeader:   p.headers.Header,
		Subprotocols: p.in.Subprotocols,
	})
	if err != nil {
		w.cut()
		return nil, p.refusal(ctx, answer, err)
	}
	conn.SetReadLimit(int64(e.cfg.MaxMessageBytes))
	s := &session{plan: p, conn: conn, wire: w, reporter: call.Reporter, most: e.cfg.MaxMessageBytes,
		messages: make(chan message), ended: make(chan struct{})}
	s.begin()
	return s, nil
}

// transport goes out as the dialer does.
func (w *wire) transport(d *network.Dialer) *http.Transport {
	transport := d.Transport()
	transport.Proxy = nil // DialContext goes through it by a tunnel, as a WebSocket must (RFC 6455 4.1)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err == nil {
			w.set(c)
		}
		return c, err
	}
	return transport
}

// parting sends what goes to an origin one way, and all else another: with a connection, the operator chose the origin, and nobody where a
// redirect leads to.
type parting struct {
	origin           *url.URL
	there, elsewhere *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (p *parting) RoundTrip(req *http.Request) (*http.Response, error) {
	if headers.SameOrigin(req.URL, p.origin) {
		return p.there.RoundTrip(req)
	}
	return p.elsewhere.RoundTrip(req)
}

// redirect decides on the next hop; the guard judges its address when it is dialled. Credentials stay with their origin, and an encrypted
// connection stays encrypted.
func (p *plan) redirect(next *http.Request, via []*http.Request) error {
	away := func(hop *http.Request) bool { return !headers.SameOrigin(hop.URL, p.origin()) }
	switch {
	case len(via) > maxRedirects:
		return executors.Permanent(fmt.Errorf("more than %d redirects", maxRedirects))
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return executors.Permanent(errors.New("redirect to something that is no WebSocket"))
	case next.URL.Scheme == "http" && p.url.Scheme == "wss":
		return executors.Permanent(errors.New("redirect from wss:// to ws://"))
	}
	next.Header.Del("Referer")
	if away(next) || slices.ContainsFunc(via, away) {
		headers.LeaveHarmless(next.Header)
		if p.in.Auth != nil {
			next.Header.Del(p.in.Auth.Key) // whatever it is called
		}
	}
	return nil
}

// dialError is a handshake that failed.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }

func (e *dialError) Unwrap() error { return e.err }

// refusal classes the failure of a handshake. A server that answers with another status says by it whether another attempt may help.
func (p *plan) refusal(ctx context.Context, answer *http.Response, err error) error {
	if ctx.Err() != nil {
		return &dialError{err}
	}
	if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
		text := fmt.Sprintf("server rejected WebSocket connection: HTTP %d", answer.StatusCode)
		if answer.Body != nil {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, 500)) // in memory
			if said := strings.TrimSpace(executors.Text(body)); said != "" {
				text += ": " + said
			}
		}
		return &dialError{headers.Classed(errors.New(text), answer.StatusCode, answer.Header)}
	}
	err = network.Classed(err)
	if answer != nil { // 101, but not by the protocol
		err = executors.Permanent(err)
	}
	return &dialError{err}
}
