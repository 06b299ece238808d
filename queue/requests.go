package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// pendingRequests bounds what waits in this process for one handler, in messages and bytes. Above it, NATS drops
// requests and their senders ask again.
const (
	pendingRequests     = 1 << 17
	pendingRequestBytes = 256 << 20
)

// drainTimeout bounds how long a subscription that ends goes on with what has arrived.
const drainTimeout = 2 * time.Second

// Serve calls handle, in one goroutine, for each request of the kind, shared with the other coordinators (one of them
// gets it), until ctx ends; what had arrived by then is still handled before it returns ctx's error. reply may be
// called later, from any goroutine, once or never; it is a no-op for messages that want no answer. The worker's id is
// that of the subject, which permissions prove; an answer goes to that worker's own inbox or nowhere.
func (c *Conn) Serve(ctx context.Context, kind Kind, handle func(worker string, data []byte, reply func([]byte))) error {
	prefix := c.names.subject(kind, "")
	err := c.subscribe(ctx, prefix+"*", coordinators, func(m *nats.Msg) {
		worker := m.Subject[len(prefix):]
		reply := func([]byte) {}
		if strings.HasPrefix(m.Reply, c.names.inbox(worker)+".") {
			reply = func(data []byte) { _ = c.nc.Publish(m.Reply, data) } // lost answers are asked for again
		}
		handle(worker, m.Data, reply)
	})
	if err != nil {
		return fmt.Errorf("serve %s: %w", kind, err)
	}
	return nil
}

// subscribe calls handle, in one goroutine, for each message until ctx ends, then for those that are here already.
// An empty queue shares with nobody.
func (c *Conn) subscribe(ctx context.Context, subject, queue string, handle nats.MsgHandler) error {
	ended := make(chan struct{})
	sub, err := c.nc.QueueSubscribe(subject, queue, handle)
	if err != nil {
		return closedErr(err)
	}
	sub.SetClosedHandler(func(string) { close(ended) })
	if err := sub.SetPendingLimits(pendingRequests, pendingRequestBytes); err != nil {
		return closedErr(err)
	}
	select {
	case <-ended: // by Close
		return ErrClosed
	case <-ctx.Done():
	}
	if err := sub.Drain(); err != nil {
		return closedErr(err)
	}
	select {
	case <-ended:
	case <-time.After(drainTimeout): // the server can't be reached, or the handler is stuck in a long backlog
		_ = sub.Unsubscribe()
		<-ended
	}
	return ctx.Err()
}

// Tell sends news to one worker, at most once.
func (c *Conn) Tell(worker string, data []byte) error {
	if !ValidName(worker) {
		return fmt.Errorf("tell worker %q: not an id", worker)
	}
	if err := c.nc.Publish(c.names.subject(news, worker), data); err != nil {
		return fmt.Errorf("tell worker %s: %w", worker, closedErr(err))
	}
	return nil
}

// News delivers what coordinators tell this worker, in one goroutine, until ctx ends.
func (c *Conn) News(ctx context.Context, handle func([]byte)) error {
	err := c.subscribe(ctx, c.names.subject(news, c.cfg.Worker), "", func(m *nats.Msg) { handle(m.Data) })
	if err != nil {
		return fmt.Errorf("news: %w", err)
	}
	return nil
}

// Request asks a coordinator, under the worker's own subject. [ErrNoCoordinator] when nobody listens. A request that
// a dying coordinator took is answered by nobody: give ctx a deadline, or it is 5 s.
func (c *Conn) Request(ctx context.Context, kind Kind, data []byte) ([]byte, error) {
	var answer *nats.Msg
	err := c.call(ctx, func(ctx context.Context) (err error) {
		answer, err = c.nc.RequestWithContext(ctx, c.names.subject(kind, c.cfg.Worker), data)
		return err
	})
	switch {
	case err == nil:
		return answer.Data, nil
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("request %s: %w", kind, ErrNoCoordinator)
	default:
		return nil, fmt.Errorf("request %s: %w", kind, err)
	}
}

// Send is Request without an answer, at most once.
func (c *Conn) Send(kind Kind, data []byte) error {
	if err := c.nc.Publish(c.names.subject(kind, c.cfg.Worker), data); err != nil {
		return fmt.Errorf("send %s: %w", kind, closedErr(err))
	}
	return nil
}
