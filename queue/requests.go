package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// pendingRequests bounds the requests that wait in this process for one handler, in messages and bytes. NATS drops those
// beyond it, and their senders ask again.
const (
	pendingRequests     = 1 << 17
	pendingRequestBytes = 256 << 20
)

// drainTimeout bounds how long an ending subscription goes on with messages that have arrived.
const drainTimeout = 2 * time.Second

// Serve calls handle, one call at a time, for each request of the kind until ctx ends. Coordinators share the requests: one of
// them gets each. After ctx ends, Serve handles the requests that have already arrived, and returns ctx's error. handle may
// keep reply and call it later, from any goroutine, once or never; it does nothing if the sender wants no answer. The
// worker's id comes from the subject, so permissions prove it; answers go only to that worker's own inbox
// or account.
func (c *Conn) Serve(ctx context.Context, kind Kind, handle func(worker string, data []byte, reply func([]byte))) error {
	return c.serve(ctx, kind, coordinators, handle)
}

// ServeAll is Serve, but every coordinator gets each request. The worker reads the first answer, and a server may drop the others: only one
// of them should give any.
func (c *Conn) ServeAll(ctx context.Context, kind Kind, handle func(worker string, data []byte, reply func([]byte))) error {
	return c.serve(ctx, kind, "", handle)
}

func (c *Conn) serve(ctx context.Context, kind Kind, group string, handle func(worker string, data []byte, reply func([]byte))) error {
	prefix := c.names.subject(kind, "")
	var subjects []string
	for _, worker := range anyWorker {
		subjects = append(subjects, prefix+worker)
	}
	err := c.subscribe(ctx, subjects, group, func(m *nats.Msg) {
		worker, ok := strings.CutPrefix(m.Subject, prefix)
		if !ok || !ValidWorker(worker) {
			return // a delivery of WORK, which comes under its own subject wherever a pull wanted it
		}
		reply := func([]byte) {}
		if strings.HasPrefix(m.Reply, mappedReply) || strings.HasPrefix(m.Reply, c.names.inbox(worker)+".") {
			reply = func(data []byte) { _ = c.nc.Publish(m.Reply, data) } // if the answer is lost, the worker asks again
		}
		handle(worker, m.Data, reply)
	})
	if err != nil {
		return fmt.Errorf("serve %s: %w", kind, err)
	}
	return nil
}

// subscribe calls handle for each message of the subjects, one at a time, until ctx ends, and then for those that have already arrived.
// With an empty queue, messages are not shared with other subscribers.
func (c *Conn) subscribe(ctx context.Context, subjects []string, queue string, handle nats.MsgHandler) error {
	var one sync.Mutex // each subscription has a goroutine of its own
	var subs []*nats.Subscription
	var ended []chan struct{}
	unsubscribe := func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe()
		}
	}
	for _, subject := range subjects {
		sub, err := c.nc.QueueSubscribe(subject, queue, func(m *nats.Msg) {
			one.Lock()
			defer one.Unlock()
			handle(m)
		})
		if err == nil {
			subs, ended = append(subs, sub), append(ended, make(chan struct{}))
			over := ended[len(ended)-1]
			sub.SetClosedHandler(func(string) { close(over) })
			err = sub.SetPendingLimits(pendingRequests, pendingRequestBytes)
		}
		if err != nil {
			unsubscribe()
			return closedErr(err)
		}
	}
	select {
	case <-ended[0]: // by Close, which ends all
		return ErrClosed
	case <-ctx.Done():
	}
	for _, sub := range subs {
		if err := sub.Drain(); err != nil {
			return closedErr(err)
		}
	}
	late := time.AfterFunc(drainTimeout, unsubscribe) // the server can't be reached, or the handler is stuck in a long backlog
	defer late.Stop()
	for _, over := range ended {
		<-over
	}
	return ctx.Err()
}

// Tell sends news to one worker, at most once.
func (c *Conn) Tell(worker string, data []byte) error {
	if !ValidWorker(worker) {
		return fmt.Errorf("tell worker %q: not an id", worker)
	}
	if err := c.nc.Publish(c.names.subject(news, worker), data); err != nil {
		return fmt.Errorf("tell worker %s: %w", worker, closedErr(err))
	}
	return nil
}

// News delivers what coordinators tell this worker, one call at a time, until ctx ends.
func (c *Conn) News(ctx context.Context, handle func([]byte)) error {
	err := c.subscribe(ctx, []string{c.names.subject(news, c.cfg.Worker)}, "", func(m *nats.Msg) { handle(m.Data) })
	if err != nil {
		return fmt.Errorf("news: %w", err)
	}
	return nil
}

// Request asks a coordinator, on the worker's own subject. It returns [ErrNoCoordinator] if none listens. If the coordinator
// dies, no answer comes: give ctx a deadline, else it is 5 s.
func (c *Conn) Request(ctx context.Context, kind Kind, data []byte) ([]byte, error) {
	var answer *nats.Msg
	err := c.call(ctx, func(ctx context.Context) (err error) {
		answer, err = c.nc.RequestWithContext(ctx, c.names.subject(kind, c.cfg.Worker), data)
		return err
	})
	switch {
	case err == nil:
		return answer.Data, nil
	case errors.Is(err, nats.ErrNoResponders) && User(c.cfg.Worker) != c.cfg.Worker:
		return nil, fmt.Errorf("request %s: %w (those before 0.9 do not hear members of groups)", kind, ErrNoCoordinator)
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("request %s: %w", kind, ErrNoCoordinator)
	default:
		return nil, fmt.Errorf("request %s: %w", kind, err)
	}
}

// Send sends a message that has no answer, at most once.
func (c *Conn) Send(kind Kind, data []byte) error {
	if err := c.nc.Publish(c.names.subject(kind, c.cfg.Worker), data); err != nil {
		return fmt.Errorf("send %s: %w", kind, closedErr(err))
	}
	return nil
}
