// Package certtest makes authorities and certificates for tests.
//
// It owns keys and certificates that last as long as a test. It must not know who shows them.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates.
type Authority struct {
	File string // its own certificate, PEM
	Pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Subject is whom a certificate is for.
type Subject struct {
	Name  string        // common name, and a DNS name; 127.0.0.1 is in every certificate
	URI   string        // empty: none
	Lasts time.Duration // 0: an hour; below 0: its time is over
}

// New makes an authority.
func New(t testing.TB, name string) *Authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	a := &Authority{File: filepath.Join(t.TempDir(), "ca.pem"), Pool: x509.NewCertPool(), key: key}
	a.cert, err = x509.ParseCertificate(der)
	check(t, err)
	a.Pool.AddCert(a.cert)
	write(t, a.File, "CERTIFICATE", der)
	return a
}

// Issue makes a certificate, for servers and clients, and writes it and its key to files, which it replaces.
func (a *Authority) Issue(t testing.TB, certFile, keyFile string, s Subject) {
	t.Helper()
	key := newKey(t)
	if s.Lasts == 0 {
		s.Lasts = time.Hour
	}
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: s.Name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(s.Lasts),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{s.Name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if s.URI != "" {
		uri, err := url.Parse(s.URI)
		check(t, err)
		template.URIs = append(template.URIs, uri)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	check(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	write(t, keyFile, "PRIVATE KEY", text)
	write(t, certFile, "CERTIFICATE", der)
}

// Pair is a new certificate in files of their own.
func (a *Authority) Pair(t testing.TB, name string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.Issue(t, certFile, keyFile, Subject{Name: name})
	return certFile, keyFile
}

// Client is the configuration of a client that trusts the authority and shows a certificate of that name; empty: none.
func (a *Authority) Client(t testing.TB, name string) *tls.Config {
	t.Helper()
	cfg := &tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS12}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.Pair(t, name))
		check(t, err)
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	check(t, err)
	return n
}

// write replaces a file as a whole, as who renews certificates should.
func write(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	fresh := path + ".new"
	check(t, os.WriteFile(fresh, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	check(t, os.Rename(fresh, path))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
