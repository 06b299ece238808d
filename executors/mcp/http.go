package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

const (
	maxRedirects = 5
	maxReason    = 4 << 10 // of the body of an HTTP error
)

// web is a server that is reached over HTTP.
type web struct {
	url     *url.URL
	sse     bool
	headers http.Header
	base    http.RoundTripper
	others  http.RoundTripper // to origins that redirects lead to
	idle    func()            // closes what is of this session alone; nil: nothing is
	most    int
	agreed  atomic.Pointer[string] // version of the protocol

	life context.Context // of all requests
	kill context.CancelFunc
}

// dial makes the way to a server. It is in order, as [Opener.faults] has looked; nothing is connected yet.
func (o *Opener) dial(call *executors.Call, server *Server, set *headers.Set) (*web, error) {
	u, err := url.Parse(server.URL)
	if err != nil {
		return nil, executors.Invalid(ID, "url must be an http:// or https:// URL")
	}
	if password, ok := u.User.Password(); ok {
		set.Hide(password)
	}
	for _, values := range u.Query() {
		for _, value := range values {
			if len(value) >= 8 { // a shorter one is likelier a plain word
				set.Hide(value)
				set.Hide(url.QueryEscape(value))
			}
		}
	}
	dialer := o.network.Pool(call.Pool)
	others := dialer.RoundTripper(false) // nobody chose them: the guard holds, and they see no certificate of ours
	if server.Trusted {
		dialer = dialer.Trusted()
	}
	w := &web{url: u, sse: server.Transport == SSE, headers: set.Header.Clone(), others: others, most: o.cfg.MaxMessageBytes}
	w.life, w.kill = context.WithCancel(context.Background())
	w.headers.Del(executors.HeaderKey) // it is of one call, and others would be taken for its repetition
	if w.headers.Get("User-Agent") == "" {
		w.headers.Set("User-Agent", "taskgrove")
	}
	options, _, err := tlsinput.Parse(server.TLS)
	if err != nil {
		return nil, executors.Invalid(ID, "tls "+err.Error())
	}
	if options == nil {
		w.base = dialer.RoundTripper(false)
		return w, nil
	}
	own := dialer.Transport()
	own.TLSClientConfig = options.Config(dialer, "")
	w.base, w.idle = own, own.CloseIdleConnections
	return w, nil
}

// transport implements way. There is no stream for what belongs to no call: nothing of that is wanted.
func (w *web) transport() sdk.Transport {
	client := &http.Client{Transport: w, CheckRedirect: w.redirect}
	if w.sse {
		return &sdk.SSEClientTransport{Endpoint: w.url.String(), HTTPClient: client, MaxEventSize: w.most}
	}
	return &sdk.StreamableClientTransport{Endpoint: w.url.String(), HTTPClient: client, MaxRetries: 2, DisableStandaloneSSE: true, MaxEventSize: w.most}
}

// version implements way.
func (w *web) version(negotiated string) { w.agreed.Store(&negotiated) }

// ended implements way: over HTTP nobody can tell.
func (w *web) ended() error { return nil }

// end implements way.
func (w *web) end(bool) {
	w.kill()
	if w.idle != nil {
		w.idle()
	}
}

// redirect decides on the next hop; the guard judges its address when it is dialled.
func (w *web) redirect(next *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return executors.Permanent(fmt.Errorf("more than %d redirects", maxRedirects))
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return executors.Permanent(errors.New("redirect to something that is not http"))
	case next.URL.Scheme == "http" && w.url.Scheme == "https":
		return executors.Permanent(errors.New("redirect from https:// to http://"))
	}
	next.Header.Del("Referer")
	return nil
}

// away reports whether a request, or a redirect that led to it, left the origin that credentials are for.
func (w *web) away(req *http.Request) bool {
	for hop := req; hop != nil; {
		if !headers.SameOrigin(hop.URL, w.url) {
			return true
		}
		if hop.Response == nil {
			return false
		}
		hop = hop.Response.Request
	}
	return false
}

// errElsewhere: a server of the older transport says where messages go, and could send its clients' messages anywhere.
var errElsewhere = executors.Permanent(errors.New("the server names an endpoint at another origin"))

// RoundTrip implements [http.RoundTripper].
func (w *web) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req.Context())
	if req.Method == http.MethodGet && !w.sse { // a stream is taken up again, beside the call
		x = nil
	}
	away := w.away(req)
	if away && req.Response == nil {
		return nil, errElsewhere
	}
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(w.life, cancel)
	done := func() { stop(); cancel() }
	req = req.Clone(ctx)
	if away {
		headers.LeaveHarmless(req.Header)
	} else {
		w.equip(req, x)
	}
	next := w.base
	if !headers.SameOrigin(req.URL, w.url) {
		next = w.others
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		done()
		return nil, err
	}
	bound := int64(w.most)
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/event-stream" && resp.StatusCode/100 == 2 {
		bound = -1 // each event is
	}
	resp.Body = &body{ReadCloser: resp.Body, left: bound, most: w.most, done: done}
	if x != nil {
		x.status, x.header, x.said = 0, nil, ""
	}
	if resp.StatusCode >= 400 && x != nil {
		x.status, x.header = resp.StatusCode, resp.Header
		start, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason)) // what can't be read is not shown
		x.said = strings.TrimSpace(executors.Text(start))
		resp.Body = &again{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	}
	return resp, nil
}

// equip adds headers to a request.
func (w *web) equip(req *http.Request, x *exchange) {
	for name, values := range w.headers {
		req.Header[name] = values
	}
	if agreed := w.agreed.Load(); agreed != nil && req.Header.Get("Mcp-Protocol-Version") == "" {
		req.Header.Set("Mcp-Protocol-Version", *agreed)
	}
	if x != nil && x.key != "" && w.headers.Get(executors.HeaderKey) == "" {
		// In this form net/http would take the request for one that it may repeat.
		req.Header[strings.ToLower(executors.HeaderKey)] = []string{x.key}
	}
}

// body is that of an answer, up to a bound.
type body struct {
	io.ReadCloser
	left int64 // below 0: no bound
	most int
	done func()
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left < 0 {
		return n, err
	}
	if int64(n) > b.left {
		return 0, tooLargeError(b.most)
	}
	b.left -= int64(n)
	return n, err
}

// Close implements [io.Closer].
func (b *body) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// again is a body whose beginning was read already.
type again struct {
	io.Reader
	io.Closer
}
