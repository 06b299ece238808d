package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// page is what a URL stands for.
type page struct {
	url       *url.URL // after redirects
	kind      string   // its Content-Type
	body      []byte
	truncated bool
}

// request says what to fetch.
type request struct {
	url     *url.URL
	headers http.Header
	hosts   []string // where alone it may lead; nil: anywhere
}

// page fetches one. Each redirect is judged as the first address is; headers go to the first origin alone.
func (f *fetcher) page(ctx context.Context, call *executors.Call, r request) (*page, error) {
	transport := f.network.Pool(call.Pool).RoundTripper(false)
	first := origin(r.url)
	at := r.url
	for range maxRedirects + 1 {
		if r.hosts != nil && !within(at.Hostname(), r.hosts) {
			return nil, fmt.Errorf("host %.100q is none of those that the task allows", at.Hostname())
		}
		if err := f.allowed(ctx, call.Pool, transport, at); err != nil {
			return nil, err
		}
		headers := http.Header{}
		if origin(at) == first {
			headers = r.headers.Clone()
		}
		answer, err := get(ctx, transport, at, headers)
		if err != nil {
			return nil, err
		}
		to := redirected(answer)
		if to == "" {
			return f.read(answer, at)
		}
		_ = answer.Body.Close()
		next, err := at.Parse(to)
		if err == nil {
			next, err = parseURL(next.String())
		}
		if err != nil {
			return nil, fmt.Errorf("it redirects to an address that is not read: %w", err)
		}
		at = next
	}
	return nil, fmt.Errorf("more than %d redirects", maxRedirects)
}

// get sends one request. The caller closes the body.
func get(ctx context.Context, t http.RoundTripper, u *url.URL, headers http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	r.Header.Set("Accept", "text/html, application/xhtml+xml, text/plain, application/json;q=0.9, */*;q=0.5")
	for name, values := range headers {
		r.Header[name] = values
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", agent)
	}
	answer, err := client(t).Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, cause(err)
	}
	return answer, nil
}

// read reads the body, up to its bound.
func (f *fetcher) read(answer *http.Response, at *url.URL) (*page, error) {
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return nil, fmt.Errorf("the site answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	p := &page{url: at, kind: answer.Header.Get("Content-Type")}
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(f.cfg.MaxBytes)+1))
	if len(body) > f.cfg.MaxBytes {
		p.body, p.truncated = body[:f.cfg.MaxBytes], true
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the answer breaks off: %w", cause(err))
	}
	p.body = body
	if p.kind == "" {
		p.kind = http.DetectContentType(body)
	}
	return p, nil
}

// shownURL is a URL as errors show it.
func shownURL(text string) string {
	const most = 500
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
