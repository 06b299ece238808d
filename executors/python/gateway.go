package python

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
)

// gateway is a proxy on loopback by which programs connect as executors do: the guard judges every address, and the pool's own proxy is used.
// Who uses it must know its password.
type gateway struct {
	dialer  *network.Dialer
	trusted []string // hosts that the operator named
	word    string
	server  *http.Server
	plain   *httputil.ReverseProxy
	address string

	ctx     context.Context
	end     context.CancelFunc
	all     sync.WaitGroup
	mu      sync.Mutex
	ports   []net.Listener
	refused error // the last permanent refusal of a connection
}

// openGateway starts one. The caller closes it.
func openGateway(dialer *network.Dialer, trusted []string) (*gateway, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	g := &gateway{dialer: dialer, trusted: trusted, word: rand.Text(), address: listener.Addr().String(), ctx: ctx, end: end}
	quiet := log.New(io.Discard, "", 0)
	g.plain = &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: g, ErrorLog: quiet}
	g.server = &http.Server{Handler: g, ErrorLog: quiet, BaseContext: func(net.Listener) context.Context { return ctx }}
	g.all.Go(func() { _ = g.server.Serve(listener) })
	return g, nil
}

// close ends all connections.
func (g *gateway) close() {
	g.end()
	_ = g.server.Close()
	g.mu.Lock()
	for _, port := range g.ports {
		_ = port.Close()
	}
	g.mu.Unlock()
	g.all.Wait()
}

// environ are the variables that programs find the gateway by.
func (g *gateway) environ() (env []string) {
	at := (&url.URL{Scheme: "http", User: url.UserPassword("job", g.word), Host: g.address}).String()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env = append(env, name+"="+at, strings.ToLower(name)+"="+at)
	}
	return append(env, "NO_PROXY=", "no_proxy=")
}

// dial connects as the pool may.
func (g *gateway) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := g.way(address).DialContext(ctx, "tcp", address)
	g.note(err)
	return c, err
}

// note keeps a refusal, which programs don't tell from a network that fails.
func (g *gateway) note(err error) {
	if executors.IsPermanent(err) {
		g.mu.Lock()
		g.refused = err
		g.mu.Unlock()
	}
}

// refusal is the last permanent refusal; nil: there was none.
func (g *gateway) refusal() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// way is the dialer for a host: what operators name they trust.
func (g *gateway) way(address string) *network.Dialer {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if slices.Contains(g.trusted, strings.ToLower(host)) {
		return g.dialer.Trusted()
	}
	return g.dialer
}

// ServeHTTP implements [http.Handler].
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("job:"+g.word))
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Proxy-Authorization")), []byte(want)) != 1 {
		w.Header().Set("Proxy-Authenticate", `Basic realm="taskgrove"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	r.Header.Del("Proxy-Authorization")
	if r.Method != http.MethodConnect {
		if r.URL.Scheme != "http" || r.URL.Host == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		g.plain.ServeHTTP(w, r)
		return
	}
	there, err := g.dial(r.Context(), r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	if _, err := here.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		return
	}
	g.join(here, buffered, there)
}

// RoundTrip implements [http.RoundTripper], for plain HTTP.
func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := g.way(r.URL.Host).RoundTripper(false).RoundTrip(r)
	g.note(err)
	return answer, err
}

// join carries bytes both ways until one side ends, or the gateway.
func (g *gateway) join(here net.Conn, from io.Reader, there net.Conn) {
	release := context.AfterFunc(g.ctx, func() {
		_ = here.Close()
		_ = there.Close()
	})
	defer release()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(there, from)
		halfClose(there)
	})
	_, _ = io.Copy(here, there)
	halfClose(here)
	both.Wait()
}

// halfClose says that nothing more comes.
func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.Close()
}

// forward opens a port of loopback that leads to an address, and gives it. The address is judged when somebody comes.
func (g *gateway) forward(address string) (string, error) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	g.ports = append(g.ports, port)
	g.mu.Unlock()
	g.all.Go(func() {
		for {
			here, err := port.Accept()
			if err != nil {
				return
			}
			g.all.Go(func() {
				defer here.Close()
				there, err := g.dial(g.ctx, address)
				if err != nil {
					return
				}
				defer there.Close()
				g.join(here, here, there)
			})
		}
	})
	return port.Addr().String(), nil
}

// trustedHosts are the hosts of the registries that the operator's environment names.
func trustedHosts() (hosts []string) {
	for _, name := range indexes {
		for word := range strings.FieldsSeq(os.Getenv(name)) {
			if i := strings.Index(word, "http"); i >= 0 { // uv allows name=URL
				if u, err := url.Parse(word[i:]); err == nil && u.Hostname() != "" {
					hosts = append(hosts, strings.ToLower(u.Hostname()))
				}
			}
		}
	}
	return hosts
}
