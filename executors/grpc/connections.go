package grpccall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // servers may compress
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
)

const (
	maxConnections = 64
	idleTimeout    = 90 * time.Second // without a call, a connection is closed; the next call opens it again
	maxHeaderBytes = 64 << 10         // metadata of an answer
)

// connections keeps connections between attempts. Its zero value is ready to use; safe for concurrent use.
type connections struct {
	mu     sync.Mutex
	kept   map[peer]*connection
	closed bool
}

// connection is to one peer. Attempts share it.
type connection struct {
	*grpc.ClientConn
	peer peer

	users int       // of connections.mu
	kept  bool      // likewise
	used  time.Time // likewise: when it was last taken

	mu    sync.Mutex
	fault error // why the last attempt to connect failed; nil: it has not
}

// take gives a connection to the peer, one that open makes if there is none. The caller must release it.
func (c *connections) take(to peer, open func() (*connection, error)) (*connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.kept[to]
	if conn == nil {
		var err error
		if conn, err = open(); err != nil { // which only makes the object: nothing is dialled yet
			return nil, err
		}
		if conn.kept = !c.closed && c.room(); conn.kept {
			if c.kept == nil {
				c.kept = map[peer]*connection{}
			}
			c.kept[to] = conn
		}
	}
	conn.users++
	conn.used = time.Now()
	return conn, nil
}

// room makes room for one more: the connection that was not used for longest goes. It reports false if all are in use.
func (c *connections) room() bool {
	if len(c.kept) < maxConnections {
		return true
	}
	var oldest *connection
	for _, conn := range c.kept {
		if conn.users == 0 && (oldest == nil || conn.used.Before(oldest.used)) {
			oldest = conn
		}
	}
	if oldest != nil {
		c.drop(oldest)
	}
	return oldest != nil
}

// release gives a connection back. If it is not to be kept, the next attempt opens a new one; it is closed when its last user has gone.
func (c *connections) release(conn *connection, keep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.users--
	if !keep || !conn.kept {
		c.drop(conn)
	}
}

// drop forgets a connection.
func (c *connections) drop(conn *connection) {
	if conn.kept {
		delete(c.kept, conn.peer)
		conn.kept = false
	}
	if conn.users == 0 {
		_ = conn.Close() // it fails only for one that is closed
	}
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.kept {
		c.drop(conn)
	}
}

// dial makes a connection, which opens when it is needed. gRPC resolves no names, knows no proxies and repeats no calls: the network
// package does the first two, the task's policy the last.
func (e *Executor) dial(p *plan) (*connection, error) {
	dialer := e.network.Pool(p.peer.pool)
	if p.peer.trusted {
		dialer = dialer.Trusted()
	}
	conn := &connection{peer: p.peer}
	creds := insecure.NewCredentials()
	if p.tls != nil {
		creds = &handshakes{credentials.NewTLS(p.tls.Config(dialer, "")), conn}
	}
	cc, err := grpc.NewClient("passthrough:///"+p.peer.address,
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			opened, err := dialer.DialContext(ctx, p.peer.network, address)
			conn.failed(err)
			return opened, err
		}),
		grpc.WithTransportCredentials(creds),
		grpc.WithAuthority(authority(p)),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(idleTimeout), grpc.WithMaxHeaderListSize(maxHeaderBytes), grpc.WithUserAgent("taskgrove"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(e.cfg.MaxMessageBytes), grpc.MaxCallSendMsgSize(e.cfg.MaxMessageBytes)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", p.peer.address, err)
	}
	conn.ClientConn = cc
	return conn, nil
}

// authority is whom the call says that it is for.
func authority(p *plan) string {
	switch {
	case p.tls != nil && p.tls.ServerName != "":
		return p.tls.ServerName
	case p.peer.network == "unix":
		return p.peer.host
	}
	return p.peer.address
}

// handshakes are TLS credentials that remember why a handshake failed.
type handshakes struct {
	credentials.TransportCredentials
	conn *connection
}

// ClientHandshake implements [credentials.TransportCredentials].
func (h *handshakes) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, raw)
	h.conn.failed(err)
	if err == nil {
		secured = refusable{secured, h.conn}
	}
	return secured, info, err
}

// refusable is a connection that the server may still refuse: it judges the client's certificate when the client's handshake is over.
type refusable struct {
	net.Conn
	conn *connection
}

// Read implements [net.Conn].
func (r refusable) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" {
		r.conn.failed(err)
	}
	return n, err
}

// Clone implements [credentials.TransportCredentials].
func (h *handshakes) Clone() credentials.TransportCredentials {
	return &handshakes{h.TransportCredentials.Clone(), h.conn}
}

// failed records how a step of connecting went. gRPC would turn the error into text, and its class would be lost.
func (c *connection) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = nil
	if err != nil {
		c.fault = network.Classed(err)
	}
}

// ready waits until the connection is open. Its error is of class [executors.Permanent] where another attempt would fail alike.
func (c *connection) ready(ctx context.Context) error {
	c.Connect()
	for {
		switch state := c.GetState(); state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			return c.reason(nil) // nil where it failed behind the handshake: then the call has the reason
		default:
			if state == connectivity.Idle {
				c.Connect()
			}
			if !c.WaitForStateChange(ctx, state) {
				return ctx.Err()
			}
		}
	}
}

// reason is why there is no connection, where that is known; else err.
func (c *connection) reason(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault == nil {
		return err
	}
	return &connectError{c.peer.address, c.fault}
}

// connectError reports that there is no connection.
type connectError struct {
	address string
	err     error
}

func (e *connectError) Error() string {
	return "UNAVAILABLE: connect to " + e.address + ": " + e.err.Error()
}

func (e *connectError) Unwrap() error { return e.err }

// usable reports whether a connection may be used again after a call ended with err: a status that the server sent says so. One that is
// made of a broken or silent connection does not, and the two can't be told apart.
func usable(err error) bool {
	st, ok := status.FromError(err)
	if !ok {
		return executors.IsPermanent(err) // of the messages, not of the connection
	}
	switch st.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		return false
	}
	return true
}
