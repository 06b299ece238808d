package network

import (
	"crypto/x509"
	"net/http"
)

// sharing says which requests may use the connections of one another: those that go the same way out, under the same guard, and with the
// same view of certificates. A connection that was made for an operator's address is not there for a task's.
type sharing struct {
	outlet   *outlet
	trusted  bool
	insecure bool
}

// shared is a transport and the authorities that it was made with.
type shared struct {
	transport   *http.Transport
	authorities *x509.CertPool
}

// RoundTripper sends requests over connections that it shares with all attempts for which that is safe, so that they stay warm between
// attempts. insecure: certificates are not checked. The caller does not own it: [Network.Close] closes the idle connections. Take one for each
// attempt: it trusts the authorities of that time.
func (d *Dialer) RoundTripper(insecure bool) http.RoundTripper {
	key := sharing{d.outlet, d.trusted, insecure}
	now := d.outlet.authorities.pool()
	d.network.mu.Lock()
	defer d.network.mu.Unlock()
	have := d.network.shared[key]
	if have != nil && have.authorities == now {
		return roundTripper{have.transport}
	}
	if have != nil {
		have.transport.CloseIdleConnections()
	}
	t := d.Transport()
	t.TLSClientConfig.RootCAs = now
	t.TLSClientConfig.InsecureSkipVerify = insecure //nolint:gosec // the caller says who asked for it
	d.network.shared[key] = &shared{t, now}
	return roundTripper{t}
}

// roundTripper hides [http.Transport.CloseIdleConnections], which some clients call when they are done: others are not.
type roundTripper struct{ http.RoundTripper }
