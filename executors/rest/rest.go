// Package rest calls HTTP services (spec 8.3).
//
// It owns the request that inputs describe, and the shape of the result. It must not know how a connection is made, or what the
// service means by its answer: with any status the task succeeds, unless fail_on_error is set.
//
// Credentials never show in errors, or in the URL and Location of a result. The service's answer is passed on as it is, so a
// service that repeats credentials in its body publishes them.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
)

// ID is the executor's id.
const ID = "rest_executor"

const (
	maxRedirects = 20
	maxRetries   = 10
)

// Config configures a worker's HTTP requests.
type Config struct {
	// MaxBodyBytes is how much is kept of an answer's body, after decompression. 0: 1 MiB.
	MaxBodyBytes int
	// RetryWaitMin and RetryWaitMax bound the pause between the retries that a task asks for. 0: 1 s and 30 s.
	RetryWaitMin, RetryWaitMax time.Duration
}

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "url": {"type": "string", "description": "http or https URL; with base_url, what follows it, or a URL of the same scheme, host and port"},
    "method": {"type": ["string", "null"], "default": "GET", "description": "GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS"},
    "headers": {"type": ["object", "null"], "default": {}, "description": "Headers of the request"},
    "params": {"type": ["object", "null"], "default": {}, "description": "Query parameters"},
    "json": {"description": "Body, sent as JSON; wins over data. Of an artifact, its content"},
    "data": {"type": ["object", "null"], "description": "Form fields; or an artifact, whose content is the body then, with its media type"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds, for everything: redirects, retries, body; by default the task's own timeout, and 30 if it has none"},
    "auth": {"type": ["object", "null"], "description": "Who calls; what is incomplete is ignored", "properties": {
      "type": {"type": "string", "description": "bearer, basic or apikey"},
      "token": {"type": "string", "description": "Of bearer; a header Authorization goes before it"},
      "username": {"type": "string", "description": "Of basic"}, "password": {"type": "string", "description": "Of basic"},
      "key": {"type": "string", "description": "Of apikey: the name of the header or parameter"}, "value": {"type": "string", "description": "Of apikey"},
      "location": {"type": "string", "description": "Of apikey: header or query", "default": "header"}}},
    "base_url": {"type": ["string", "null"], "description": "http or https URL before url: such as https://api.example.org/v2 before orders?day=today"},
    "auth_headers": {"type": ["object", "null"], "description": "Further headers that carry credentials: no redirect takes them along to another scheme, host or port"},
    "verify": {"type": ["boolean", "null"], "default": true, "description": "Check the server's certificate"},
    "follow_redirects": {"type": ["boolean", "null"], "default": true, "description": "Follow redirects, 20 at most"},
    "fail_on_error": {"type": ["boolean", "null"], "default": false, "description": "Fail the task when the status is not 2xx"},
    "retries": {"type": ["integer", "null"], "minimum": 0, "maximum": 10, "default": 0, "description": "Repeat on connection errors, a body that breaks off, 429 and 5xx, within the same attempt and its timeout"}
  },
  "required": ["url"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "url": {"type": "string", "description": "After redirects, without credentials"},
    "status_code": {"type": "integer", "description": "Status of the answer"},
    "headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Headers of the answer"},
    "body": {"type": ["string", "object"], "description": "Text, or base64; an artifact, if it exceeded its bound and the task keeps outputs"},
    "json": {"description": "The body, parsed, or null"},
    "success": {"type": "boolean", "description": "The status is 2xx"},
    "method": {"type": "string", "description": "Method of the request"},
    "encoding": {"const": "base64", "description": "Present when the body is not text: it is in base64"},
    "truncated": {"type": "boolean", "description": "Present and true when the body exceeded its bound"},
    "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "Then body and json, and json where body is an artifact: templates of other tasks can't read these"}
  },
  "required": ["url", "status_code", "headers", "body", "json", "success", "method"]
}`)

// Executor is rest_executor. It keeps connections open between attempts, until it is closed.
type Executor struct {
	cfg     Config
	network *network.Network
}

// New makes one, whose connections go through n.
func New(cfg Config, n *network.Network) *Executor {
	if cfg.MaxBodyBytes <= 0 {
		cfg.MaxBodyBytes = executors.DefaultOutputBytes
	}
	if cfg.RetryWaitMin <= 0 {
		cfg.RetryWaitMin = time.Second
	}
	if cfg.RetryWaitMax <= 0 {
		cfg.RetryWaitMax = 30 * time.Second
	}
	return &Executor{cfg: cfg, network: n}
}

// Check implements [executors.Checker]: proxies and authorities must be usable.
func (e *Executor) Check(context.Context) error { return e.network.Check() }

// Close closes idle connections.
func (e *Executor) Close() error { return e.network.Close() }

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "REST API Executor", Type: "http",
		Description: "Calls an HTTP service and returns status, headers and body",
		Tags:        []string{"http", "rest", "api"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      headers.Kinds(),
		Cancelable: true, Secrets: true, Concurrency: executors.Waiting,
		Connection: &executors.Connection{Types: []string{"http"}, Fields: []string{"base_url", "auth", "auth_headers", "verify"}},
		Examples: []executors.Example{
			{Title: "Fetch what a service knows", Inputs: json.RawMessage(`{"url": "https://example.org/orders", "params": {"day": "2030-01-02"}, "fail_on_error": true}`)},
			{Title: "Send JSON, and try again when the service is busy", Inputs: json.RawMessage(`{"url": "https://example.org/orders", "method": "POST", "json": {"item": "pear", "count": 4}, "retries": 3, "timeout": 60}`)},
			{Title: "Send a form, and read the redirect instead of following it", Inputs: json.RawMessage(`{"url": "https://example.org/login", "method": "POST", "data": {"user": "ann"}, "follow_redirects": false}`)},
		},
	}
}

// Demo implements [executors.Demonstrator].
func (e *Executor) Demo(call *executors.Call) (result any, takes time.Duration) {
	var in input
	_ = json.Unmarshal(call.Inputs, &in) // a demonstration fails for nothing
	demo := &Result{
		StatusCode: http.StatusOK, Method: http.MethodGet, Success: true, Headers: map[string]string{"content-type": "application/json"},
		Body: `{"message": "Demo API response"}`, JSON: json.RawMessage(`{"message": "Demo API response"}`),
	}
	if r, err := in.build(call); err == nil {
		demo.URL, demo.Method = r.secrets.url(r.url), r.method
	}
	return demo, 300 * time.Millisecond
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in input
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.URL) == "" {
		return nil, invalid("url is required in inputs")
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, "timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	if in.Retries < 0 || in.Retries > maxRetries {
		return nil, invalid(fmt.Sprintf("retries must be from 0 to %d", maxRetries))
	}
	req, err := in.build(call)
	if err != nil {
		return nil, invalid(err.Error())
	}
	resp, err := e.send(ctx, call, req, &in)
	if err != nil {
		return nil, req.explain(ctx, err)
	}
	defer resp.Body.Close()
	result, err := e.read(req, resp)
	if err != nil {
		return nil, req.explain(ctx, err)
	}
	if in.FailOnError && !result.Success {
		return nil, result.failure(resp.Header)
	}
	shown, err := result.keep(ctx, call, resp)
	if err != nil {
		return nil, req.failedFile(err)
	}
	return executors.Completed(shown), nil
}

// send sends the request, repeats it as often as the task allows, and returns the last answer.
func (e *Executor) send(ctx context.Context, call *executors.Call, r *request, in *input) (*http.Response, error) {
	transport := e.transport(call, r, in.Verify != nil && !*in.Verify)
	again := &repetition{min: e.cfg.RetryWaitMin, max: e.cfg.RetryWaitMax}
	client := &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     whole{transport, e.cfg.MaxBodyBytes, call},
			CheckRedirect: r.redirect(in.FollowRedirects == nil || *in.FollowRedirects),
		},
		RetryMax: in.Retries, CheckRetry: again.check, Backoff: again.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	var body any
	switch {
	case r.file != nil && r.file.Size > 0:
		body = func() (io.Reader, error) { return newFileBody(ctx, call.Files, *r.file), nil }
	case r.body != nil:
		body = r.body
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, r.method, r.url.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header = r.header
	req.Host = r.host
	return client.Do(req)
}

// redirect decides on the next hop. The guard judges its address when it is dialled. Once a redirect has led to another
// origin, only harmless headers go along, also when a later one leads back.
func (r *request) redirect(follow bool) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		switch {
		case !follow:
			return http.ErrUseLastResponse
		case len(via) > maxRedirects:
			return redirectError{fmt.Sprintf("more than %d redirects", maxRedirects)}
		case next.URL.Scheme != "http" && next.URL.Scheme != "https":
			return redirectError{"redirect to something that is not http"}
		}
		next.Header.Del("Referer") // net/http's own: it would repeat the query, with an API key in it
		away := func(hop *http.Request) bool { return !headers.SameOrigin(hop.URL, r.url) }
		if away(next) || slices.ContainsFunc(via, away) {
			headers.LeaveHarmless(next.Header)
			maps.DeleteFunc(next.Header, func(name string, _ []string) bool { return r.private[http.CanonicalHeaderKey(name)] })
		}
		return nil
	}
}

// explain makes an error without secrets, and says why the context ended.
func (r *request) explain(ctx context.Context, err error) error {
	where := r.method + " " + r.secrets.origin(r.url)
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); isReason(cause) {
			return cause
		}
		return fmt.Errorf("%s: %w", where, context.Cause(ctx))
	}
	err = network.Classed(err)
	text := where + ": " + r.secrets.text(err.Error())
	if executors.IsPermanent(err) {
		return executors.WithKind(invalid(text), executors.KindOf(err))
	}
	return executors.WithKind(errors.New(text), executors.KindOf(err))
}

// isReason reports whether the attempt was ended from outside.
func isReason(cause error) bool {
	for _, reason := range []error{executors.ErrCancelled, executors.ErrTimeout, executors.ErrDraining, executors.ErrLeaseLost} {
		if errors.Is(cause, reason) {
			return true
		}
	}
	return false
}

func invalid(reason string) error { return executors.Invalid(ID, reason) }
