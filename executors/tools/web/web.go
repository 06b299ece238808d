// Package web has the tools of agents that read the web: a page's text, and what GitHub says of an account (spec 8.14).
//
// It owns what they fetch and how it becomes text: bounds of size, time and redirects, robots.txt, character sets, sections. It must not know
// who asks, or how a connection is made: package network judges every address.
//
// What a page says is data. These tools send no cookies, no credentials but those that the task's author named, and nothing but GET.
package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// DefaultGitHub is GitHub's own API.
const DefaultGitHub = "https://api.github.com"

// Config says what the tools may do. Zero fields get their defaults.
type Config struct {
	Off          bool   // the tools can't be made
	IgnoreRobots bool   // read pages that a site's robots.txt closes to programs
	GitHub       string // base URL of GitHub's API, or of a GitHub Enterprise Server's (https://host/api/v3); default [DefaultGitHub]
	MaxBytes     int    // of a page, after decompression; default 2 MiB
}

// Kinds are the tools. Connections go through n.
func Kinds(cfg Config, n *network.Network) []tools.Kind {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 2 << 20
	}
	own := cfg.GitHub != "" && strings.TrimRight(cfg.GitHub, "/") != DefaultGitHub
	if cfg.GitHub == "" {
		cfg.GitHub = DefaultGitHub
	}
	f := &fetcher{cfg: cfg, network: n, robots: newRobots()}
	kinds := []tools.Kind{
		scrapeKind("LimitedScrapeWebsiteTool", "limited_website_scraper", f),
		scrapeKind("ScrapeWebsiteTool", "read_website_content", f), // CrewAI's name
		githubKind(f, own),
	}
	if cfg.Off {
		for i, k := range kinds {
			kinds[i].New = func(*executors.Call) (tools.Tool, error) {
				return nil, executors.Invalid(k.ID, "is off at this worker: TASKGROVE_AGENT_WEB=true lets agents read the web")
			}
		}
	}
	return kinds
}

// agent is what the tools call themselves; robotName is what rules of a robots.txt call them.
const (
	agent     = "Taskgrove (+https://github.com/taskgrove/taskgrove)"
	robotName = "Taskgrove"
)

const (
	pageTime     = 10 * time.Second // for everything: robots.txt, redirects, the body (spec 8.14)
	maxRedirects = 10
	maxURL       = 4096 // bytes
)

// fetcher fetches pages.
type fetcher struct {
	cfg     Config
	network *network.Network
	robots  *robots
}

// parseURL reads an address that a model or a server chose.
func parseURL(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, fmt.Errorf("the URL is longer than %d bytes", maxURL)
	}
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil: // the error repeats it
		return nil, errors.New("it is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("only http:// and https:// URLs are read")
	case u.Hostname() == "":
		return nil, errors.New("the URL has no host")
	case u.User != nil:
		return nil, errors.New("the URL must hold no user and password")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// within reports whether a host is one of a list, or below one.
func within(host string, list []string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return slices.ContainsFunc(list, func(end string) bool {
		end = strings.ToLower(strings.TrimSpace(end))
		return end != "" && (host == end || strings.HasSuffix(host, "."+end))
	})
}

// origin is scheme, host and port.
func origin(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }

// cause is what a request's error says, without the URL, which the caller shows.
func cause(err error) error {
	return network.Classed(err)
}

// client follows no redirects: each one is judged by whoever asked.
func client(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// redirected is where an answer sends; empty: it does not.
func redirected(r *http.Response) string {
	switch r.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return r.Header.Get("Location")
	}
	return ""
}

// object is a value as JSON; it can be encoded.
func object(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
