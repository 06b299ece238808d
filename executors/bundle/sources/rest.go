package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
)

// web gets from a server of HTTP. Credentials go to the origin of the connection alone; where the manifest does not lead, the guard of addresses holds.
type web struct {
	net     *network.Network
	client  *http.Client
	base    *url.URL // of the connection; nil: none
	first   *url.URL // that the manifest names; nil: none
	headers map[string]string
	limit   time.Duration // for any part of an answer
}

const (
	webTimeout   = 30 * time.Second
	maxRedirects = 10
)

// openWeb reads the connection, if there is one.
func openWeb(at *bundle.Place, required bool) (*web, error) {
	w := &web{net: dialer(), headers: map[string]string{}, limit: webTimeout}
	insecure := false
	if c := at.Connection; c != nil {
		if c.Type != "http" {
			return nil, fmt.Errorf("bundle.source.resource: a connection of type %s is of no use for sources of type %s", c.Type, at.Spec.Origin.Type)
		}
		in, err := fields(c, []string{"base_url", "auth_headers", "auth", "timeout", "verify", "retries"})
		if err != nil {
			return nil, err
		}
		text, _ := in["base_url"].(string)
		if w.base, err = url.Parse(text); err != nil || w.base.Scheme != "http" && w.base.Scheme != "https" || w.base.Host == "" || w.base.User != nil {
			return nil, errors.New("bundle.source.resource: config.base_url must begin with http:// or https://, without a user")
		}
		if auth, is := in["auth"].(map[string]any); is {
			w.headers["Authorization"] = fmt.Sprintf("Bearer %s", auth["token"])
		}
		if all, is := in["auth_headers"].(map[string]any); is {
			for name, value := range all {
				w.headers[http.CanonicalHeaderKey(name)] = fmt.Sprint(value)
			}
		}
		if n := number(in["timeout"]); n > 0 && n <= 3600 {
			w.limit = time.Duration(n * float64(time.Second))
		}
		verify, said := in["verify"].(bool)
		insecure = said && !verify
	} else if required {
		return nil, fmt.Errorf("bundle.source.resource: is required by sources of type %s", at.Spec.Origin.Type)
	}
	there, elsewhere := w.net.Pool("").Trusted().RoundTripper(insecure), w.net.Pool("").RoundTripper(false)
	named := w.net.Pool("").Trusted().RoundTripper(false)
	w.client = &http.Client{
		Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			if w.base != nil && headers.SameOrigin(req.URL, w.base) {
				return there.RoundTrip(req)
			}
			if w.first != nil && headers.SameOrigin(req.URL, w.first) {
				return named.RoundTrip(req)
			}
			return elsewhere.RoundTrip(req)
		}),
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("there are more than %d redirects", maxRedirects)
			}
			if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
				return errors.New("a redirect leads from https to http")
			}
			w.dress(req)
			return nil
		},
	}
	return w, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func number(v any) float64 {
	switch n := v.(type) {
	case float64:
		return n
	case int64:
		return float64(n)
	case int:
		return float64(n)
	case json.Number:
		f, _ := n.Float64()
		return f
	}
	return 0
}

// dress gives a request the credentials, or takes them from it.
func (w *web) dress(req *http.Request) {
	ours := w.base != nil && headers.SameOrigin(req.URL, w.base)
	for name, value := range w.headers {
		if ours {
			req.Header.Set(name, value)
		} else {
			req.Header.Del(name)
		}
	}
}

// resolve is a URL, which may be relative to the base.
func (w *web) resolve(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is no URL")
	}
	if !u.IsAbs() && u.Host == "" && w.base != nil {
		below := *w.base
		below.Path, below.RawPath = strings.TrimSuffix(w.base.Path, "/")+"/"+strings.TrimPrefix(u.Path, "/"), ""
		below.RawQuery = u.RawQuery
		return &below, nil
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("must begin with http:// or https://")
	}
	if u.User != nil {
		return nil, errors.New("must have no user in it: name a resource of the kind rest")
	}
	return u, nil
}

// get gets what is behind a URL. The body ends with an error when nothing comes for too long.
func (w *web) get(ctx context.Context, u *url.URL) (body io.ReadCloser, size int64, err error) {
	life := watch(w.limit)
	stop := life.during(ctx)
	end := func() {
		stop()
		life.close()
	}
	req, err := http.NewRequestWithContext(life, http.MethodGet, u.String(), nil)
	if err != nil {
		end()
		return nil, 0, errors.New("the URL can't be asked for")
	}
	req.Header.Set("User-Agent", "taskgrove")
	w.dress(req)
	res, err := w.client.Do(req)
	if err != nil {
		err = life.explained(err)
		end()
		return nil, 0, network.Classed(err)
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		end()
		return nil, 0, fmt.Errorf("%s answered with the status %d", res.Request.URL.Host, res.StatusCode)
	}
	life.beat()
	return &webBody{res.Body, life, end}, res.ContentLength, nil
}

type webBody struct {
	io.ReadCloser
	life *watched
	end  func()
}

func (b *webBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.life.beat()
	if err != nil && err != io.EOF { //nolint:errorlint // readers give it as it is
		err = b.life.explained(err)
	}
	return n, err
}

func (b *webBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

func (w *web) close() { _ = w.net.Close() }

// service is a REST service with a list of files, and each of them.
type service struct {
	*web
	origin *bundle.Origin
}

const maxList = 32 << 20 // bytes

func openService(at *bundle.Place) (*service, error) {
	w, err := openWeb(at, true)
	if err != nil {
		return nil, err
	}
	return &service{w, &at.Spec.Origin}, nil
}

// at is a URL of the service.
func (s *service) at(field, text string, query url.Values) (*url.URL, error) {
	u, err := s.resolve(text)
	if err != nil || !headers.SameOrigin(u, s.base) {
		return nil, fmt.Errorf("bundle.source.%s: must be a path of the service", field)
	}
	given := u.Query()
	for name, values := range query {
		given[name] = values
	}
	u.RawQuery = given.Encode()
	return u, nil
}

// List implements [bundle.Source].
func (s *service) List(ctx context.Context) ([]bundle.File, error) {
	u, err := s.at("list_path", s.origin.ListPath, url.Values{s.origin.PrefixParam: {s.origin.Bundle}})
	if err != nil {
		return nil, err
	}
	body, _, err := s.get(ctx, u)
	if err != nil {
		return nil, failed(fmt.Errorf("list: %w", err))
	}
	defer func() { _ = body.Close() }()
	limited := &io.LimitedReader{R: body, N: maxList + 1}
	files, err := readList(limited)
	if err != nil && limited.N <= 0 {
		err = fmt.Errorf("is larger than %d bytes", maxList)
	}
	if err != nil {
		return nil, failed(fmt.Errorf("the list of files: %w", err))
	}
	return files, nil
}

// readList reads {"files": [{path, sha256, size, mtime}]}, as far as a bundle may go.
func readList(r io.Reader) (files []bundle.File, err error) {
	d := json.NewDecoder(r)
	open := func(want json.Delim) error {
		if t, err := d.Token(); err != nil || t != want {
			return errors.New("must be an object with files, a list")
		}
		return nil
	}
	if err := open('{'); err != nil {
		return nil, err
	}
	found := false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("is no JSON")
		}
		if name != "files" {
			var other json.RawMessage
			if err := d.Decode(&other); err != nil {
				return nil, errors.New("is no JSON")
			}
			continue
		}
		if found {
			return nil, errors.New("has files twice")
		}
		found = true
		if err := open('['); err != nil {
			return nil, err
		}
		for d.More() {
			if len(files) > bundle.MaxFiles {
				return files, nil // which is refused
			}
			f, err := readEntry(d)
			if err != nil {
				return nil, fmt.Errorf("files[%d]: %w", len(files), err)
			}
			files = append(files, f)
		}
		if _, err := d.Token(); err != nil {
			return nil, errors.New("is no JSON")
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("is cut off")
	}
	if !found {
		return nil, errors.New("must be an object with files, a list")
	}
	return files, nil
}

func readEntry(d *json.Decoder) (bundle.File, error) {
	var e struct {
		Path   *string `json:"path"`
		SHA256 string  `json:"sha256"`
		Size   *int64  `json:"size"`
		MTime  any     `json:"mtime"`
	}
	if err := d.Decode(&e); err != nil {
		return bundle.File{}, errors.New("must be an object with path, and sha256, size and mtime")
	}
	if e.Path == nil {
		return bundle.File{}, errors.New("has no path")
	}
	return file(*e.Path, e.SHA256, e.Size, e.MTime)
}

// file is one of a list that a service or a database gave.
func file(path, sum string, size *int64, modified any) (bundle.File, error) {
	f := bundle.File{Path: path, Size: -1, SHA256: strings.ToLower(strings.TrimSpace(sum))}
	if f.SHA256 != "" && (len(f.SHA256) != 64 || strings.Trim(f.SHA256, "0123456789abcdef") != "") {
		return f, fmt.Errorf("sha256 of %.200q is none", path)
	}
	if size != nil {
		if f.Size = *size; f.Size < 0 {
			return f, fmt.Errorf("size of %.200q is below 0", path)
		}
	}
	switch at := modified.(type) {
	case nil:
	case float64:
		if math.Abs(at) > 1e11 {
			return f, fmt.Errorf("mtime of %.200q is no number of seconds since 1970", path)
		}
		f.Modified = time.UnixMilli(int64(math.Round(at * 1000)))
	case string:
		var err error
		if f.Modified, err = instant(at); err != nil {
			return f, fmt.Errorf("mtime of %.200q is no time", path)
		}
	default:
		return f, fmt.Errorf("mtime of %.200q is no time", path)
	}
	return f, nil
}

// instant reads a time, of UTC if it says nothing else.
func instant(text string) (at time.Time, err error) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999"} {
		if at, err = time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	return at, err
}

// Open implements [bundle.Source].
func (s *service) Open(ctx context.Context, f bundle.File) (io.ReadCloser, error) {
	u, err := s.at("fetch_path", s.origin.FetchPath, url.Values{"bundle": {s.origin.Bundle}, "path": {f.Path}})
	if err != nil {
		return nil, err
	}
	body, _, err := s.get(ctx, u)
	if err != nil {
		return nil, failed(fmt.Errorf("fetch %q: %w", f.Path, err))
	}
	return body, nil
}

// Close implements [bundle.Source].
func (s *service) Close() error {
	s.web.close()
	return nil
}
