package queue

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// maxPull bounds the request that a relayed pull carries.
const maxPull = 1 << 10

// confirmField in a waiting pull asks the relaying coordinator for a status message at once: otherwise a worker would not
// notice for long that its pull lies with a coordinator that is frozen. JetStream ignores the field.
const confirmField = `"confirm":true`

// relayPulls passes the pulls of workers that have accounts of their own to JetStream, once they prove harmless: JetStream
// sends messages and status wherever a pull's reply subject says, so that must be the worker's own inbox. The connection
// does this until it is closed; coordinators share the pulls.
func (c *Conn) relayPulls() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.relaying {
		return nil
	}
	prefix := c.names.subject(take, "")
	sub, err := c.nc.QueueSubscribe(prefix+"*.*", coordinators, func(m *nats.Msg) {
		to, ok := strings.CutPrefix(m.Subject, prefix)
		worker, consumer, _ := strings.Cut(to, ".")
		if !ok || !strings.HasPrefix(m.Reply, c.names.inbox(worker)+".") || len(m.Data) > maxPull {
			return
		}
		// If a message gets lost, the worker asks again.
		_ = c.nc.PublishRequest(nextSubject(c.names.work, consumer), m.Reply, m.Data)
		if bytes.Contains(m.Data, []byte(confirmField)) {
			_ = c.nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{"Status": {"100"}}})
		}
	})
	if err == nil {
		err = sub.SetPendingLimits(pendingRequests, pendingRequests*maxPull)
	}
	if err != nil {
		return fmt.Errorf("relay pulls: %w", closedErr(err))
	}
	c.relaying = true
	return nil
}
