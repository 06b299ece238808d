package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// publishWindow is how many messages of all calls together may wait for the stream's acknowledgement. A stream's inbound
	// queue, which several coordinators share, refuses messages beyond 10 000.
	publishWindow = 4096
	publishChunk  = 256 // the window is taken in such steps
	// publishStall is how long a stream may acknowledge nothing before this counts as a refusal: a server that deletes a
	// stream silently drops its inbound queue.
	publishStall = 3 * time.Second
	// poolTrust is how long a pool's consumers are assumed to exist without a check, while the pool has messages.
	poolTrust = 5 * time.Second
)

// WorkMessage is one attempt to offer.
type WorkMessage struct {
	Pool     string
	Priority int // 0 urgent to 3 low
	Data     []byte
	Header   nats.Header // trace context; may be nil
}

// PublishWork stores the messages in WORK, and makes a missing stream or pool consumer first. Nil means that all are stored;
// after an error some may be. Nothing is deduplicated: claims guard against copies. It waits for acknowledgements until ctx
// ends; it fails if the connection breaks meanwhile. Safe for concurrent use.
func (c *Conn) PublishWork(ctx context.Context, messages []WorkMessage) error {
	if len(messages) == 0 {
		return nil
	}
	if err := c.ensurePoolsOf(ctx, messages); err != nil {
		return fmt.Errorf("publish %d work messages: %w", len(messages), err)
	}
	err := c.noted(c.names.work, c.publishWork(ctx, messages))
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, errStalled) {
		err = c.publishWorkAgain(ctx, messages)
	}
	if c.noted(c.names.work, err) != nil {
		return fmt.Errorf("publish %d work messages: %w", len(messages), err)
	}
	return nil
}

// publishWorkAgain makes the missing stream and publishes again.
func (c *Conn) publishWorkAgain(ctx context.Context, messages []WorkMessage) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		return ErrClosed
	case <-time.After(deletionTime):
	}
	if err := c.makeAgain(ctx); err != nil {
		return err
	}
	return c.publishWork(ctx, messages)
}

// ensurePoolsOf makes the consumers of pools that this connection has not seen yet.
func (c *Conn) ensurePoolsOf(ctx context.Context, messages []WorkMessage) error {
	last := ""
	for i := range messages {
		m := &messages[i]
		if m.Priority < 0 || m.Priority >= priorities {
			return fmt.Errorf("pool %s: priority %d: want 0 to %d", m.Pool, m.Priority, priorities-1)
		}
		if i > 0 && m.Pool == last {
			continue
		}
		last = m.Pool
		if c.poolSeen(m.Pool) == never {
			if err := c.EnsurePools(ctx, m.Pool); err != nil {
				return err
			}
		}
	}
	return nil
}

// publishWork publishes all messages of a call with the same reply subject, and counts the answers.
//
// [jetstream.JetStream.PublishMsgAsync] needs a future, a subject and a timer per message: it publishes 76 000 messages of
// 300 bytes a second, this 162 000 (client and server on the same two cores). JetStream's own batches were no faster (fast:
// 150 000, atomic: 61 000).
func (c *Conn) publishWork(ctx context.Context, messages []WorkMessage) error {
	acks, err := c.ackInbox()
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	epoch := c.currentEpoch()
	defer context.AfterFunc(epoch, func() { cancel(context.Cause(epoch)) })()
	waiting, reply := acks.open(len(messages), func() { cancel(errStalled) })
	defer acks.drop(reply, waiting)

	m := nats.Msg{Reply: reply}
	subjects := make(map[workKey]string, 8)
	for i := range messages {
		if i%publishChunk == 0 {
			n := min(publishChunk, len(messages)-i)
			if acks.acquire(inner, waiting, n) != nil {
				return cmp.Or(ctx.Err(), context.Cause(inner))
			}
		}
		key := workKey{messages[i].Pool, messages[i].Priority}
		subject, ok := subjects[key]
		if !ok {
			subject = c.names.workSubject(key.pool, key.priority)
			subjects[key] = subject
		}
		m.Subject, m.Data, m.Header = subject, messages[i].Data, messages[i].Header
		if err := c.nc.PublishMsg(&m); err != nil {
			return closedErr(err)
		}
	}
	select {
	case <-waiting.done:
		return waiting.err
	case <-inner.Done():
		return cmp.Or(ctx.Err(), context.Cause(inner))
	}
}

var errStalled = errors.New("the stream acknowledges nothing")

type workKey struct {
	pool     string
	priority int
}

// Depth tells how many messages of a pool and priority lie in WORK, including those delivered but not acknowledged, and when
// the oldest was published. The time is zero if there are none or the stream is missing. If there are messages but the
// pool's consumers are gone, Depth makes them again.
func (c *Conn) Depth(ctx context.Context, pool string, priority int) (messages int, oldest time.Time, err error) {
	subject := c.names.workSubject(pool, priority)
	err = c.call(ctx, func(ctx context.Context) (err error) {
		messages, oldest, err = c.depth(ctx, subject, consumerName(pool, priority))
		return err
	})
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("depth of %s: %w", subject, err)
	}
	if messages > 0 && c.poolSeen(pool) > poolTrust {
		if err := c.EnsurePools(ctx, pool); err != nil {
			return 0, time.Time{}, fmt.Errorf("depth of %s: %w", subject, err)
		}
	}
	return messages, oldest, nil
}

// PurgeWork takes all messages of a pool and priority out of WORK. Those that were delivered are not called back.
func (c *Conn) PurgeWork(ctx context.Context, pool string, priority int) error {
	subject := c.names.workSubject(pool, priority)
	err := c.call(ctx, func(ctx context.Context) error {
		stream, err := c.workHandle(ctx)
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("purge %s: %w", subject, err)
	}
	return nil
}

func (c *Conn) depth(ctx context.Context, subject, consumer string) (int, time.Time, error) {
	stream, err := c.workHandle(ctx)
	var info *jetstream.StreamInfo
	if err == nil {
		info, err = stream.Info(ctx, jetstream.WithSubjectFilter(subject))
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return 0, time.Time{}, nil
	case err != nil:
		return 0, time.Time{}, err
	}
	messages := int(info.State.Subjects[subject])
	if messages == 0 {
		return 0, time.Time{}, nil
	}
	floor, err := c.acknowledged(ctx, stream, consumer)
	if err != nil {
		return 0, time.Time{}, err
	}
	first, err := stream.GetMsg(ctx, floor+1, jetstream.WithGetMsgSubject(subject))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		// Every stored message is acknowledged: just now, or it is an orphan.
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(floor+1)); err != nil {
			return 0, time.Time{}, err
		}
		return 0, time.Time{}, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return 0, time.Time{}, nil
	case err != nil:
		return 0, time.Time{}, err
	}
	return messages, first.Time, nil
}

// acknowledged is the sequence up to which the consumer will deliver nothing, either for the first time or again; 0 if the
// consumer is missing. After a restart, a server may have stored messages below it: the consumer remembers that they were
// acknowledged, and the stream forgot it. These orphans are never delivered, so they don't count as waiting.
func (c *Conn) acknowledged(ctx context.Context, stream jetstream.Stream, consumer string) (uint64, error) {
	found, err := stream.Consumer(ctx, consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return found.CachedInfo().AckFloor.Stream, nil
}

// Asked reports whether a worker waits for messages of a pool and priority: it has a free slot, or will have one soon.
func (c *Conn) Asked(ctx context.Context, pool string, priority int) (asked bool, err error) {
	err = c.call(ctx, func(ctx context.Context) error {
		stream, err := c.workHandle(ctx)
		if err != nil {
			return err
		}
		found, err := stream.Consumer(ctx, consumerName(pool, priority))
		if err == nil {
			asked = found.CachedInfo().NumWaiting > 0
		}
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("who asks for %s: %w", c.names.workSubject(pool, priority), err)
	}
	return asked, nil
}

// workHandle is only a name with methods, so it stays valid when the stream is deleted and made again.
func (c *Conn) workHandle(ctx context.Context) (jetstream.Stream, error) {
	c.mu.Lock()
	stream := c.workStream
	c.mu.Unlock()
	if stream != nil {
		return stream, nil
	}
	stream, err := c.js.Stream(ctx, c.names.work)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workStream = stream
	return stream, nil
}

// WorkDelivery is one offered attempt.
type WorkDelivery struct {
	Pool      string
	Priority  int
	Data      []byte
	Header    nats.Header
	Delivered int // 1: first delivery
	msg       *nats.Msg
}

var (
	ackBody      = []byte("+ACK")
	nakBody      = []byte("-NAK")
	progressBody = []byte("+WPI")
)

// Ack removes the message from WORK, without waiting for an answer.
func (d *WorkDelivery) Ack() { respond(d.msg, ackBody) }

// Nak gives the message back at once, for another worker, without waiting for an answer.
func (d *WorkDelivery) Nak() { respond(d.msg, nakBody) }

// respond answers a delivery. If the answer is lost or can't be sent, the message is redelivered after AckWait.
func respond(m *nats.Msg, body []byte) { _ = m.Respond(body) }

// deliveryInfo holds the facts in a delivery's reply subject: $JS.ACK.<...>.<delivered>.<stream seq>.<consumer
// seq>.<time>.<pending>, where the newer format has one more token at the end. (ADR-15 of the NATS project.)
type deliveryInfo struct {
	delivered int
	sequence  uint64 // in the stream
	pending   uint64 // messages that the consumer has yet to deliver, after this one
}

func deliveryOf(m *nats.Msg) deliveryInfo {
	tokens := strings.Split(m.Reply, ".")
	at := 4 // $JS.ACK.<stream>.<consumer>
	if len(tokens) > 9 {
		at = 6 // $JS.ACK.<domain>.<account>.<stream>.<consumer>
	}
	if len(tokens) < at+5 {
		return deliveryInfo{delivered: 1}
	}
	delivered, _ := strconv.Atoi(tokens[at])
	sequence, _ := strconv.ParseUint(tokens[at+1], 10, 64)
	pending, _ := strconv.ParseUint(tokens[at+4], 10, 64)
	return deliveryInfo{delivered: delivered, sequence: sequence, pending: pending}
}
