package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors"
)

const (
	mostAsked    = 1000 // requests of a server that are refused before it is left
	maxLine      = 4 << 10
	progressLull = 100 * time.Millisecond // between reports of progress, once there have been many
	progressFree = 20
)

// exchange is a call of ours, and what is seen of its answer below the SDK, which keeps only what it knows.
type exchange struct {
	method string
	key    string // its idempotency key; empty: none
	token  string // of its progress
	title  string // of what it does, for progress

	arguments json.RawMessage // of a tool, for spans that show content

	// Set before the call returns:
	raw    json.RawMessage // the answer's result
	status int             // of an HTTP answer that is no success; 0: there was none
	header http.Header     // of that
	said   string          // the beginning of its body
}

type exchangeKey struct{}

// in is a context for the exchange's call.
func (x *exchange) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// wire is a connection of the SDK's as we let it be used. Notifications are dealt with as they are read, so that none piles up, and requests
// of the server are refused. Results are kept as they are.
type wire struct {
	reporter executors.Reporter
	sole     bool // the progress of its calls is the attempt's
	life     context.Context
	kill     context.CancelFunc

	mu      sync.Mutex
	inner   sdk.Connection
	waiting map[any]*exchange // calls without an answer, by their ids
	asked   int               // requests that were refused
	deaf    bool              // the server did not take the last refusal; of who reads
	fault   error             // what broke the connection first
	shown   int               // reports of progress
	last    time.Time         // of the last one
	tokens  int               // of progress, that were given out
}

func newWire(reporter executors.Reporter, sole bool) *wire {
	life, kill := context.WithCancel(context.Background())
	return &wire{reporter: reporter, sole: sole, life: life, kill: kill, waiting: map[any]*exchange{}}
}

// around is a transport whose connection is under the wire's eyes.
func (w *wire) around(t sdk.Transport) sdk.Transport { return &observed{t, w} }

type observed struct {
	sdk.Transport
	wire *wire
}

// Connect implements [sdk.Transport].
func (o *observed) Connect(ctx context.Context) (sdk.Connection, error) {
	inner, err := o.Transport.Connect(ctx)
	if err != nil {
		return nil, err
	}
	o.wire.mu.Lock()
	defer o.wire.mu.Unlock()
	o.wire.inner = inner
	return o.wire, nil
}

// SessionID implements [sdk.Connection].
func (w *wire) SessionID() string { return w.inner.SessionID() }

// Close implements [sdk.Connection].
func (w *wire) Close() error {
	w.kill()
	w.mu.Lock()
	inner := w.inner
	w.mu.Unlock()
	if inner == nil {
		return nil
	}
	return inner.Close()
}

// broken is what broke the connection first; nil: it holds.
func (w *wire) broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
}

// fail remembers what broke the connection.
func (w *wire) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil && !errors.Is(err, io.EOF) {
		w.fault = err
	}
	return err
}

// Write implements [sdk.Connection].
func (w *wire) Write(ctx context.Context, msg jsonrpc.Message) error {
	if req, ok := msg.(*jsonrpc.Request); ok {
		if req.Method == "notifications/cancelled" {
			return nil // that is said by cancel, before the connection may be closed
		}
		if x := exchangeOf(ctx); x != nil && req.IsCall() {
			w.mu.Lock()
			w.waiting[req.ID.Raw()] = x
			w.mu.Unlock()
		}
	}
	return w.inner.Write(ctx, msg)
}

// Read implements [sdk.Connection]: it gives answers to calls, and nothing else.
func (w *wire) Read(ctx context.Context) (jsonrpc.Message, error) {
	for {
		msg, err := w.inner.Read(ctx)
		if err != nil {
			return nil, w.fail(err)
		}
		switch msg := msg.(type) {
		case *jsonrpc.Response:
			w.mu.Lock()
			if x := w.waiting[msg.ID.Raw()]; x != nil {
				x.raw = msg.Result
				delete(w.waiting, msg.ID.Raw())
			}
			w.mu.Unlock()
			return msg, nil
		case *jsonrpc.Request:
			if !msg.IsCall() {
				w.notified(msg)
			} else if err := w.refuse(msg); err != nil {
				return nil, w.fail(err)
			}
		}
	}
}

// refuse answers a request of the server: a ping, and nothing else.
func (w *wire) refuse(req *jsonrpc.Request) error {
	answer := &jsonrpc.Response{ID: req.ID, Result: json.RawMessage(`{}`)}
	if req.Method != "ping" {
		w.mu.Lock()
		w.asked++
		asked := w.asked
		w.mu.Unlock()
		if asked > mostAsked {
			return errAsks
		}
		w.reporter.Log("log", fmt.Sprintf("refused what the server asks for: %s", cut(req.Method, 100)))
		answer = &jsonrpc.Response{ID: req.ID, Error: &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: "this client answers no requests of servers"}}
	}
	within := wordWithin
	if w.deaf {
		within = time.Millisecond
	}
	ctx, cancel := context.WithTimeout(w.life, within)
	defer cancel()
	// A server that does not take it may still give its own answers, which nobody reads meanwhile.
	w.deaf = w.inner.Write(ctx, answer) != nil
	return nil
}

// notified takes in what the server tells.
func (w *wire) notified(n *jsonrpc.Request) {
	switch n.Method {
	case "notifications/progress":
		var p struct {
			Token    any     `json:"progressToken"`
			Progress float64 `json:"progress"`
			Total    float64 `json:"total"`
			Message  string  `json:"message"`
		}
		if json.Unmarshal(n.Params, &p) == nil {
			w.progress(p.Token, p.Progress, p.Total, p.Message)
		}
	case "notifications/message":
		var p struct {
			Level, Logger string
			Data          json.RawMessage
		}
		if json.Unmarshal(n.Params, &p) != nil {
			return
		}
		text := string(p.Data)
		_ = json.Unmarshal(p.Data, &text) // else it is shown as JSON
		if p.Logger != "" {
			text = p.Logger + ": " + text
		}
		w.reporter.Log("log", cut(cmp.Or(p.Level, "info")+": "+text, maxLine))
	}
}

// progress reports how far a call of ours is, but not each time if the server has much to say.
func (w *wire) progress(token any, done, total float64, message string) {
	w.mu.Lock()
	var of *exchange
	for _, x := range w.waiting {
		if x.token != "" && x.token == token {
			of = x
		}
	}
	now := time.Now()
	if of == nil || w.shown >= progressFree && now.Sub(w.last) < progressLull {
		w.mu.Unlock()
		return
	}
	w.shown++
	w.last = now
	w.mu.Unlock()
	fraction := 0.0 // unknown
	text := strconv.FormatFloat(done, 'g', 6, 64)
	if total > 0 {
		fraction = max(0, min(1, done/total))
		text += " of " + strconv.FormatFloat(total, 'g', 6, 64)
	}
	text = cut(cmp.Or(message, text), maxLine)
	if w.sole {
		w.reporter.Progress(fraction, text)
		return
	}
	w.reporter.Log("log", of.title+": "+text)
}

// cancel tells the server that a call is not waited for any more.
func (w *wire) cancel(x *exchange) {
	w.forget(func(one *exchange) bool { return one == x })
}

// cancelAll is cancel for each call.
func (w *wire) cancelAll() {
	w.forget(func(*exchange) bool { return true })
}

func (w *wire) forget(which func(*exchange) bool) {
	w.mu.Lock()
	var ids []any
	for id, x := range w.waiting {
		if which(x) {
			ids = append(ids, id)
			delete(w.waiting, id)
		}
	}
	w.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(w.life, wordWithin)
	defer cancel()
	for _, id := range ids {
		params, _ := json.Marshal(map[string]any{"requestId": id, "reason": "the task does not wait for it any more"}) //nolint:errchkjson // a number and a text
		_ = w.inner.Write(ctx, &jsonrpc.Request{Method: "notifications/cancelled", Params: params})
	}
}

// token makes one for the progress of a call.
func (w *wire) token() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens++
	return "taskgrove-" + strconv.Itoa(w.tokens)
}

// answer is the result that a call of ours got; nil: none.
func (w *wire) answer(x *exchange) json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return x.raw
}
