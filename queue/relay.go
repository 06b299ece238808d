package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxPull   = 1 << 10 // bytes of the request that a relayed pull carries
	askedMost = 1 << 10 // pulls that hear at once that one consumer is missing; the others ask again
)

// confirmField in a waiting pull asks the relay for a status message at once: otherwise a worker would not notice for long
// that its pull lies with a process that is frozen. JetStream ignores the field.
const confirmField = `"confirm":true`

// relay passes the pulls of workers to JetStream, once they prove harmless: JetStream sends messages and status wherever a
// pull's reply subject says, so that must be the worker's own inbox.
type relay struct {
	conn   *Conn
	prefix string        // of the subjects of pulls
	wake   chan struct{} // capacity 1: asked has entries

	mu      sync.Mutex
	workers map[string]bool      // whose pulls are relayed
	seen    map[string]time.Time // consumers, and when they were last seen to exist
	asked   map[string][]string  // consumers that may be missing -> inboxes that want to hear of it; bounded, as workers name them
}

// RelayPulls passes on the pulls of a worker that has an account of its own, until the connection is closed; "*" means every
// worker whose account exists. Processes that relay share the pulls. A second call for the same worker does nothing.
func (c *Conn) RelayPulls(worker string) error {
	r := c.relay
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.workers[worker] {
		return nil
	}
	sub, err := c.nc.QueueSubscribe(r.prefix+worker+".*", coordinators, r.onPull)
	if err == nil {
		err = sub.SetPendingLimits(pendingRequests, pendingRequests*maxPull)
	}
	if err == nil {
		err = c.nc.FlushTimeout(closeTimeout)
	}
	if err != nil {
		return fmt.Errorf("relay pulls: %w", closedErr(err))
	}
	if len(r.workers) == 0 {
		if err := c.running.start(r.run); err != nil {
			return fmt.Errorf("relay pulls: %w", err)
		}
	}
	r.workers[worker] = true
	return nil
}

func newRelay(c *Conn) *relay {
	return &relay{
		conn: c, prefix: c.names.subject(take, ""), wake: make(chan struct{}, 1),
		workers: map[string]bool{}, seen: map[string]time.Time{}, asked: map[string][]string{},
	}
}

// onPull runs in the subscription's goroutine. If a message gets lost, the worker asks again.
func (r *relay) onPull(m *nats.Msg) {
	to, ok := strings.CutPrefix(m.Subject, r.prefix)
	worker, consumer, _ := strings.Cut(to, ".")
	if !ok || !strings.HasPrefix(m.Reply, r.conn.names.inbox(worker)+".") || len(m.Data) > maxPull {
		return
	}
	_ = r.conn.nc.PublishRequest(r.conn.names.nextSubject(consumer), m.Reply, m.Data)
	if bytes.Contains(m.Data, []byte(confirmField)) {
		r.status(m.Reply, "100")
	}
	r.look(consumer, m.Reply)
}

func (r *relay) status(inbox, code string) {
	_ = r.conn.nc.PublishMsg(&nats.Msg{Subject: inbox, Header: nats.Header{"Status": {code}}})
}

// look makes sure that somebody answers to a pull: that a consumer is missing, a server tells nobody but the sender.
func (r *relay) look(consumer, inbox string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inboxes, ok := r.asked[consumer]
	if time.Since(r.seen[consumer]) < poolTrust || !ok && len(r.asked) >= maxConsumers || len(inboxes) >= askedMost {
		return
	}
	r.asked[consumer] = append(inboxes, inbox)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run asks JetStream about consumers, one after the other, until the connection is closed.
func (r *relay) run() {
	for {
		select {
		case <-r.wake:
		case <-r.conn.closed:
			return
		}
		r.mu.Lock()
		asked := r.asked
		r.asked = map[string][]string{}
		r.mu.Unlock()
		for consumer, inboxes := range asked {
			r.ask(consumer, inboxes)
		}
	}
}

// ask looks for one consumer, and tells the inboxes if it is missing.
func (r *relay) ask(consumer string, inboxes []string) {
	err := r.conn.call(context.Background(), func(ctx context.Context) error {
		_, err := r.conn.js.Consumer(ctx, r.conn.names.work, consumer)
		return err
	})
	missing := errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !missing {
		return // the worker asks again
	}
	r.mu.Lock()
	delete(r.seen, consumer)
	if !missing {
		r.seen[consumer] = time.Now()
	}
	r.mu.Unlock()
	if missing {
		for _, inbox := range inboxes {
			r.status(inbox, "503")
		}
	}
}
