package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// resultsBeat is how often the server confirms that a pending request is alive. Three missing beats mean that it is not.
	resultsBeat = 2 * time.Second
	// resultsPoll is how long a request for results waits in the server.
	resultsPoll = 30 * time.Second
	// holdMost is how long a message stays with a process that lives and does not answer: its Postgres may be away, and
	// another coordinator's not.
	holdMost = 30 * time.Second
	// messageOverhead is the most that the server counts for a message besides its data: subjects and headers.
	messageOverhead = 1 << 10
)

// PublishResults stores a batch of results in RESULTS. Nil means that all are stored.
func (c *Conn) PublishResults(ctx context.Context, data []byte) error {
	err := c.call(ctx, func(ctx context.Context) error {
		_, err := c.js.Publish(ctx, c.names.subject(result, c.cfg.Worker), data)
		return err
	})
	if err != nil {
		return fmt.Errorf("publish results: %w", err)
	}
	return nil
}

// ResultsEnd is the last sequence of RESULTS; ResultsSettled is the sequence up to which every message is acknowledged. The
// stream's identity is its creation time: it changes when the stream is deleted and made again. A missing stream is an
// error. ResultsSettled relies on the stream removing acknowledged messages.
func (c *Conn) ResultsEnd(ctx context.Context) (last, settled uint64, created time.Time, err error) {
	var info *jetstream.StreamInfo
	err = c.call(ctx, func(ctx context.Context) error {
		stream, err := c.js.Stream(ctx, c.names.results)
		if err == nil {
			info = stream.CachedInfo()
		}
		return err
	})
	if err != nil {
		return 0, 0, time.Time{}, fmt.Errorf("end of results: %w", err)
	}
	state := info.State
	if state.Msgs == 0 {
		return state.LastSeq, state.LastSeq, info.Created, nil
	}
	return state.LastSeq, state.FirstSeq - 1, info.Created, nil
}

// ResultMessage is one delivery from RESULTS.
type ResultMessage struct {
	Worker      string // id, proven by the subject of the message
	Data        []byte
	Redelivered bool
	Sequence    uint64 // in the stream

	msg      *nats.Msg // without its data
	from     *resultsReader
	at       time.Time   // of arrival
	extended time.Time   // when the ack wait last began; used by the reader's goroutine only
	done     atomic.Bool // answered, or redelivered to another coordinator
	size     int64
	released atomic.Bool // its size has been given back
}

// Ack removes the message from the stream, without waiting. Only the first call of Ack or Nak has an effect.
func (m *ResultMessage) Ack() { m.answer(ackBody) }

// Nak asks for a redelivery after the delay.
func (m *ResultMessage) Nak(after time.Duration) {
	body := append([]byte(`-NAK {"delay": `), strconv.FormatInt(int64(max(0, after)), 10)...)
	m.answer(append(body, '}'))
}

func (m *ResultMessage) answer(body []byte) {
	if m.released.CompareAndSwap(false, true) {
		m.from.held.Add(-m.size)
		defer m.from.nudge()
	}
	if m.done.CompareAndSwap(false, true) {
		respond(m.msg, body)
		m.from.unanswered.Add(-1)
	}
}

// ConsumeResults calls handle, in one goroutine, for every message until ctx ends. It makes a deleted stream or consumer
// again. At most maxPending messages are unanswered. One that has neither Ack nor Nak after 30 s goes to another coordinator
// and does not count; when the process dies, freezes or loses NATS, it goes there after [Config.AckWait].
//
// [Config.ResultsBytes] bounds the size of all messages that were handed over or requested. A message's size counts until
// its Ack or Nak, however late, so answer every message.
func (c *Conn) ConsumeResults(ctx context.Context, maxPending int, handle func(*ResultMessage)) error {
	if maxPending <= 0 {
		return fmt.Errorf("consume results: max pending is %d", maxPending)
	}
	r := &resultsReader{
		conn:    c,
		most:    maxPending,
		bytes:   max(c.cfg.ResultsBytes, 2*(c.nc.MaxPayload()+messageOverhead)),
		subject: c.names.next(c.names.results, resultsConsumer),
		prefix:  c.names.subject(result, ""),
		room:    make(chan struct{}, 1),
		handle:  handle,
	}
	pause := deletionTime
	for {
		began := time.Now()
		err := r.run(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("consume results: %w", ctx.Err())
		case errors.Is(err, ErrClosed):
			return fmt.Errorf("consume results: %w", err)
		}
		if time.Since(began) > retryMost {
			pause = deletionTime
		}
		c.log.Warn("consuming results anew", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
		case <-c.currentEpoch().Done(): // perhaps it reconnected
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMost)
		if errors.Is(err, errConsumerGone) && ctx.Err() == nil {
			if err := c.EnsureStreams(ctx); err != nil {
				c.log.Error("make results consumer again", "error", err)
			}
		}
	}
}

var (
	errConsumerGone = errors.New("consumer is gone")
	errSilent       = errors.New("no sign of life from the consumer")
)

// resultsReader reads RESULTS and bounds the number of messages that are requested or unanswered. jetstream's Consume would
// request more as soon as messages are handed over, however long they stay unanswered.
type resultsReader struct {
	conn    *Conn
	most    int
	bytes   int64  // the same bound for their sizes
	subject string // that takes requests for messages
	prefix  string // of the subjects of results
	handle  func(*ResultMessage)

	unanswered atomic.Int64
	held       atomic.Int64  // bytes of messages that were handed over
	room       chan struct{} // capacity 1: unanswered or held has gone down

	// Used by run's goroutine only.
	asked      int              // messages that were requested and have not come
	askedBytes int64            // how large they may be in total
	kept       []*ResultMessage // in order of arrival; some may be answered
	heard      time.Time        // when the server last gave a sign of life
}

func (r *resultsReader) nudge() {
	select {
	case r.room <- struct{}{}:
	default:
	}
}

// run reads on one subscription until something breaks.
func (r *resultsReader) run(ctx context.Context) error {
	c := r.conn
	epoch := c.currentEpoch()
	inbox := c.nc.NewInbox()
	// All requested messages may come at once, and status messages with them.
	arrivals := make(chan *nats.Msg, r.most+1024)
	sub, err := c.nc.ChanSubscribe(inbox, arrivals)
	if err != nil {
		return closedErr(err)
	}
	defer func() {
		_ = sub.Unsubscribe()
		giveBack(arrivals)
	}()
	r.asked, r.askedBytes = 0, 0
	r.heard = time.Now()
	clock := time.NewTicker(min(resultsBeat, max(c.cfg.AckWait/6, time.Millisecond)))
	defer clock.Stop()
	for {
		if err := r.ask(inbox); err != nil {
			return err
		}
		select {
		case m := <-arrivals:
			if err := r.take(m); err != nil {
				return err
			}
			for range len(arrivals) { // without the cost of the big select
				if err := r.take(<-arrivals); err != nil {
					return err
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if r.asked < r.most/2 { // keep the server busy meanwhile
					if err := r.ask(inbox); err != nil {
						return err
					}
				}
			}
		case <-r.room:
		case <-clock.C:
			r.forget()
			r.extend()
			if r.asked > 0 && time.Since(r.heard) > 3*resultsBeat {
				return errSilent
			}
		case <-epoch.Done():
			return context.Cause(epoch)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// giveBack naks messages that have arrived, for the next run or another coordinator.
func giveBack(arrivals <-chan *nats.Msg) {
	for {
		select {
		case m := <-arrivals:
			if m.Reply != "" {
				respond(m, nakBody)
			}
		default:
			return
		}
	}
}

// ask sends a request if there is room for enough messages to be worth it, or if no request is pending.
func (r *resultsReader) ask(inbox string) error {
	r.forget()
	if r.asked == 0 {
		r.askedBytes = 0
	}
	n, bytes := r.most-r.asked-int(r.unanswered.Load()), r.bytes-r.askedBytes-r.held.Load()
	least := r.conn.nc.MaxPayload() + messageOverhead // the next message fits, whatever its size
	part := max(least, r.bytes/4)
	if n <= 0 || bytes < least || r.asked > 0 && (n < r.most/4 || bytes < part) {
		return nil
	}
	bytes = min(bytes, part) // so that several requests can be pending
	body := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`, n, bytes, resultsPoll, resultsBeat)
	if err := r.conn.nc.PublishRequest(r.subject, inbox, body); err != nil {
		return closedErr(err)
	}
	if r.asked == 0 {
		r.heard = time.Now()
	}
	r.asked += n
	r.askedBytes += bytes
	return nil
}

// forget removes from kept the messages that are answered, and those that the server will redeliver.
func (r *resultsReader) forget() {
	gone := 0
	for _, m := range r.kept {
		if !m.done.Load() {
			if time.Since(m.extended) < r.conn.cfg.AckWait {
				break
			}
			if m.done.CompareAndSwap(false, true) {
				r.unanswered.Add(-1)
			}
		}
		gone++
	}
	clear(r.kept[:gone])
	r.kept = r.kept[gone:]
	if len(r.kept) > 2*r.most { // many answered messages behind an unanswered one
		r.kept = slices.DeleteFunc(r.kept, func(m *ResultMessage) bool { return m.done.Load() })
	}
}

// extend begins the ack wait of unanswered messages anew, so that it can be short: it only runs out when this process can't say
// that it lives.
func (r *resultsReader) extend() {
	now := time.Now()
	for _, m := range r.kept {
		if !m.done.Load() && now.Sub(m.at) < holdMost && now.Sub(m.extended) >= r.conn.cfg.AckWait/3 {
			respond(m.msg, progressBody)
			m.extended = now
		}
	}
}

// take handles one arrival.
func (r *resultsReader) take(m *nats.Msg) error {
	r.heard = time.Now()
	if m.Reply == "" {
		return r.status(m)
	}
	size := int64(m.Size())
	r.asked, r.askedBytes = max(0, r.asked-1), max(0, r.askedBytes-size)
	worker, ok := strings.CutPrefix(m.Subject, r.prefix)
	if !ok || !ValidWorker(worker) {
		respond(m, []byte("+TERM")) // an operator's mistake, or a delivery of WORK that a worker led here
		return nil
	}
	if len(m.Data) == 0 { // a probe: it only had to be stored
		respond(m, []byte("+ACK"))
		return nil
	}
	info := deliveryOf(m)
	message := &ResultMessage{
		Worker:      worker,
		Data:        m.Data,
		Redelivered: info.delivered > 1,
		Sequence:    info.sequence,
		msg:         m,
		from:        r,
		at:          r.heard,
		extended:    r.heard,
		size:        size,
	}
	m.Data = nil // only the receiver holds it, and frees it once decoded
	r.unanswered.Add(1)
	r.held.Add(size)
	r.kept = append(r.kept, message)
	r.handle(message)
	return nil
}

// status handles an answer that has no message (ADR-37 of the NATS project).
func (r *resultsReader) status(m *nats.Msg) error {
	switch status := m.Header.Get("Status"); status {
	case "100": // alive
		return nil
	case "404", "408":
		r.ended(m)
		return nil
	case "503":
		return fmt.Errorf("%w: nobody answers for it", errConsumerGone)
	case "409":
		switch m.Header.Get("Description") {
		case "Message Size Exceeds MaxBytes", "Batch Completed": // the limit in bytes; in messages
			r.ended(m)
			return nil
		}
		return fmt.Errorf("%w: %s", errConsumerGone, m.Header.Get("Description"))
	default:
		return fmt.Errorf("request for results: status %s: %s", status, m.Header.Get("Description"))
	}
}

// ended gives back what a request did not use.
func (r *resultsReader) ended(m *nats.Msg) {
	left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	if err != nil || left < 0 {
		left = r.asked
	}
	bytes, err := strconv.ParseInt(m.Header.Get("Nats-Pending-Bytes"), 10, 64)
	if err != nil || bytes < 0 {
		bytes = r.askedBytes
	}
	r.asked, r.askedBytes = max(0, r.asked-left), max(0, r.askedBytes-bytes)
}
