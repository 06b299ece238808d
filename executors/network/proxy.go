package network

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"github.com/taskgrove/taskgrove/executors"
)

// dialHTTP dials for a transport, which asks for the proxy by its marker.
func (d *Dialer) dialHTTP(ctx context.Context, network, address string) (net.Conn, error) {
	if m := d.outlet.marker; m != nil && address == m.Host {
		return d.outlet.connect(ctx)
	}
	return d.DialContext(ctx, network, address)
}

// connect connects to the proxy itself. The operator chose its address, so no guard is asked.
func (o *outlet) connect(ctx context.Context) (net.Conn, error) {
	plain, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext(ctx, "tcp", o.proxy.Host)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if o.proxy.Scheme != "https" {
		return plain, nil
	}
	conn := tls.Client(plain, &tls.Config{ServerName: o.proxy.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: o.authorities.pool()})
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return conn, nil
}

// dial opens a connection to host:port through the proxy.
func (o *outlet) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if !o.isHTTP {
		return o.dialSOCKS(ctx, address)
	}
	conn, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}
	// The end of ctx ends the exchange with the proxy, and nothing after it.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := o.tunnel(conn, address)
	if !stop() && err == nil { // ended in the last moment
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return tunnel, nil
}

// maxAnswerBytes bounds the header of a proxy's answer.
const maxAnswerBytes = 64 << 10

// tunnel asks for one to host:port (RFC 9110 9.3.6).
func (o *outlet) tunnel(conn net.Conn, address string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{"User-Agent": {"taskgrove"}}}
	if user := o.proxy.User; user != nil {
		password, _ := user.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(io.LimitReader(conn, maxAnswerBytes))
	resp, err := http.ReadResponse(reader, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp.StatusCode)
	}
	if n := reader.Buffered(); n > 0 { // the other side spoke first, as servers of SSH and MySQL do
		begun, _ := reader.Peek(n)
		return &begunConn{conn, io.MultiReader(strings.NewReader(string(begun)), conn)}, nil
	}
	return conn, nil
}

// refusal is the error for a proxy that makes no tunnel. What it says of the way to the destination (5xx) may pass; what it says of us and of
// the destination will not.
func refusal(status int) error {
	err := fmt.Errorf("it answered %d %s", status, http.StatusText(status))
	if status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests {
		return err
	}
	return executors.Permanent(err)
}

// begunConn is a connection of which something was read already.
type begunConn struct {
	net.Conn
	reader io.Reader
}

func (c *begunConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// connector makes the connection to the proxy for package proxy.
type connector struct{ o *outlet }

func (c connector) Dial(_, _ string) (net.Conn, error) { return c.o.connect(context.Background()) }

func (c connector) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return c.o.connect(ctx)
}

// dialSOCKS sends names to the proxy as they are (RFC 1928).
func (o *outlet) dialSOCKS(ctx context.Context, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if user := o.proxy.User; user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", o.proxy.Host, auth, connector{o})
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	conn, err := dialer.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
	if err == nil {
		return conn, nil
	}
	err = fmt.Errorf("proxy: %w", err)
	for _, final := range []string{"not allowed by ruleset", "authentication failed", "no acceptable authentication methods", "address type not supported"} {
		if strings.Contains(err.Error(), final) { // the library has no values for them
			return nil, executors.Permanent(err)
		}
	}
	return nil, err
}
