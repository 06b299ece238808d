package client

import (
	"cmp"
	"crypto/tls"

	"google.golang.org/grpc/credentials"

	"github.com/taskgrove/taskgrove/internal/credential"
)

// TLSFiles say how a connection is encrypted. The zero value trusts the machine's authorities, and shows no certificate.
type TLSFiles struct {
	// CA is a PEM file of the authorities whose certificates are trusted, instead of the machine's. [New] reads it.
	CA string
	// Cert and Key are PEM files of a certificate that is shown to servers that ask for one. They are read for each connection, so that they
	// may be replaced.
	Cert, Key string
	// ServerName is the name that the server's certificate must have; empty: that of the target.
	ServerName string
}

// WithTLSFiles encrypts the connection. [New] reports a file that can't be used.
func WithTLSFiles(files TLSFiles) Option {
	return func(s *settings) {
		cfg, err := files.Config()
		if err != nil {
			s.fault = cmp.Or(s.fault, err)
			return
		}
		s.creds = credentials.NewTLS(cfg)
	}
}

// Config is the same for programs that connect by themselves. Its error names the file that can't be used.
func (f TLSFiles) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		var err error
		if cfg.RootCAs, err = (credential.File{Setting: "authorities", Path: f.CA}).Pool(); err != nil {
			return nil, err
		}
	}
	pair := credential.Pair{Cert: credential.File{Setting: "client certificate", Path: f.Cert}, Key: credential.File{Setting: "key of the client certificate", Path: f.Key}}
	if !pair.Given() {
		return cfg, nil
	}
	if _, err := pair.Read(); err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		now, err := pair.Read()
		return &now, err
	}
	return cfg, nil
}
