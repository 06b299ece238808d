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
	// resultsBeat is how often the server says that a standing request is alive; three silent ones mean that it isn't.
	resultsBeat = 2 * time.Second
	// resultsPoll is how long a request for results stands in the server.
	resultsPoll = 30 * time.Second
	// messageOverhead is what the server counts for a message beside its data, at most: subjects and headers.
	messageOverhead = 1 << 10
)

// PublishResults stores a batch of results in RESULTS; nil means stored.
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

// ResultsEnd is the last sequence of RESULTS, and ResultsSettled the one up to which all is acknowledged; the stream's
// identity (its creation time) changes when it was deleted and made again. A missing stream is an error; settled
// relies on acknowledged messages being removed from the stream.
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
	Worker      string // id, proven by the subject that it was published on
	Data        []byte
	Redelivered bool

	msg      *nats.Msg // without its data
	from     *resultsReader
	at       time.Time   // of arrival
	done     atomic.Bool // answered, or no longer ours
	size     int64
	released atomic.Bool // its size no longer counts
}

// Ack drops the message from the stream; fire and forget. Only the first of Ack and Nak does anything.
func (m *ResultMessage) Ack() { m.answer(ackBody) }

// Nak asks for it again after the delay.
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

// ConsumeResults calls handle, in one goroutine, for every message until ctx ends; at most maxPending are unacked. It
// survives a deleted stream or consumer by making it again. A message that was neither acked nor naked for 30 s is
// somebody else's and no longer counts.
//
// The sizes of those that were handed over and those that were asked for are at most [Config.ResultsBytes] together. A
// size counts until Ack or Nak, however late: each message must be answered.
func (c *Conn) ConsumeResults(ctx context.Context, maxPending int, handle func(*ResultMessage)) error {
	if maxPending <= 0 {
		return fmt.Errorf("consume results: max pending is %d", maxPending)
	}
	r := &resultsReader{
		conn:    c,
		most:    maxPending,
		bytes:   max(c.cfg.ResultsBytes, 2*(c.nc.MaxPayload()+messageOverhead)),
		subject: nextSubject(c.names.results, resultsConsumer),
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
		case <-c.currentEpoch().Done(): // connected again, maybe
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

// resultsReader reads RESULTS under a bound on unanswered messages: what is asked for and what is unanswered are at
// most that many together. jetstream's Consume asks for more as soon as messages are handed over, however long they
// are kept.
type resultsReader struct {
	conn    *Conn
	most    int
	bytes   int64  // likewise, of their sizes
	subject string // where messages are asked for
	prefix  string // of the subjects of results
	handle  func(*ResultMessage)

	unanswered atomic.Int64
	held       atomic.Int64  // bytes of what was handed over
	room       chan struct{} // capacity 1: unanswered or held went down

	// Used by run's goroutine only.
	asked      int              // messages asked for and not come
	askedBytes int64            // how large those may be
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
	// Everything asked for may come at once, and status messages besides.
	arrivals := make(chan *nats.Msg, r.most+1024)
	sub, err := c.nc.ChanSubscribe(inbox, arrivals)
	if err != nil {
		return closedErr(err)
	}
	defer func() {
		_ = sub.Unsubscribe()
		for { // what came in the meantime is for the next run or another coordinator
			select {
			case m := <-arrivals:
				if m.Reply != "" {
					respond(m, nakBody)
				}
			default:
				return
			}
		}
	}()
	r.asked, r.askedBytes = 0, 0
	r.heard = time.Now()
	clock := time.NewTicker(resultsBeat)
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

// ask sends a request when there is room for a worthwhile number of messages, or none stands.
func (r *resultsReader) ask(inbox string) error {
	r.forget()
	if r.asked == 0 {
		r.askedBytes = 0
	}
	n, bytes := r.most-r.asked-int(r.unanswered.Load()), r.bytes-r.askedBytes-r.held.Load()
	least := r.conn.nc.MaxPayload() + messageOverhead // so that the next message fits, whatever it is
	part := max(least, r.bytes/4)
	if n <= 0 || bytes < least || r.asked > 0 && (n < r.most/4 || bytes < part) {
		return nil
	}
	bytes = min(bytes, part) // so that several can stand
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

// forget drops from kept what is answered, and what the server will deliver again to somebody.
func (r *resultsReader) forget() {
	gone := 0
	for _, m := range r.kept {
		if !m.done.Load() {
			if time.Since(m.at) < r.conn.cfg.AckWait {
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
	if len(r.kept) > 2*r.most { // many answered ones behind one that isn't
		r.kept = slices.DeleteFunc(r.kept, func(m *ResultMessage) bool { return m.done.Load() })
	}
}

// take handles one arrival.
func (r *resultsReader) take(m *nats.Msg) error {
	r.heard = time.Now()
	if m.Reply == "" {
		return r.status(m)
	}
	size := int64(len(m.Data) + len(m.Subject) + len(m.Reply))
	r.asked, r.askedBytes = max(0, r.asked-1), max(0, r.askedBytes-size)
	worker, ok := strings.CutPrefix(m.Subject, r.prefix)
	if !ok || !ValidName(worker) {
		respond(m, []byte("+TERM")) // only a mistaken operator can have put it there
		return nil
	}
	if len(m.Data) == 0 { // it was to be stored, that is all
		respond(m, []byte("+ACK"))
		return nil
	}
	message := &ResultMessage{
		Worker:      worker,
		Data:        m.Data,
		Redelivered: deliveryOf(m).delivered > 1,
		msg:         m,
		from:        r,
		at:          r.heard,
		size:        size,
	}
	m.Data = nil // the receiver's alone, to be let go of when it is decoded
	r.unanswered.Add(1)
	r.held.Add(size)
	r.kept = append(r.kept, message)
	r.handle(message)
	return nil
}

// status handles an answer without a message (ADR-37 of the NATS project).
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
		case "Message Size Exceeds MaxBytes", "Batch Completed": // in bytes; in messages
			r.ended(m)
			return nil
		}
		return fmt.Errorf("%w: %s", errConsumerGone, m.Header.Get("Description"))
	default:
		return fmt.Errorf("request for results: status %s: %s", status, m.Header.Get("Description"))
	}
}

// ended takes back what a request left over.
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
