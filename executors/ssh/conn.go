package ssh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

// conn is a connection to a host. The pool's lock guards the second half.
type conn struct {
	pool    *pool
	host    *host
	clients []*ssh.Client // with those to jump hosts
	client  *ssh.Client   // the last one
	quit    chan struct{} // closed when the connection is to be closed

	fence *fence // made for the first command that needs it

	used   int  // sessions that are promised to attempts, or not closed yet
	opened int  // sessions that are open
	ended  bool // quit is closed
	broken bool // takes no more attempts
	since  time.Time
	idle   *time.Timer // drops it; nil while it is used
	rest   *time.Timer // disarms the fence; likewise
}

// take promises sessions; the pool's lock is held.
func (c *conn) take(sessions int) {
	c.used += sessions
	if c.idle != nil {
		c.idle.Stop()
		c.rest.Stop()
		c.idle, c.rest = nil, nil
	}
}

// give takes a promise back. Unused for the idle time, the connection is closed.
func (c *conn) give(sessions int) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.used -= sessions
	c.host.signal()
	if c.used > 0 {
		return
	}
	if c.broken {
		c.end()
		return
	}
	c.since = time.Now()
	var timer *time.Timer
	timer = time.AfterFunc(c.pool.idleTimeout, func() {
		c.pool.mu.Lock()
		defer c.pool.mu.Unlock()
		if c.idle == timer {
			c.drop()
		}
	})
	c.idle, c.rest = timer, time.AfterFunc(c.fence.rests(), c.fence.disarm)
	c.pool.trim()
}

// drop closes the connection soon and lets no more attempts have it; the pool's lock is held.
func (c *conn) drop() {
	c.retire()
	c.end()
}

// retire lets no more attempts have the connection; it closes after the last one. The pool's lock is held.
func (c *conn) retire() {
	if c.broken {
		return
	}
	c.broken = true
	if c.idle != nil {
		c.idle.Stop()
		c.rest.Stop()
		c.idle, c.rest = nil, nil
	}
	c.host.conns = slices.DeleteFunc(c.host.conns, func(other *conn) bool { return other == c })
	c.pool.forget(c.host)
	c.host.signal()
}

// end closes the connection soon; the pool's lock is held.
func (c *conn) end() {
	if !c.ended {
		c.ended = true
		close(c.quit)
	}
}

// lost notes that the connection broke.
func (c *conn) lost() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.drop()
}

// watch asks the host for signs of life, and closes the connection if there are none, or when it is dropped.
func (c *conn) watch() {
	dead := make(chan struct{})
	go func() {
		_ = c.client.Wait()
		close(dead)
	}()
	ticker := time.NewTicker(c.pool.keepAlive)
	defer ticker.Stop()
	var answered chan struct{} // of the question that is out
	for {
		select {
		case <-answered:
			answered = nil
			continue
		case <-ticker.C:
			if answered == nil {
				answered = c.ask()
				continue
			}
		case <-dead:
		case <-c.quit:
		}
		break
	}
	c.lost()
	closeAll(c.clients)
	<-dead
}

// ask asks for a sign of life; the channel is closed when there is one. Refusing the question is one.
func (c *conn) ask() chan struct{} {
	answered := make(chan struct{})
	go func() { // ends with the connection at the latest
		if _, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
			close(answered)
		}
	}()
	return answered
}

// staleError: the connection was of no use, before anything happened on the host; another one may be.
type staleError struct{ err error }

func (e *staleError) Error() string { return e.err.Error() }
func (e *staleError) Unwrap() error { return e.err }

func isStale(err error) bool {
	_, stale := errors.AsType[*staleError](err)
	return stale
}

// channel is an open session.
type channel struct {
	ssh.Channel
	requests <-chan *ssh.Request
}

// request is what a session is asked for.
type request struct {
	name    string
	payload any
	env     []variable // sent before
	limit   limit      // that the fence must know before
}

type variable struct{ Name, Value string }

// open opens a session and asks it for something. If ctx ends first, the session is closed when the host answers.
func (c *conn) open(ctx context.Context, r request) (*channel, error) {
	type answer struct {
		ch  *channel
		err error
	}
	answers := make(chan answer, 1) // one answer, which nobody may wait for
	go func() {                     // ends with the connection at the latest
		ch, err := c.tryOpen(r)
		answers <- answer{ch, err}
	}()
	select {
	case a := <-answers:
		return a.ch, a.err
	case <-ctx.Done():
	}
	closed := make(chan struct{})
	go func() { // ends with the connection at the latest
		defer close(closed)
		if a := <-answers; a.err == nil {
			c.discard(a.ch)
		}
	}()
	c.settle(closed)
	return nil, context.Cause(ctx)
}

func (c *conn) tryOpen(r request) (*channel, error) {
	c.fence.arm(r.limit)
	raw, requests, err := c.client.OpenChannel("session", nil)
	if refused, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
		err = fmt.Errorf("the host opens no session: %s", refused.Message)
		if c.isFull() {
			return nil, &staleError{err}
		}
		return nil, err
	}
	if err != nil {
		c.lost()
		return nil, &staleError{fmt.Errorf("open a session: %w", err)}
	}
	c.count(1)
	ch := &channel{raw, requests}
	if err := ch.ask(r); err != nil {
		go func() { // the host may be slow to close it
			c.discard(ch)
		}()
		return nil, err
	}
	return ch, nil
}

func (ch *channel) ask(r request) error {
	for _, v := range r.env {
		if ok, err := ch.SendRequest("env", true, ssh.Marshal(v)); err != nil {
			return fmt.Errorf("set a variable: %w", err)
		} else if !ok {
			return invalid("env: the host does not take %s (AcceptEnv in its sshd_config), and a plain command has no other way", v.Name)
		}
	}
	ok, err := ch.SendRequest(r.name, true, ssh.Marshal(r.payload))
	if err != nil {
		return fmt.Errorf("request %s: %w", r.name, err)
	}
	if !ok {
		return fmt.Errorf("the host refuses the request %q", r.name)
	}
	return nil
}

// discard closes a session and reads what still comes, until the host has closed it too.
func (c *conn) discard(ch *channel) {
	_ = ch.Close()
	for r := range ch.requests {
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
	c.count(-1)
}

// count notes that a session was opened, or closed.
func (c *conn) count(n int) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.opened += n
}

// hold keeps a promise of sessions for longer than the attempt that had it.
func (c *conn) hold(sessions int) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.take(sessions)
}

// settleWithin is how long a host may take to close a session, or to answer for one, when the attempt has gone.
const settleWithin = 10 * time.Second

// settle holds a promise of a session until the host has closed it. One that gives signs of life and nothing else must not make the worker keep a
// connection for ever: it gets no more attempts, and closes after the last one.
func (c *conn) settle(closed <-chan struct{}) {
	c.hold(1)
	go func() {
		if !await(closed, settleWithin) {
			c.pool.mu.Lock()
			c.retire()
			c.pool.mu.Unlock()
		}
		c.give(1)
	}()
}

// isFull reports whether a host that refused a session may have done so for other sessions of the connection, and notes how many a
// connection to that host carries.
func (c *conn) isFull() bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if c.fence.open() && c.opened < 2 { // the fence is one too many
		c.host.alone = true
		c.retire()
		return true
	}
	if c.used < 2 {
		return false
	}
	c.host.limit = max(1, min(c.host.limit, c.opened))
	return true
}
