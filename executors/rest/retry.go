package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
)

// repetition decides whether a request is sent again within its attempt, and when. One goroutine.
type repetition struct {
	min, max time.Duration // of the pause, where the service asks for none
	try      int
	pause    time.Duration // before the next try
}

// check implements [retryablehttp.CheckRetry]. There is no next try if the pause before it would use up the time: what came of
// this one is then the answer, or the error.
func (r *repetition) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if executors.IsPermanent(network.Classed(err)) || errors.As(err, new(redirectError)) {
		return false, nil
	}
	again, ended := retryablehttp.DefaultRetryPolicy(ctx, resp, err)
	if !again {
		return false, ended
	}
	r.pause = retryablehttp.DefaultBackoff(r.min, r.max, r.try, nil)
	r.try++
	if resp != nil {
		r.pause = max(r.pause, headers.RetryAfter(resp.Header, time.Now()))
	}
	deadline, bound := ctx.Deadline()
	return !bound || r.pause < time.Until(deadline), nil
}

// backoff implements [retryablehttp.Backoff]: check has decided.
func (r *repetition) backoff(time.Duration, time.Duration, int, *http.Response) time.Duration {
	return r.pause
}

// whole is a transport that reads the body before it gives the answer: so a body that breaks off is a failed try.
type whole struct {
	http.RoundTripper
	most int             // how much of a body is in a result; all beyond is left unread, unless
	call *executors.Call // keeps outputs
}

// RoundTrip implements [http.RoundTripper].
func (w whole) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	raw := resp.Body
	defer func() { _ = raw.Close() }()
	if w.call.KeepOutputs && w.call.Files != nil {
		err = w.kept(resp)
	} else {
		var body []byte
		body, err = io.ReadAll(io.LimitReader(raw, int64(w.most)+1))
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err != nil {
		return nil, &bodyError{err}
	}
	return resp, nil
}

// bodyError reports an answer whose body broke off.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read body: " + e.err.Error() }

func (e *bodyError) Unwrap() error { return e.err }

// redirectError reports a redirect that is not followed; to send the request again would lead there again.
type redirectError struct{ text string }

func (e redirectError) Error() string { return e.text }

// replayKeys are the headers by which the transport takes a request for one that it may send again on its own when a kept
// connection breaks (net/http, Request.isReplayable). What is sent again is ours to decide. It knows them by their canonical
// form only, so they are sent in lower case, which means the same (RFC 9110 5.1). The transport still repeats what it has not
// begun to write, and requests that change nothing (GET, HEAD, OPTIONS, TRACE).
var replayKeys = []string{executors.HeaderKey, "X-Idempotency-Key"}

// hideReplayKeys keeps a header from making the transport repeat the request.
func hideReplayKeys(h http.Header) {
	for _, name := range replayKeys {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
}
