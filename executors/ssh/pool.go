package ssh

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Bounds of connections.
const (
	// perConnection is how many sessions a connection carries. OpenSSH allows 10 (MaxSessions); the rest is for ending what does not end.
	perConnection = 8
	// maxIdle is how many connections stay open without an attempt.
	maxIdle = 64
)

// pool holds the connections that attempts share. Safe for concurrent use.
type pool struct {
	idleTimeout, keepAlive time.Duration

	mu     sync.Mutex
	hosts  map[routeKey]*host
	closed bool
	all    sync.WaitGroup // goroutines of connections
}

// host is what there is of one route. The pool's lock guards it.
type host struct {
	key     routeKey
	conns   []*conn
	limit   int           // sessions that a connection carries
	alone   bool          // a connection has no room for a fence
	waiting int           // attempts that look for a connection
	dialing bool          // one of them opens one
	changed chan struct{} // closed and replaced when a connection may have room
	failed  *failure      // of the last dial
}

// failure is why a connection could not be opened; it is everybody's who waited for it.
type failure struct {
	err error
	of  chan struct{} // host.changed as it was then
}

func newPool(idleTimeout, keepAlive time.Duration) *pool {
	return &pool{idleTimeout: idleTimeout, keepAlive: keepAlive, hosts: map[routeKey]*host{}}
}

var errClosed = errors.New("the worker ends")

// take finds a connection with room for so many sessions, or opens one; one attempt at a time opens one for a route, as servers refuse
// connections that come in crowds. The caller gives it back.
func (p *pool) take(ctx context.Context, key routeKey, sessions int, dial func(context.Context) ([]*ssh.Client, error)) (*conn, error) {
	p.mu.Lock()
	h := p.hosts[key]
	if h == nil {
		h = &host{key: key, limit: perConnection, changed: make(chan struct{})}
		p.hosts[key] = h
	}
	h.waiting++
	defer func() {
		h.waiting--
		p.forget(h)
		p.mu.Unlock()
	}()
	for {
		if p.closed {
			return nil, errClosed
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if c := h.withRoom(sessions); c != nil {
			c.take(sessions)
			return c, nil
		}
		if h.dialing {
			changed := h.changed
			p.mu.Unlock()
			select {
			case <-changed:
			case <-ctx.Done():
			}
			p.mu.Lock()
			if f := h.failed; f != nil && f.of == changed && ctx.Err() == nil {
				return nil, f.err
			}
			continue
		}
		if err := p.open(ctx, h, dial); err != nil {
			return nil, err
		}
	}
}

// open opens a connection. The lock is free meanwhile.
func (p *pool) open(ctx context.Context, h *host, dial func(context.Context) ([]*ssh.Client, error)) error {
	h.dialing = true
	p.mu.Unlock()
	clients, err := dial(ctx)
	p.mu.Lock()
	h.dialing, h.failed = false, nil
	switch {
	case err == nil && p.closed:
		closeAll(clients)
		err = errClosed
	case err == nil:
		c := &conn{pool: p, host: h, clients: clients, client: clients[len(clients)-1], quit: make(chan struct{})}
		c.fence = newFence(c, h.alone)
		h.conns = append(h.conns, c)
		p.all.Go(c.watch)
	case ctx.Err() == nil:
		h.failed = &failure{err, h.changed}
	}
	h.signal()
	return err
}

// signal wakes all who wait for the host.
func (h *host) signal() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *host) withRoom(sessions int) *conn {
	for _, c := range h.conns {
		if !c.broken && c.used+sessions <= h.limit || c.used == 0 && !c.broken {
			return c
		}
	}
	return nil
}

// forget drops a host of which nothing is left.
func (p *pool) forget(h *host) {
	if h.waiting == 0 && len(h.conns) == 0 {
		delete(p.hosts, h.key)
	}
}

// trim closes the connection that was idle for longest, if too many are.
func (p *pool) trim() {
	var oldest *conn
	idle := 0
	for _, h := range p.hosts {
		for _, c := range h.conns {
			if c.used == 0 {
				idle++
				if oldest == nil || c.since.Before(oldest.since) {
					oldest = c
				}
			}
		}
	}
	if idle > maxIdle {
		oldest.drop()
	}
}

// close closes all connections and waits for their goroutines.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, h := range p.hosts {
		for _, c := range slices.Clone(h.conns) {
			c.drop()
		}
	}
	p.mu.Unlock()
	p.all.Wait()
}
