package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
)

// PublishEvent announces something about a topic ("tree.42", "ready"), at most once, to all coordinators, this one
// included.
func (c *Conn) PublishEvent(topic string, data []byte) error {
	if err := c.nc.Publish(c.names.subject(event, topic), data); err != nil {
		return fmt.Errorf("publish event %s: %w", topic, closedErr(err))
	}
	return nil
}

// SubscribeEvents delivers announcements until ctx ends; the subscription is active when the call returns. When the
// reader is slow and buffer messages wait, later ones are dropped. The channel is closed after ctx ends. topic may
// end in "*".
func (c *Conn) SubscribeEvents(ctx context.Context, topic string, buffer int) (<-chan []byte, error) {
	ended := make(chan struct{})
	events := make(chan []byte, max(1, buffer))
	sub, err := c.nc.Subscribe(c.names.subject(event, topic), func(m *nats.Msg) {
		select {
		case events <- m.Data:
		default: // announcements are hints, and a slow reader gets the latest state from the store anyway
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to events %s: %w", topic, closedErr(err))
	}
	sub.SetClosedHandler(func(string) { close(ended) }) // after the last call of the handler above
	stop := context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() })
	c.running.Go(func() {
		<-ended // also when the connection is closed
		stop()
		close(events)
	})
	if err := c.call(ctx, c.nc.FlushWithContext); err != nil {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("subscribe to events %s: %w", topic, err)
	}
	return events, nil
}
