package rest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
)

// target is where the request goes: url, below base_url if there is one. A connection always has one, as its credentials go to no other
// origin.
func (in *input) target(connection string) (*url.URL, error) {
	to, err := url.Parse(strings.TrimSpace(in.URL))
	switch {
	case err != nil && in.BaseURL == "" && !strings.Contains(in.URL, "://"): // 127.0.0.1:8080/x is none to the parser
		return nil, isOfHTTP("url", &url.URL{})
	case err != nil:
		return nil, errors.New("url can't be parsed")
	}
	if in.BaseURL == "" {
		if connection != "" {
			return nil, fmt.Errorf("connection %s has no base_url", connection)
		}
		return to, isOfHTTP("url", to)
	}
	base, err := url.Parse(strings.TrimSpace(in.BaseURL))
	if err != nil {
		return nil, errors.New("base_url can't be parsed")
	}
	if err := isOfHTTP("base_url", base); err != nil {
		return nil, err
	}
	if to.Scheme == "" && to.Host == "" && to.User == nil && to.Opaque == "" {
		return below(base, to)
	}
	if to.Scheme == "" { // //host/path
		to.Scheme = base.Scheme
	}
	switch {
	case to.Opaque != "" || !headers.SameOrigin(to, base):
		return nil, errors.New("url leads to another origin than base_url")
	case to.User != nil:
		return nil, errors.New("url has a user, but base_url says who calls")
	}
	to.User, to.RawQuery = base.User, joined(base.RawQuery, to.RawQuery)
	return to, nil
}

func isOfHTTP(field string, u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%s must begin with http:// or https://", field)
	case u.Hostname() == "":
		return fmt.Errorf("%s has no host", field)
	}
	return nil
}

// below puts path and query of a relative URL behind those of a base.
func below(base, to *url.URL) (*url.URL, error) {
	path := base.EscapedPath()
	if more := to.EscapedPath(); more != "" {
		path = strings.TrimSuffix(path, "/") + "/" + strings.TrimPrefix(more, "/")
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, errors.New("url can't be parsed")
	}
	u := *base
	u.Path, u.RawPath, u.Fragment, u.RawFragment = plain, path, "", ""
	u.RawQuery = joined(base.RawQuery, to.RawQuery)
	return &u, nil
}

// transport sends the requests of an attempt. With a connection, the operator chose the origin of the first one; where a redirect leads to, nobody
// did, so there the guard holds and certificates are checked.
func (e *Executor) transport(call *executors.Call, r *request, insecure bool) http.RoundTripper {
	pool := e.network.Pool(call.Pool)
	if call.Connection == "" {
		return pool.RoundTripper(insecure)
	}
	return &parting{r.url, pool.Trusted().RoundTripper(insecure), pool.RoundTripper(false)}
}

// parting sends what goes to an origin one way, and all else another.
type parting struct {
	origin           *url.URL
	there, elsewhere http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (p *parting) RoundTrip(req *http.Request) (*http.Response, error) {
	if headers.SameOrigin(req.URL, p.origin) {
		return p.there.RoundTrip(req)
	}
	return p.elsewhere.RoundTrip(req)
}
