package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/temoto/robotstxt"
)

// Bounds of robots.txt files (RFC 9309 2.5: at least 500 KiB are read).
const (
	maxRobots       = 512 << 10
	maxKeptRobots   = 32 << 10 // of a file that is kept
	maxSites        = 512
	robotsFor       = time.Hour
	robotsErrorFor  = time.Minute
	robotsRedirects = 5
)

// errRobots is the failure of a page that its site closes to programs.
var errRobots = errors.New("robots.txt of the site closes it to programs")

// robots are the rules of sites, kept for a while.
type robots struct {
	mu    sync.Mutex
	sites map[site]rules
}

// site is an origin as a pool sees it: pools may have ways out of their own.
type site struct{ pool, origin string }

type rules struct {
	until time.Time
	data  *robotstxt.RobotsData // nil: everything is open
}

func newRobots() *robots { return &robots{sites: map[site]rules{}} }

// allowed says why a page is not read.
func (f *fetcher) allowed(ctx context.Context, pool string, t http.RoundTripper, u *url.URL) error {
	if f.cfg.IgnoreRobots {
		return nil
	}
	key := site{pool, origin(u)}
	f.robots.mu.Lock()
	known, ok := f.robots.sites[key]
	f.robots.mu.Unlock()
	if !ok || time.Now().After(known.until) {
		var size int
		var err error
		if known, size, err = f.ask(ctx, t, u); err != nil {
			return err
		}
		if size <= maxKeptRobots {
			f.robots.keep(key, known)
		}
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	if known.data != nil && !known.data.TestAgent(path, robotName) {
		return errRobots
	}
	return nil
}

// keep remembers rules. When there are many, some others are forgotten.
func (r *robots) keep(key site, known rules) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.sites {
		if len(r.sites) < maxSites {
			break
		}
		delete(r.sites, other)
	}
	r.sites[key] = known
}

// ask fetches the rules of a site. What is not there opens everything, and a site that fails closes everything (RFC 9309 2.3.1).
func (f *fetcher) ask(ctx context.Context, t http.RoundTripper, page *url.URL) (rules, int, error) {
	at := &url.URL{Scheme: page.Scheme, Host: page.Host, Path: "/robots.txt"}
	for range robotsRedirects + 1 {
		answer, err := get(ctx, t, at, nil)
		if err != nil {
			return rules{}, 0, err
		}
		to := redirected(answer)
		if to == "" {
			return read(answer)
		}
		_ = answer.Body.Close()
		next, err := at.Parse(to)
		if err == nil {
			next, err = parseURL(next.String())
		}
		if err != nil {
			break
		}
		at = next
	}
	return rules{until: time.Now().Add(robotsFor)}, 0, nil // as if there were none
}

func read(answer *http.Response) (rules, int, error) {
	defer answer.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxRobots))
	if err != nil && len(text) < maxRobots {
		return rules{}, 0, fmt.Errorf("robots.txt of the site breaks off: %w", cause(err))
	}
	known := rules{until: time.Now().Add(robotsFor)}
	status := answer.StatusCode
	if status >= 500 || status == http.StatusTooManyRequests {
		known.until, status = time.Now().Add(robotsErrorFor), http.StatusInternalServerError
	}
	data, err := robotstxt.FromStatusAndBytes(status, text)
	if err != nil { // what can't be read closes nothing
		return known, 0, nil
	}
	known.data = data
	return known, len(text), nil
}
