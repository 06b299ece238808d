// Package network opens the connections of executors.
//
// It owns the guard of addresses, proxies, and which certificates are trusted, for each pool of a worker. It must not know any
// protocol that is spoken over a connection but TLS and that of proxies, or any executor.
package network

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Config says where executors may go, and how.
type Config struct {
	Guard Guard
	// Outlet is the way out for pools that have none of their own.
	Outlet Outlet
	// Pools are the ways out of pools that have their own.
	Pools map[string]Outlet
}

// Outlet is a way out of the house.
type Outlet struct {
	Proxy   string // http://, https:// or socks5:// URL; empty: none. The environment's is ignored
	NoProxy string // hosts that are reached without it, as in the variable NO_PROXY
	CAFile  string // PEM file of further authorities whose certificates are trusted, read again when it changes; empty: none
}

// Network makes dialers. Safe for concurrent use.
type Network struct{ cfg Config }

// New makes one. A nil *Network is one with the zero Config.
func New(cfg Config) *Network { return &Network{cfg: cfg} }

// Pool is the dialer for attempts of a pool.
func (n *Network) Pool(name string) *Dialer {
	if n == nil {
		n = &Network{}
	}
	return &Dialer{guard: n.cfg.Guard}
}

// Dialer opens connections for the attempts of one pool.
type Dialer struct{ guard Guard }

// Trusted is a dialer for addresses that an operator chose, in a connection: it also goes to loopback and private addresses, and to unix
// sockets, unless the operator denied them by name. Link-local and metadata addresses stay refused.
func (d *Dialer) Trusted() *Dialer {
	trusted := *d
	trusted.guard.Loopback, trusted.guard.DenyPrivate = true, false
	return &trusted
}

// DialContext opens a connection: network is tcp (or tcp4, tcp6, unix), address is host:port (or a path). Each address that the host's name
// stands for is checked before it is dialled. A refusal is permanent ([executors.IsPermanent]).
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: d.guard.control}
	return dialer.DialContext(ctx, network, address)
}

// TLS is a configuration for a connection to a server of that name: its certificate is checked against the machine's authorities and the
// pool's own. The caller owns it.
func (d *Dialer) TLS(server string) *tls.Config {
	return &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12}
}

// Transport is an HTTP transport that dials as d does, with the pool's proxy and authorities. The caller closes its idle connections.
func (d *Dialer) Transport() *http.Transport {
	return &http.Transport{
		DialContext:         d.DialContext,
		TLSClientConfig:     d.TLS(""),
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        100,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 30 * time.Second,
	}
}
