package modeltest

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// format is one of the wire formats.
type format interface {
	name() string
	// key is the key that a request shows, or why it shows none.
	key(r *http.Request) (string, *failure)
	// read checks a request as the service does. What it understood of a request that it refuses is returned too.
	read(r *Request) *failure
	// headers sets those of every answer, and returns the id of the request.
	headers(s *Server, h http.Header) string
	fault(r *Request, f Fault) *failure
	failure(f *failure, requestID string) []byte
	// whole is an answer that does not stream.
	whole(s *Server, r *Request, t *Turn) []byte
	events(s *Server, r *Request, t *Turn) iter.Seq[event]
	// late is the event that says that a stream has failed.
	late(f *failure, requestID string) event
	garbled(g Garble, stream bool) []byte
	models(s *Server, path string) ([]byte, *failure)
}

// failure is an error that a service answers.
type failure struct {
	status  int
	kind    string
	code    any    // OpenAI's: a text, or nil
	param   any    // OpenAI's: a text, or nil
	message string // Anthropic's errors have this and a kind
	html    bool   // a page of the gateway before the service
}

// event is one of a stream.
type event struct {
	name string // of Anthropic's
	data []byte
	end  bool // it belongs to the end: all text has been said
}

// maxBody is how many bytes a request may have: as at Anthropic's, 32 MB.
const maxBody = 32 << 20

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, f format) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	req := &Request{Format: f.name(), Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: body, ended: make(chan struct{})}
	defer close(req.ended)
	a := &answer{s: s, f: f, w: w, r: r, req: req, requestID: f.headers(s, w.Header())}
	refuse := func(why *failure) {
		req.refused.Store(&why.message)
		s.arrived(req)
		a.fail(why, &Turn{})
	}
	switch {
	case err != nil:
		refuse(&failure{status: 400, kind: "invalid_request_error", message: "the body could not be read: " + err.Error()})
		return
	case len(body) > maxBody:
		refuse(f.fault(req, FaultTooLarge))
		return
	}
	if why := s.allowed(f, r); why != nil {
		refuse(why)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/models") && r.Method == http.MethodGet {
		s.arrived(req)
		list, why := f.models(s, r.URL.Path)
		if why != nil {
			a.fail(why, &Turn{})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(list)
		return
	}
	if why := f.read(req); why != nil {
		refuse(why)
		return
	}
	turn := s.turn(req)
	if turn == nil {
		refuse(f.fault(req, FaultModel))
		return
	}
	s.arrived(req)
	a.play(turn)
}

// allowed checks the key.
func (s *Server) allowed(f format, r *http.Request) *failure {
	key, why := f.key(r)
	switch {
	case s.anyOK:
		return nil
	case why != nil:
		return why
	case key == s.key:
		return nil
	}
	why = f.fault(nil, FaultKey)
	why.message = strings.ReplaceAll(why.message, keyPlace, masked(key))
	return why
}

// keyPlace is where a message quotes the key.
const keyPlace = "<key>"

// masked is a key as OpenAI quotes it.
func masked(key string) string {
	if len(key) < 12 {
		return strings.Repeat("*", len(key))
	}
	return key[:8] + strings.Repeat("*", len(key)-12) + key[len(key)-4:]
}

// answer is one in the making.
type answer struct {
	s         *Server
	f         format
	w         http.ResponseWriter
	r         *http.Request
	req       *Request
	requestID string
}

// play answers with a turn.
func (a *answer) play(t *Turn) {
	if t.HangFirst {
		<-a.r.Context().Done()
		a.gone()
		return
	}
	if !a.pause(t.Delay) {
		return
	}
	if t.Cut == CutConnection {
		panic(http.ErrAbortHandler)
	}
	switch {
	case t.Fault != "" && !(t.Late && a.req.Stream):
		a.fail(a.f.fault(a.req, t.Fault), t)
	case t.Raw != "" || t.Malformed == GarbleNothing:
		a.head(t, "application/json", t.Status)
		a.send(t, []byte(t.Raw))
	case a.req.Stream:
		a.stream(t)
	default:
		a.whole(t)
	}
}

// gone notes that the client left, unless it is the service that ends.
func (a *answer) gone() {
	if a.s.life.Err() == nil {
		a.req.left.Store(true)
	}
}

// pause waits, and says whether anyone still listens.
func (a *answer) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-a.r.Context().Done():
		a.gone()
		return false
	}
}

// head writes status and content type.
func (a *answer) head(t *Turn, contentType string, status int) {
	if t.ContentType != "" {
		contentType = t.ContentType
	}
	a.w.Header().Set("Content-Type", contentType)
	if status == 0 {
		status = http.StatusOK
	}
	a.w.WriteHeader(status)
	_ = http.NewResponseController(a.w).Flush()
}

// fail answers an error.
func (a *answer) fail(f *failure, t *Turn) {
	a.filled(f, t)
	retryAfter(a.w.Header(), t.RetryAfter)
	status := f.status
	if t.Status != 0 {
		status = t.Status
	}
	if f.html {
		a.head(t, "text/html", status)
		a.send(t, []byte(f.message))
		return
	}
	if t.Raw != "" {
		a.head(t, "application/json", status)
		a.send(t, []byte(t.Raw))
		return
	}
	body := a.f.failure(f, a.requestID)
	if t.Cut == CutMiddle {
		a.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	a.head(t, "application/json", status)
	a.cut(t, body)
}

// filled puts the turn's own words into the message.
func (a *answer) filled(f *failure, t *Turn) {
	if t.Message != "" {
		f.message = t.Message
	}
	key, _ := a.f.key(a.r)
	if t.EchoKey {
		if !strings.Contains(f.message, keyPlace) {
			f.message += " (key: " + keyPlace + ")"
		}
		f.message = strings.ReplaceAll(f.message, keyPlace, key)
	}
	f.message = strings.ReplaceAll(f.message, keyPlace, masked(key))
}

// retryAfter sets the header in the form asked for.
func retryAfter(h http.Header, text string) {
	form, value, two := strings.Cut(text, " ")
	switch {
	case text == "":
	case two && form == "ms":
		h.Set("Retry-After-Ms", value)
	case two && form == "date":
		d, _ := time.ParseDuration(value)
		h.Set("Retry-After", time.Now().Add(d).UTC().Format(http.TimeFormat))
	default:
		h.Set("Retry-After", text)
	}
}

// whole answers without a stream.
func (a *answer) whole(t *Turn) {
	var body []byte
	switch {
	case t.Malformed != "" && t.Malformed != GarbleNoUsage:
		body = a.f.garbled(t.Malformed, false)
	default:
		body = a.f.whole(a.s, a.req, t)
	}
	before, after, filled := bytes.Cut(body, []byte(fillPlace))
	zipped := strings.Contains(a.r.Header.Get("Accept-Encoding"), "gzip") && t.Cut == "" && !t.Hang && !t.Endless
	if t.Cut == CutMiddle || t.Hang {
		a.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if zipped {
		a.w.Header().Set("Content-Encoding", "gzip")
	}
	a.head(t, "application/json", t.Status)
	switch {
	case zipped:
		a.zip(t, before, after)
	case filled:
		_ = a.send(t, before) && a.fill(t) && a.send(t, after)
	case t.Hang:
		if a.send(t, body[:len(body)/2]) {
			<-a.r.Context().Done()
			a.gone()
		}
	default:
		a.cut(t, body)
	}
}

// cut sends the body, or as much of it as the turn lets through.
func (a *answer) cut(t *Turn, body []byte) {
	switch t.Cut {
	case CutHeaders:
		panic(http.ErrAbortHandler)
	case CutMiddle:
		a.send(t, body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case CutBetween:
		a.send(t, body[:len(body)/2])
	default:
		a.send(t, body)
	}
}

// stream answers with events.
func (a *answer) stream(t *Turn) {
	a.w.Header().Set("Cache-Control", "no-cache")
	a.head(t, "text/event-stream; charset=utf-8", t.Status)
	if t.Cut == CutHeaders {
		panic(http.ErrAbortHandler)
	}
	ended := false
	for e := range a.f.events(a.s, a.req, t) {
		if e.end && !ended {
			ended = true
			if !a.wrong(t, e) {
				return
			}
		}
		if !a.send(t, e.bytes(t.LineEnd)) || !a.pause(t.Pace) {
			return
		}
	}
}

// wrong does what goes wrong after the text and before the end; it says whether the end follows.
func (a *answer) wrong(t *Turn, e event) bool {
	switch {
	case t.Hang:
		<-a.r.Context().Done()
		a.gone()
		return false
	case t.Cut == CutMiddle:
		whole := e.bytes(t.LineEnd)
		a.send(t, whole[:len(whole)/2])
		panic(http.ErrAbortHandler)
	case t.Cut == CutBetween:
		return false
	case t.Fault != "":
		f := a.f.fault(a.req, t.Fault)
		a.filled(f, t)
		a.send(t, a.f.late(f, a.requestID).bytes(t.LineEnd))
		return false
	case t.Malformed != "" && t.Malformed != GarbleNoUsage && t.Malformed != GarbleEmpty:
		return a.send(t, event{name: e.name, data: a.f.garbled(t.Malformed, true)}.bytes(t.LineEnd))
	}
	return true
}

// bytes is the event as it is sent.
func (e event) bytes(lineEnd string) []byte {
	if lineEnd == "" {
		lineEnd = "\n"
	}
	var b bytes.Buffer
	if e.name != "" {
		b.WriteString("event: " + e.name + lineEnd)
	}
	b.WriteString("data: ")
	b.Write(e.data)
	b.WriteString(lineEnd + lineEnd)
	return b.Bytes()
}

// live says whether the answer may go on.
func live(ctx context.Context) bool { return ctx.Err() == nil }
