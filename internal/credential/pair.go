package credential

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Pair is a certificate with its key, each a PEM file. The certificate's may hold those of the authorities between, after its own.
type Pair struct{ Cert, Key File }

// Given reports whether there is one.
func (p Pair) Given() bool { return p.Cert.Path != "" || p.Key.Path != "" }

// Read is the certificate as it is at this moment. Its error is an *[Error].
func (p Pair) Read() (tls.Certificate, error) {
	for _, f := range []struct{ missing, other File }{{p.Cert, p.Key}, {p.Key, p.Cert}} {
		if f.missing.Path == "" {
			return tls.Certificate{}, f.missing.fault(errors.New("not set, though " + f.other.Setting + " is"))
		}
	}
	cert, err := p.Cert.Read()
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := p.Key.Read()
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, p.Key.fault(fmt.Errorf("%s and the certificate of %s: %w", p.Key.Path, p.Cert.Path, err))
	}
	return pair, nil
}

// Pool is the authorities in a PEM file, as they are at this moment.
func (f File) Pool() (*x509.CertPool, error) {
	text, err := f.Read()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, f.fault(errors.New(f.Path + " has no certificate in PEM"))
	}
	return pool, nil
}
