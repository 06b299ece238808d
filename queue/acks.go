package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// ackInbox counts the stream's acknowledgements for many concurrent calls, on one subscription.
type ackInbox struct {
	prefix string // of reply subjects, with the final dot
	window *semaphore.Weighted

	mu    sync.Mutex
	next  uint64
	calls map[string]*ackWaiting // by reply subject
}

// ackWaiting is one call. ackInbox.mu guards its fields; once done is closed, err may be read without it.
type ackWaiting struct {
	left int           // acks to come
	held int           // of the window
	err  error         // the first refusal
	done chan struct{} // closed when left is 0

	seen  int         // the value of left when clock last went off
	clock *time.Timer // calls stalled if no message is acknowledged in time
}

// ackInbox subscribes on the first call. The subscription ends with the connection.
func (c *Conn) ackInbox() (*ackInbox, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acks != nil {
		return c.acks, nil
	}
	acks := &ackInbox{
		prefix: c.nc.NewInbox() + ".",
		window: semaphore.NewWeighted(publishWindow),
		calls:  make(map[string]*ackWaiting),
	}
	sub, err := c.nc.Subscribe(acks.prefix+"*", acks.onAck)
	if err != nil {
		return nil, closedErr(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil { // bounded by the window
		return nil, closedErr(err)
	}
	c.acks = acks
	return acks, nil
}

// open begins a call. It calls stalled if the stream acknowledges none of the call's messages for publishStall.
func (a *ackInbox) open(messages int, stalled func()) (*ackWaiting, string) {
	w := &ackWaiting{left: messages, seen: messages, done: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	reply := a.prefix + strconv.FormatUint(a.next, 36)
	w.clock = time.AfterFunc(publishStall, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case a.calls[reply] != w: // dropped
		case w.held > 0 && w.left == w.seen:
			stalled()
		default:
			w.seen = w.left
			w.clock.Reset(publishStall)
		}
	})
	a.calls[reply] = w
	return w, reply
}

func (a *ackInbox) acquire(ctx context.Context, w *ackWaiting, n int) error {
	if err := a.window.Acquire(ctx, int64(n)); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.held == 0 { // it begins to wait for acks
		w.clock.Reset(publishStall)
	}
	w.held += n
	return nil
}

// drop forgets a call, and returns to the window the share held for acks that never came.
func (a *ackInbox) drop(reply string, w *ackWaiting) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.clock.Stop()
	delete(a.calls, reply)
	a.window.Release(int64(w.held))
	w.held = 0
}

func (a *ackInbox) onAck(m *nats.Msg) {
	err := ackError(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.calls[m.Subject]
	if w == nil || w.left == 0 {
		return
	}
	if err != nil && w.err == nil {
		w.err = err
	}
	w.held--
	a.window.Release(1)
	if w.left--; w.left == 0 {
		close(w.done)
	}
}

// ackError reads a stream's answer to a publish. Nil means stored.
func ackError(m *nats.Msg) error {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return nats.ErrNoResponders
	}
	if !bytes.Contains(m.Data, []byte(`"error"`)) { // the usual answer, a thousand times per batch: don't decode it
		return nil
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("decode acknowledgement: %w", err)
	}
	if answer.Error == nil {
		return nil
	}
	return answer.Error
}
