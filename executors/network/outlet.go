package network

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpproxy"

	"github.com/taskgrove/taskgrove/executors"
)

// Outlet is a way out of the house.
type Outlet struct {
	Proxy   string // http://, https:// or socks5:// URL; empty: none, and so is "none". The environment's is ignored
	NoProxy string // hosts that are reached without it, as in the variable NO_PROXY
	CAFile  string // PEM file of further authorities whose certificates are trusted, read again when it changes; empty: none
}

// noProxy is an [Outlet.Proxy] that wins over the one for all pools.
const noProxy = "none"

// over is o with the usual outlet's fields where it has none.
func (o Outlet) over(usual Outlet) Outlet {
	if o.Proxy == "" {
		o.Proxy = usual.Proxy
	}
	if o.NoProxy == "" {
		o.NoProxy = usual.NoProxy
	}
	if o.CAFile == "" {
		o.CAFile = usual.CAFile
	}
	return o
}

// outlet is one that is ready for use. It is shared by all dialers of its pools.
type outlet struct {
	err         error    // why nothing can be connected to; nil: nothing is wrong
	proxy       *url.URL // nil: none
	isHTTP      bool     // the proxy speaks HTTP, with TLS or without; else SOCKS
	marker      *url.URL // stands for the proxy in a transport
	choose      func(*url.URL) (*url.URL, error)
	authorities *authorities
}

func newOutlet(o Outlet) *outlet {
	out := &outlet{authorities: &authorities{file: o.CAFile}}
	if o.Proxy == "" || o.Proxy == noProxy {
		return out
	}
	out.proxy, out.err = ParseProxy(o.Proxy)
	if out.err != nil {
		out.err = executors.Permanent(out.err)
		return out
	}
	out.isHTTP = out.proxy.Scheme != "socks5"
	cfg := httpproxy.Config{HTTPProxy: "http://proxy", HTTPSProxy: "http://proxy", NoProxy: o.NoProxy}
	out.choose = cfg.ProxyFunc()
	// A name that nobody can guess: whoever names the proxy itself as a destination gets what others get.
	out.marker = &url.URL{Scheme: "http", User: out.proxy.User, Host: rand.Text() + ".proxy:1"}
	return out
}

// proxyPorts are the ports of proxies whose URL has none.
var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080"}

// ParseProxy reads the URL of a proxy. The URL that it returns has a port. The error does not repeat it, as it may hold a password.
func ParseProxy(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("proxy: not a URL")
	}
	port, known := proxyPorts[u.Scheme]
	switch {
	case !known:
		return nil, errors.New("proxy: takes http://, https:// or socks5:// URLs")
	case u.Hostname() == "":
		return nil, errors.New("proxy: the URL has no host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("proxy: the URL has more than a host")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

func (o *outlet) check() error {
	if o.err != nil {
		return o.err
	}
	return o.authorities.check()
}

// through reports whether the way to host:port is through the proxy.
func (o *outlet) through(address string) (bool, error) {
	if o.proxy == nil {
		return false, nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return false, executors.Permanent(fmt.Errorf("address: %w", err))
	}
	by, err := o.choose(&url.URL{Scheme: "https", Host: address})
	return by != nil && err == nil, err
}

// proxyFor is the [http.Transport.Proxy] of a dialer. Only plain HTTP goes to a proxy as HTTP; what is left asks for a tunnel, see
// [Dialer.DialContext]. So does a request whose header Host names another host than its URL: a proxy goes by the header.
func (d *Dialer) proxyFor(req *http.Request) (*url.URL, error) {
	o := d.outlet
	if o.proxy == nil || !o.isHTTP || req.URL.Scheme != "http" || req.Host != "" && req.Host != req.URL.Host {
		return nil, o.err
	}
	address := net.JoinHostPort(req.URL.Hostname(), portOf(req.URL))
	if through, err := o.through(address); err != nil || !through {
		return nil, err
	}
	if judged, err := d.guard.target(address); err != nil {
		return nil, err
	} else if judged != address {
		return nil, nil // the proxy would see another spelling than the guard: a tunnel gets the guard's
	}
	return o.marker, nil
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return "80"
}
