package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

const (
	closeWait    = time.Second            // for the server's close frame; then the connection is cut
	writeWait    = 200 * time.Millisecond // for the rest of a message that is being sent when the attempt ends
	maxLineBytes = 8 << 10                // of a message in the log
	around       = 16                     // levels that a result may get around a reply
)

// message is one that came.
type message struct {
	text   []byte
	binary bool
}

// session is a connection that is open. Its goroutines end with close.
type session struct {
	plan     *plan
	conn     *websocket.Conn
	wire     *wire
	reporter executors.Reporter
	most     int // bytes of all replies together

	life     context.Context // of reads, writes and pings; apart from the attempt's, whose end would cut the connection without a word
	end      context.CancelFunc
	messages chan message  // unbuffered: what nobody waits for stays with the server
	ended    chan struct{} // closed when no more messages come; fault is why
	fault    error
	silent   atomic.Bool // a ping was not answered
	working  sync.WaitGroup

	replies []Reply
	bytes   int // of replies
	skipped int
	sent    string
}

// begin starts to read, and to ping.
func (s *session) begin() {
	s.life, s.end = context.WithCancel(context.Background())
	s.working.Go(s.read)
	if s.plan.ping > 0 {
		s.working.Go(s.ping)
	}
}

// read hands over what comes until the connection ends. It also answers the server's pings.
func (s *session) read() {
	defer close(s.ended)
	for {
		typ, text, err := s.conn.Read(s.life)
		if err != nil {
			s.fault = err
			return
		}
		select {
		case s.messages <- message{text, typ == websocket.MessageBinary}:
		case <-s.life.Done():
			s.fault = s.life.Err()
			return
		}
	}
}

// ping pings until the session ends. A server that does not answer is cut off, which ends the reading.
func (s *session) ping() {
	tick := time.NewTicker(s.plan.ping)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.life.Done():
			return
		}
		ctx, cancel := context.WithTimeout(s.life, s.plan.ping)
		err := s.conn.Ping(ctx)
		cancel()
		if err != nil {
			s.silent.Store(s.life.Err() == nil && errors.Is(err, context.DeadlineExceeded))
			s.wire.cut()
			return
		}
	}
}

// run makes the exchanges. Its result has what came until an error.
func (s *session) run(ctx context.Context) (*Result, error) {
	for i := range s.plan.exchanges {
		if err := s.exchange(ctx, &s.plan.exchanges[i]); err != nil {
			return s.result(false), err
		}
		if s.plan.several {
			s.reporter.Progress(float64(i+1)/float64(len(s.plan.exchanges)), fmt.Sprintf("%d of %d exchanges", i+1, len(s.plan.exchanges)))
		}
	}
	return s.result(true), nil
}

// exchange sends a message and waits for the one that counts as its reply.
func (s *session) exchange(ctx context.Context, x *exchange) error {
	if x.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, x.timeout, fmt.Errorf("Response timeout after %s seconds", x.limit)) //nolint:staticcheck // the text of spec 8.6
		defer cancel()
	}
	if err := s.send(ctx, x); err != nil {
		return err
	}
	reply := Reply{MessageSent: s.sent, Response: json.RawMessage("null")}
	if x.wait {
		m, err := s.await(ctx, x)
		if err != nil {
			return err
		}
		if s.bytes += len(m.text); s.bytes > s.most {
			return executors.Permanent(fmt.Errorf("the replies have more than %d bytes", s.most))
		}
		reply.Response, reply.Encoding = shown(m)
	}
	s.replies = append(s.replies, reply)
	return nil
}

// send sends a message. A server that takes nothing more is left when ctx ends.
func (s *session) send(ctx context.Context, x *exchange) error {
	s.sent = ""
	if x.text == nil {
		return nil
	}
	typ := websocket.MessageText
	if x.binary {
		typ = websocket.MessageBinary
	}
	if s.sent, _ = executors.Faithful(x.text, false); x.binary {
		s.sent = string(encoded(x.text))
	}
	written := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-written: // a close frame follows
		case <-time.After(writeWait): // in the middle of a message there is no place for one
			s.wire.cut()
		}
	})
	err := s.conn.Write(s.life, typ, x.text)
	close(written)
	if !stop() && err != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		select {
		case <-s.ended: // the reading knows why: the server has closed
			return s.closed()
		case <-time.After(closeWait):
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}

// await takes messages until one counts.
func (s *session) await(ctx context.Context, x *exchange) (message, error) {
	for skipped := 0; ; skipped++ {
		var m message
		select {
		case m = <-s.messages:
		case <-s.ended:
			return m, s.closed()
		case <-ctx.Done():
			return m, context.Cause(ctx)
		}
		text, _ := executors.Faithful(m.text, false)
		s.reporter.Log("log", cut(strings.TrimRight(text, "\r\n"), maxLineBytes)) // servers end JSON by a newline
		value, err := decode(m.text)
		switch {
		case x.failOn != nil && x.failOn.holds(m.text, value, err == nil):
			return m, fmt.Errorf("message refused by fail_on: %s", cut(text, 500))
		case x.expect == nil || x.expect.holds(m.text, value, err == nil):
			return m, nil
		case skipped >= s.plan.skip:
			return m, fmt.Errorf("no expected response among %d messages", skipped+1)
		}
		s.skipped++
	}
}

// closed is why no more messages come.
func (s *session) closed() error {
	if s.silent.Load() {
		return &closedError{websocket.StatusAbnormalClosure, "no answer to a ping"}
	}
	if code := websocket.CloseStatus(s.fault); code != -1 {
		var frame websocket.CloseError
		errors.As(s.fault, &frame)
		return &closedError{code, executors.Text([]byte(frame.Reason))}
	}
	if errors.Is(s.fault, websocket.ErrMessageTooBig) {
		return executors.Permanent(fmt.Errorf("a message has more than %d bytes", s.most))
	}
	return &closedError{websocket.StatusAbnormalClosure, s.fault.Error()}
}

// result is what came until now.
func (s *session) result(success bool) *Result {
	r := &Result{Success: success, URL: s.plan.result, MessageSent: s.sent, Response: json.RawMessage("null"), Skipped: s.skipped, Subprotocol: s.conn.Subprotocol()}
	if len(s.replies) > 0 {
		last := s.replies[len(s.replies)-1]
		r.MessageSent, r.Response, r.Encoding = last.MessageSent, last.Response, last.Encoding
	}
	if s.plan.several {
		r.Responses = s.replies
	}
	return r
}

// close ends the connection with a close frame, and cuts it if the server does not answer that. It leaves no goroutine behind.
func (s *session) close(ctx context.Context) {
	code, reason := websocket.StatusNormalClosure, ""
	if ctx.Err() != nil {
		code, reason = websocket.StatusGoingAway, "the task was ended"
	}
	cut := time.AfterFunc(closeWait, s.wire.cut)
	s.working.Go(s.drain)
	_ = s.conn.Close(code, reason) // what can be wrong with it, the exchanges have told
	cut.Stop()
	s.wire.cut()
	s.end()
	s.working.Wait()
}

// drain takes what still comes, so that the reading gets to the server's close frame.
func (s *session) drain() {
	for {
		select {
		case <-s.messages:
		case <-s.ended:
			return
		}
	}
}

// shown is a reply as a result has it: JSON parsed, all else a text.
func shown(m message) (value json.RawMessage, encoding string) {
	if value := rawjson.Storable(m.text, around); value != nil {
		return value, ""
	}
	text, encoding := executors.Faithful(m.text, false)
	value, _ = json.Marshal(text) // a string
	return value, encoding
}
