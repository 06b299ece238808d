package network_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/network/networktest"
)

// authority is one that a test makes, with a certificate for each name.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  []byte
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	a.cert, a.PEM = a.sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, key)
	return a
}

func (a *authority) sign(c, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
	if parent == nil {
		parent = c
	}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// certificate is for 127.0.0.1 and the names given; until may be in the past.
func (a *authority) certificate(until time.Time, names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, _ := a.sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: until.Add(-time.Hour), NotAfter: until}, a.cert, key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// serve starts an HTTPS server with this certificate.
func serve(t *testing.T, cert tls.Certificate, handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func ok(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }

func try(t *testing.T, d *network.Dialer, insecure bool, url string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.RoundTripper(insecure).RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestAuthoritiesOfAFileAreTrustedAndReadAgain(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	one := serve(t, first.certificate(time.Now().Add(time.Hour)), ok)
	two := serve(t, second.certificate(time.Now().Add(time.Hour)), ok)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, first.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	n := opened(t, network.Config{Guard: network.Guard{Loopback: true}, Pools: map[string]network.Outlet{"p": {CAFile: file}}})
	if err := n.Check(); err != nil {
		t.Fatal(err)
	}
	if got, err := try(t, n.Pool("p"), false, one.URL); err != nil || got != "HTTP/2.0" {
		t.Errorf("got %q, %v", got, err)
	}
	for url, d := range map[string]*network.Dialer{two.URL: n.Pool("p"), one.URL: n.Pool("another")} {
		if _, err := try(t, d, false, url); !executors.IsPermanent(network.Classed(err)) || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: got %v, want a permanent error about a certificate", url, err)
		}
		if _, err := try(t, d, true, url); err != nil {
			t.Errorf("%s, insecure: %v", url, err)
		}
	}
	if err := os.WriteFile(file, second.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, before := try(t, n.Pool("p"), false, one.URL)
		_, after := try(t, n.Pool("p"), false, two.URL)
		if before != nil && after == nil {
			break // also what was connected to under the old authority is judged again
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the change: %v, %v", before, after)
		}
	}
	conn, err := tls.Dial("tcp", two.Listener.Addr().String(), n.Pool("p").TLS("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestFileOfAuthoritiesThatIsNoneTrustsNobody(t *testing.T) {
	a := newAuthority(t)
	s := serve(t, a.certificate(time.Now().Add(time.Hour)), ok)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{empty: "holds no certificate in PEM", empty + ".not": "no such file"} {
		n := opened(t, network.Config{Guard: network.Guard{Loopback: true}, Outlet: network.Outlet{CAFile: file}})
		if err := n.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := try(t, n.Pool("p"), false, s.URL); err == nil {
			t.Error("the server is trusted")
		}
	}
}

func TestProxyOverTLSIsCheckedAgainstTheAuthorities(t *testing.T) {
	a := newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, a.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, secure := hello(t)
	proxy := networktest.StartTLSProxy(t, a.certificate(time.Now().Add(time.Hour)))
	proxy.To = plain.Listener.Addr().String()
	d := behind(t, network.Outlet{Proxy: proxy.URL, CAFile: file}, network.Guard{})
	if body, err := get(t, d, "http://www.example.test/", ""); err != nil || body != "hello www.example.test" {
		t.Errorf("got %q, %v", body, err)
	}
	proxy.To = secure.Listener.Addr().String()
	if body, err := get(t, d, "https://www.example.test/", ""); err != nil || body != "hello www.example.test" {
		t.Errorf("got %q, %v", body, err)
	}
	wantAsked(t, proxy, "GET http://www.example.test/", "CONNECT www.example.test:443")
	if err := dial(t, behind(t, network.Outlet{Proxy: proxy.URL}, network.Guard{}), "tcp", "www.example.test:80"); !executors.IsPermanent(network.Classed(err)) {
		t.Errorf("a proxy that nobody vouches for: got %v, want a permanent error", err)
	}
}

// TestWhatIsWarmForAConnectionIsNotThereForTasks: neither kept connections nor HTTP/2's coalescing lead past the guard.
func TestWhatIsWarmForAConnectionIsNotThereForTasks(t *testing.T) {
	a := newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, a.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	secure := serve(t, a.certificate(time.Now().Add(time.Hour), "*.attacker.test", "good.example.test"), ok)
	canary, dns := networktest.StartCanary(t), networktest.StartDNS(t)
	for _, name := range []string{"good.example.test", "x.attacker.test"} {
		dns.Set(name, []string{"127.0.0.1"})
	}
	n := opened(t, network.Config{Resolver: dns.Resolver(), Outlet: network.Outlet{CAFile: file}})
	port := secure.Listener.Addr().(*net.TCPAddr).Port
	for _, url := range []string{fmt.Sprintf("http://127.0.0.1:%d/", canary.Port), fmt.Sprintf("https://good.example.test:%d/", port)} {
		if _, err := try(t, n.Pool("p").Trusted(), false, url); err != nil {
			t.Fatalf("trusted: %s: %v", url, err)
		}
		for _, insecure := range []bool{false, true} {
			if got, err := try(t, n.Pool("p"), insecure, url); !executors.IsPermanent(err) {
				t.Errorf("%s: got %q, %v, want a permanent refusal", url, got, err)
			}
		}
	}
	if got, err := try(t, n.Pool("p"), false, fmt.Sprintf("https://x.attacker.test:%d/", port)); !executors.IsPermanent(err) {
		t.Errorf("another name of the certificate: got %q, %v, want a permanent refusal", got, err)
	}
	canary.Reached()
	if got, err := try(t, n.Pool("p").Trusted(), true, fmt.Sprintf("https://good.example.test:%d/", port)); err != nil || got != "HTTP/2.0" {
		t.Errorf("insecure has connections of its own: got %q, %v", got, err)
	}
}

// TestAttemptsShareConnections: whoever asks for the pool's round tripper gets warm ones.
func TestAttemptsShareConnections(t *testing.T) {
	canary := networktest.StartCanary(t)
	n := opened(t, network.Config{Guard: network.Guard{Loopback: true}})
	for range 20 {
		for _, pool := range []string{"a", "b"} {
			if _, err := try(t, n.Pool(pool), false, fmt.Sprintf("http://127.0.0.1:%d/", canary.Port)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := canary.Reached(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, n.Pool("a"), false, fmt.Sprintf("http://127.0.0.1:%d/", canary.Port)); err != nil || canary.Reached() != 1 {
		t.Errorf("after the idle ones were closed: %v", err)
	}
}

func TestErrorsAreClassed(t *testing.T) {
	a := newAuthority(t)
	expired := serve(t, a.certificate(time.Now().Add(-time.Minute)), ok)
	plain, _ := hello(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	demanding := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	demanding.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}
	demanding.Config.ErrorLog = log.New(io.Discard, "", 0)
	demanding.StartTLS()
	defer demanding.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, a.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	dns := networktest.StartDNS(t)
	dns.Set("other.example.test", []string{"127.0.0.1"})
	good := serve(t, a.certificate(time.Now().Add(time.Hour)), ok)
	d := opened(t, network.Config{Guard: network.Guard{Loopback: true}, Resolver: dns.Resolver(), Outlet: network.Outlet{CAFile: file}}).Pool("p")
	for name, row := range map[string]struct {
		url       string
		insecure  bool
		permanent bool
	}{
		"refused by the guard":        {"http://169.254.169.254/", false, true},
		"a connection refused":        {gone.URL, false, false},
		"no such host":                {"http://nowhere.example.test/", false, false},
		"an expired certificate":      {expired.URL, false, true},
		"an unknown authority":        {demanding.URL, false, true},
		"another name":                {strings.Replace(good.URL, "127.0.0.1", "other.example.test", 1), false, true},
		"a server without TLS":        {strings.Replace(plain.URL, "http", "https", 1), false, true},
		"a server that demands a key": {demanding.URL, true, true},
		"a port that is none":         {"http://127.0.0.1:99999/", false, true},
	} {
		_, err := try(t, d, row.insecure, row.url)
		if got := network.Classed(err); got == nil || executors.IsPermanent(got) != row.permanent {
			t.Errorf("%s: got %v, permanent: %v", name, got, executors.IsPermanent(got))
		}
	}
	for err, permanent := range map[error]bool{context.DeadlineExceeded: false, io.ErrUnexpectedEOF: false, net.ErrClosed: false, os.ErrDeadlineExceeded: false} {
		if executors.IsPermanent(network.Classed(err)) != permanent {
			t.Errorf("%v: want permanent: %v", err, permanent)
		}
	}
	secret := &url.Error{Op: "Get", URL: "http://x/?token=hunter2", Err: errors.New("went wrong")}
	if got := network.Classed(secret); got.Error() != "went wrong" {
		t.Errorf("got %v", got)
	}
	if got := network.Classed(executors.Permanent(secret)); got.Error() != "went wrong" || !executors.IsPermanent(got) {
		t.Errorf("got %v", got)
	}
	if network.Classed(nil) != nil {
		t.Error("no error became one")
	}
}
