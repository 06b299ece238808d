package apflow

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

const (
	grace      = 10 * time.Second // for what must still be said to the other cluster when the attempt has ended
	maxText    = 2 << 10          // of the other cluster, in an error
	around     = 16               // levels that a result may get around an answer
	maxResults = 8 << 10          // of a body in an error's detail
)

// client speaks with one cluster for one attempt.
type client struct {
	in       *input
	base     string // URL, without a slash at its end
	shown    string // as results have it
	headers  *headers.Set
	tls      *tlsinput.Options
	poll     time.Duration
	most     int // bytes of an answer
	reporter executors.Reporter
	http     *http.Client

	waiting string // the task that is waited for; empty: not yet
	seen    *task  // how it stood last; nil: it was not seen
	ours    bool   // this run has started it
	polls   int
	failed  int // of them
}

// open makes the connection's ways, and gives back what closes them.
func (c *client) open(d *network.Dialer, trusted bool) (done func()) {
	if trusted {
		d = d.Trusted()
	}
	c.http = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c.tls == nil {
		c.http.Transport = d.RoundTripper(false)
		return func() {}
	}
	own := d.Transport()
	own.TLSClientConfig = c.tls.Config(d, "")
	c.http.Transport = own
	return own.CloseIdleConnections
}

// failure is the object that the protocol's other servers give as a result when a call fails (spec 8.8).
type failure struct {
	text      string
	facts     map[string]any // of the object, beside success, error and base_url
	permanent bool
	after     time.Duration // that the service wants to be left alone
	status    int           // of HTTP; 0: no answer
	kind      string        // empty: what the service says is wrong
}

// Error implements error.
func (f *failure) Error() string { return f.text }

// error is the failure as the error of an attempt, with the object as its detail.
func (f *failure) error(c *client) error {
	text := executors.Text([]byte(c.headers.Mask(cut(f.text, maxText))))
	object := map[string]any{"success": false, "error": text, "base_url": c.shown}
	for name, value := range f.facts {
		object[name] = value
	}
	detail, _ := json.Marshal(object) // texts, numbers and JSON
	err := executors.WithDetail(errors.New(text), executors.Text([]byte(c.headers.Mask(string(detail)))))
	if err = executors.WithKind(err, cmp.Or(f.kind, KindAnswer)); f.permanent {
		return executors.Permanent(err)
	}
	return executors.RetryAfter(err, f.after)
}

// KindAnswer is the kind of what the service says is wrong.
const KindAnswer = "api_error"

// request makes an HTTP request with the headers of the inputs.
func (c *client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range c.headers.Header {
		if name == executors.HeaderKey { // in this form net/http would take the request for one that it may repeat
			name = strings.ToLower(name)
		}
		req.Header[name] = values
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "taskgrove")
	}
	return req, nil
}

// call makes a JSON-RPC call and gives its result. Errors are a *failure, or of the connection.
func (c *client) call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "taskgrove", "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, http.MethodPost, "/tasks", body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, network.Classed(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.most)+1))
	if err != nil {
		return nil, network.Classed(err)
	}
	if len(text) > c.most {
		return nil, &failure{text: fmt.Sprintf("API answered with more than %d bytes", c.most), permanent: true, status: resp.StatusCode}
	}
	return answerOf(resp, text, method)
}

// answerOf reads the answer to a call.
func answerOf(resp *http.Response, text []byte, method string) (json.RawMessage, error) {
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
	}
	f := &failure{facts: map[string]any{"method": method}, status: resp.StatusCode, after: headers.RetryAfter(resp.Header, time.Now())}
	bad := json.Unmarshal(text, &answer)
	switch {
	case bad == nil && answer.Error != nil:
		f.text = answer.Error.Message
		var said string
		if json.Unmarshal(answer.Error.Data, &said) == nil && said != "" {
			f.text += ": " + said
		}
		f.facts["error_code"], f.facts["error_data"] = answer.Error.Code, answer.Error.Data
		f.permanent = answer.Error.Code >= -32602 && answer.Error.Code <= -32600 || answer.Error.Code == -32700
		return nil, f
	case resp.StatusCode != http.StatusOK:
		f.text = fmt.Sprintf("API returned status %d", resp.StatusCode)
		f.facts["status_code"], f.facts["response"] = resp.StatusCode, cut(executors.Text(text), maxResults)
		f.permanent, f.kind = executors.IsPermanent(headers.Classed(errors.New(""), resp.StatusCode, resp.Header)), headers.Kind(resp.StatusCode)
		return nil, f
	case bad != nil:
		f.text, f.permanent = "API did not answer with JSON", true
		return nil, f
	}
	result := json.RawMessage("null")
	if answer.Result != nil {
		if result = rawjson.Storable(answer.Result, around); result == nil {
			f.text, f.permanent = "API answered with what can't be stored: it nests too deep", true
			return nil, f
		}
	}
	return result, nil
}

// cut bounds a text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
