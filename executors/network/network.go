// Package network opens the connections of executors.
//
// It owns the guard of addresses, proxies, and which certificates are trusted, for each pool of a worker. It must not know any
// protocol that is spoken over a connection but TLS and that of proxies, or any executor.
package network

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// Config says where executors may go, and how.
type Config struct {
	Guard Guard
	// Outlet is the way out for pools that have none of their own.
	Outlet Outlet
	// Pools are the ways out of pools that have their own. An empty field stands for Outlet's.
	Pools map[string]Outlet
	// Policies are the same, for pools that Pools does not name. A change of their file counts without a restart. nil: none.
	Policies *workerfile.Source
	// Resolver finds the addresses of names; nil: the machine's.
	Resolver *net.Resolver
}

// dialTimeout bounds the making of one connection, its handshakes included; an attempt's context may end it sooner.
const dialTimeout = 30 * time.Second

// Network makes dialers. Safe for concurrent use.
type Network struct {
	cfg Config

	mu      sync.Mutex
	outlets map[Outlet]*outlet  // each that was asked for
	shared  map[sharing]*shared // [Dialer.RoundTripper]
}

// New makes one. A nil *Network is one with the zero Config. What is wrong with an outlet, [Network.Check] says; its pool connects to
// nothing.
func New(cfg Config) *Network {
	cfg.Guard = cfg.Guard.clean()
	return &Network{cfg: cfg, outlets: map[Outlet]*outlet{}, shared: map[sharing]*shared{}}
}

// zero stands for a nil *Network.
var zero = New(Config{})

// Check says what is wrong with the outlets, in a text for operators.
func (n *Network) Check() error {
	if n == nil {
		return nil
	}
	if err := n.outlet(n.cfg.Outlet).check(); err != nil {
		return err
	}
	pools := slices.Collect(maps.Keys(n.cfg.Pools))
	pools = append(pools, slices.Collect(maps.Keys(n.cfg.Policies.File().Pools))...)
	for _, name := range slices.Sorted(slices.Values(pools)) {
		if err := n.outletOf(name).check(); err != nil {
			return fmt.Errorf("pool %s: %w", name, err)
		}
	}
	return nil
}

// outletOf is the way out of a pool.
func (n *Network) outletOf(pool string) *outlet {
	own, ok := n.cfg.Pools[pool]
	if !ok {
		own = Outlet(n.cfg.Policies.File().Pool(pool).Outlet)
	}
	return n.outlet(own.over(n.cfg.Outlet))
}

// outlet is the one that Outlet describes, the same each time.
func (n *Network) outlet(of Outlet) *outlet {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.outlets[of]
	if o == nil {
		o = newOutlet(of)
		n.outlets[of] = o
	}
	return o
}

// Close closes the idle connections that attempts share. The network stays usable.
func (n *Network) Close() error {
	if n == nil {
		n = zero
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.shared {
		s.transport.CloseIdleConnections()
	}
	return nil
}

// Pool is the dialer for attempts of a pool.
func (n *Network) Pool(name string) *Dialer {
	if n == nil {
		n = zero
	}
	return &Dialer{network: n, guard: n.cfg.Guard, outlet: n.outletOf(name)}
}

// Dialer opens connections for the attempts of one pool.
type Dialer struct {
	network *Network
	guard   Guard
	outlet  *outlet
	trusted bool
}

// Trusted is a dialer for addresses that an operator chose, in a connection: it also goes to loopback and private addresses, and to unix
// sockets, unless the operator denied them by name. Link-local and metadata addresses stay refused.
func (d *Dialer) Trusted() *Dialer {
	trusted := *d
	trusted.trusted, trusted.guard.Loopback, trusted.guard.DenyPrivate = true, true, false
	return &trusted
}

// DialContext opens a connection: network is tcp (or tcp4, tcp6, unix), address is host:port (or a path). Each address that the host's name
// stands for is checked before it is dialled; behind a proxy, which looks names up itself, the name is. A refusal is permanent
// ([executors.IsPermanent]); see [Classed] for other errors.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, address)
	if end, ok := ctx.Deadline(); err != nil && ok && !time.Now().Before(end) {
		<-ctx.Done() // a connection's timer may go before the context's: whoever looks must see that the context ended
	}
	return conn, err
}

func (d *Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "unix":
		return d.direct().DialContext(ctx, network, address)
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, executors.Permanent(fmt.Errorf("network %q is not supported", network))
	}
	if d.outlet.err != nil {
		return nil, d.outlet.err
	}
	through, err := d.outlet.through(address)
	if err != nil {
		return nil, err
	}
	if !through {
		return d.direct().DialContext(ctx, network, address)
	}
	if address, err = d.guard.target(address); err != nil {
		return nil, err
	}
	return d.outlet.dial(ctx, address)
}

// direct dials without a proxy, under the guard's eyes.
func (d *Dialer) direct() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: d.guard.control, Resolver: d.network.cfg.Resolver}
}

// TLS is a configuration for a connection to a server of that name: its certificate is checked against the machine's authorities and the
// pool's own, as they are at the time. The caller owns it.
func (d *Dialer) TLS(server string) *tls.Config {
	return &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12, RootCAs: d.outlet.authorities.pool()}
}

// Transport is an HTTP transport that dials as d does, with the pool's proxy, and with its authorities as they are at the time. The caller
// owns it, and closes its idle connections. What needs no transport of its own takes [Dialer.RoundTripper].
func (d *Dialer) Transport() *http.Transport {
	return &http.Transport{
		Proxy:                  d.proxyFor,
		DialContext:            d.dialHTTP,
		TLSClientConfig:        d.TLS(""),
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    executors.Waiting,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: 256 << 10,
	}
}
