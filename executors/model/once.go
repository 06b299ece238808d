package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

const (
	maxErrorBytes = 64 << 10               // that are read of an error's body
	drainWithin   = 100 * time.Millisecond // is how long the end of an answer is waited for that is whole
)

// once sends a question to one model. After an error the response is what had come until then; nil: nothing.
func (s *Session) once(ctx context.Context, q *question) (_ *Response, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	account, err := s.open(q)
	if err != nil {
		return nil, err
	}
	text, err := q.route.wire.encode(q)
	if err != nil {
		account.drop()
		return nil, s.invalid([]string{"the request can't be written as JSON"})
	}
	s.tell(ctx, q)
	ctx, span := s.begin(ctx, q)
	d := &draft{}
	var resp *Response
	defer func() { s.end(span, d, resp, err) }()
	err = s.exchange(ctx, q, text, d)
	if err != nil && !d.served {
		account.drop() // it was refused: nobody is paid
		return nil, err
	}
	account.close(q, d, err != nil)
	resp = d.response(q, s.redactor())
	if q.Schema != nil && len(resp.Message.Calls) == 0 && resp.Finish == "tool_calls" { // the answer itself came by a tool
		resp.Finish = "stop"
	}
	return resp, err
}

// exchange sends a request and reads its answer into a draft.
func (s *Session) exchange(ctx context.Context, q *question, text []byte, to *draft) error {
	cfg := &s.models.cfg
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(cfg.Wait, func() { cancel(&silence{}) })
	defer alarm.Stop()
	var sent atomic.Bool
	req, err := s.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(w httptrace.WroteRequestInfo) { sent.Store(w.Err == nil) }}), q, text)
	if err != nil {
		return err
	}
	client := http.Client{Transport: s.transport(q.route), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		to.served = sent.Load() && ctx.Err() != nil // we no longer wait for it
		return s.failed(ctx, q.route, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body := &bounded{in: resp.Body, left: int64(cfg.MaxAnswerBytes), alarm: alarm, silence: cfg.Silence}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		body.left = maxErrorBytes
		said, _ := io.ReadAll(body) // as far as it goes
		if ctx.Err() != nil {
			return s.failed(ctx, q.route, ctx.Err())
		}
		return s.refused(q.route, resp.StatusCode, resp.Header, said)
	}
	to.served = true
	alarm.Reset(cfg.Silence)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if q.Stream && (kind == "" || kind == "text/event-stream" || kind == "text/plain") {
		err = s.stream(q, body, to)
	} else {
		err = s.whole(q, body, to)
	}
	if err != nil {
		return s.broken(ctx, q, to, err)
	}
	alarm.Reset(drainWithin)
	body.silence = drainWithin
	_, _ = io.CopyN(io.Discard, body, 1<<10) // so that the connection can be used again
	return nil
}

func (s *Session) request(ctx context.Context, q *question, text []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint(q.route.base, q.route.wire.path(q.route.base)), bytes.NewReader(text))
	if err != nil {
		return nil, s.invalid([]string{"api_base can't be read"})
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if q.Stream {
		req.Header.Set("Accept", "text/event-stream")
	}
	req.Header.Set("User-Agent", "taskgrove")
	// A repeated attempt that asks the same has the same key. It is in lower case, as the transport sends a request again on its own if
	// it knows this header (net/http, Request.isReplayable).
	sum := sha256.Sum256(text)
	req.Header["idempotency-key"] = []string{s.call.IdempotencyKey + "-" + strconv.Itoa(s.next()) + "-" + hex.EncodeToString(sum[:8])}
	req.Header.Set(executors.HeaderAttempt, strconv.Itoa(s.call.Attempt))
	q.route.wire.authorize(req.Header, q.route)
	return req, nil
}

// whole reads an answer that comes at once.
func (s *Session) whole(q *question, in io.Reader, to *draft) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	text = bytes.TrimSpace(text)
	if err := q.route.wire.decode(q, text, to); err != nil {
		return &badWire{err, text}
	}
	if q.Stream { // the service does not stream
		s.call.Tell(executors.Piece{Kind: executors.PieceToken, Agent: q.Agent, Text: s.redactor().Text(clean(to.choices[0].text.String()))})
	}
	return nil
}

// stream reads an answer as it comes, and tells it.
func (s *Session) stream(q *question, in io.Reader, to *draft) error {
	events, clear := newEvents(in), s.redactor().Stream()
	tell := func(text string) {
		if text != "" {
			s.call.Tell(executors.Piece{Kind: executors.PieceToken, Agent: q.Agent, Text: clean(text)})
		}
	}
	defer func() { tell(clear.Rest()) }()
	for {
		e, err := events.next()
		if err != nil {
			if (err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)) && to.ended() { // some services leave the last event out, or its end
				return nil
			}
			return err
		}
		text, last, err := q.route.wire.event(q, e, to)
		if text != "" {
			tell(clear.Write(text))
		}
		if err != nil {
			return &badWire{err, e.data}
		}
		if last {
			return nil
		}
	}
}

// badWire is an answer, or an event, that is none by the format, or that says that something went wrong.
type badWire struct {
	err  error
	text []byte
}

func (e *badWire) Error() string { return e.err.Error() }

// broken is the error of an answer that had begun.
func (s *Session) broken(ctx context.Context, q *question, to *draft, err error) error {
	bad, isBad := errors.AsType[*badWire](err)
	switch {
	case isBad:
		if within, ok := errors.AsType[*inBandError](bad.err); ok {
			to.served = to.usage.known || to.written() > 0
			return s.judged(q.route, statusOf(within.said), within.said)
		}
		text := s.words("the answer of " + q.route.provider + " can't be read: " + bad.err.Error())
		if begin := s.words(string(bad.text[:min(len(bad.text), maxErrorBytes)])); begin != "" {
			text += " (" + head(begin, 300) + ")"
		}
		return &Error{Kind: BadWire, Model: q.route.asked, text: text}
	case errors.Is(err, errTooLarge), errors.Is(err, errLongEvent):
		return &Error{Kind: Refused, Model: q.route.asked, text: err.Error()}
	case ctx.Err() != nil:
		return s.failed(ctx, q.route, err)
	}
	text := s.words("the answer of " + q.route.provider + " broke off: " + err.Error())
	if to.written() > 0 {
		text += fmt.Sprintf(", after about %d tokens", to.written())
	}
	return &Error{Kind: CutOff, Model: q.route.asked, text: text, cause: err}
}

// bounded is a body of so many bytes at most. Each part of it puts the alarm off.
type bounded struct {
	in      io.Reader
	left    int64
	alarm   *time.Timer
	silence time.Duration
}

var errTooLarge = errors.New("the answer is larger than this worker takes")

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if n > 0 {
		b.alarm.Reset(b.silence)
	}
	return n, err
}
