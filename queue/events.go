package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// PublishEvent announces an event of a topic ("tree.42", "ready") to all coordinators, this one included, at most once.
func (c *Conn) PublishEvent(topic string, data []byte) error {
	if err := c.nc.Publish(c.names.subject(event, topic), data); err != nil {
		return fmt.Errorf("publish event %s: %w", topic, closedErr(err))
	}
	return nil
}

// reach returns when the server has what was sent before. It waits for a connection that breaks meanwhile, which sends its subscriptions
// again: whoever subscribes as it starts is not to end by that.
func (c *Conn) reach(ctx context.Context) error {
	for {
		err := c.call(ctx, c.nc.FlushWithContext)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-c.closed:
			return ErrClosed
		case <-time.After(redialWait):
		}
	}
}

// SubscribeEvents delivers announcements until ctx ends, and then closes the channel. The subscription is active when the
// call returns; it waits for a server that can't be reached. While buffer messages wait for a slow reader, further ones are dropped. topic may end in "*".
func (c *Conn) SubscribeEvents(ctx context.Context, topic string, buffer int) (<-chan []byte, error) {
	ended := make(chan struct{})
	events := make(chan []byte, max(1, buffer))
	sub, err := c.nc.Subscribe(c.names.subject(event, topic), func(m *nats.Msg) {
		select {
		case events <- m.Data:
		default: // announcements are hints: a slow reader finds the latest state in the store anyway
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to events %s: %w", topic, closedErr(err))
	}
	sub.SetClosedHandler(func(string) { close(ended) }) // after the last call of the handler above
	stop := context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() })
	err = c.running.start(func() {
		<-ended // closing the connection also ends it
		stop()
		close(events)
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("subscribe to events %s: %w", topic, err)
	}
	if err := c.reach(ctx); err != nil {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("subscribe to events %s: %w", topic, err)
	}
	return events, nil
}
